// An entry of the timeline as an element.

import { calls } from "./calls.js";
import { clean, h, line } from "./dom.js";
import { clock, money, moment, number, percent, plural, rung, seconds, tokens } from "./format.js";
import { block, patch, prose } from "./text.js";

/** @param {{again: (entry) => void, fork: (turn) => void, undo: (turn) => void,
 *           changes: (entry) => void}} act */
export function render(entry, act) {
  const made = (KINDS[entry.kind] ?? unknown)(entry, act);
  const lane = entry.lane !== "main" && h("span", { class: "chip" }, `lane ${line(entry.lane, 40)}`);
  const time = entry.event.time;
  return h(
    "article",
    {
      class: `entry ${entry.kind} ${made.tone ?? ""}`,
      id: `entry-${entry.id}`,
      tabindex: "-1",
      "aria-posinset": entry.id + 1,
      "aria-setsize": "-1",
      "aria-labelledby": `name-${entry.id}`,
    },
    h(
      "header",
      null,
      h("h3", { id: `name-${entry.id}` }, made.title),
      made.chips,
      lane,
      h("span", { class: "spread" }),
      made.actions,
      h("time", { datetime: time, title: moment(time) }, clock(time)),
    ),
    made.body,
  );
}

function at(entry, act, key, label) {
  return { entry, key, label, again: act.again };
}

/** What is folded up is made when it is opened. */
function fold(entry, key, summary, make) {
  const box = h("details", { class: "fold" }, h("summary", { "data-key": key }, summary));
  const fill = () => {
    if (box.open && box.childElementCount === 1) box.append(...[make()].flat());
    if (box.open) entry.open.add(key);
    else entry.open.delete(key);
  };
  if (entry.open.has(key)) {
    box.open = true;
    fill();
  }
  box.addEventListener("toggle", fill);
  return box;
}

function chip(text, tone = "", title = "") {
  return h("span", { class: `chip ${tone}`, title: title || null }, text);
}

function usage(event) {
  const { prompt_tokens: prompt, hit_tokens: hit, completion_tokens: out, reported } = event.usage;
  if (!reported) return [chip("tokens not reported")];
  const expected = event.expected_hits ? `, ${number(event.expected_hits)} expected` : "";
  const detail = `${number(hit)} of ${number(prompt)} input tokens from the cache${expected}`;
  return [
    chip(`${tokens(prompt)} in`, "", detail),
    chip(`${percent(prompt ? hit / prompt : 0)} hit`, event.missed ? "warn" : "", detail),
    chip(`${tokens(out)} out`),
    chip(money(event.cost_usd, event.priced)),
  ];
}

function reasoning(entry, act, text) {
  if (!text?.trim()) return null;
  const words = `Reasoning, ${plural(clean(text).trim().split(/\s+/).length, "word")}`;
  return fold(entry, "reasoning", words, () => block(text, at(entry, act, "reasoning-all", "reasoning"), { class: "thought" }));
}

function changed(entry, act) {
  if (!entry.changed) return null;
  const found = entry.patch;
  return fold(entry, "changes", "Changes of files in this turn", () => {
    if (!found) act.changes(entry);
    if (!found) return h("p", { class: "dim" }, "Loading…");
    const files = found.files.map((each) => h("li", null, h("code", null, line(each.path, 200)), lines(each)));
    const cut = found.cut ? h("p", { class: "dim" }, `${number(found.cut)} characters are left out.`) : null;
    return [h("ul", { class: "files" }, files), patch(found.patch, at(entry, act, "patch", "patch")), cut].filter(Boolean);
  });
}

function lines({ what, plus, minus }) {
  if (plus === null) return ` ${what}`;
  return [" ", h("span", { class: "plus" }, `+${plus}`), " ", h("span", { class: "minus" }, `−${minus}`), what === "changed" ? "" : ` ${what}`];
}

function turn(entry, act) {
  const { event } = entry;
  const button = (words, label, go) =>
    h("button", { type: "button", class: "quiet", "data-key": words, "aria-label": `${label} turn ${entry.turn}`, onclick: () => go(entry.turn) }, words);
  return {
    title: `Turn ${entry.turn}`,
    chips: [chip(rung(entry.rung), "rung", event.served_model), usage(event), chip(seconds(event.duration))],
    actions: h("span", { class: "acts" }, button("Fork", "Fork after", act.fork), button("Undo", "Undo to the end of", act.undo)),
    body: [
      reasoning(entry, act, event.reasoning),
      event.content.trim() ? answer(entry, act, event.content) : null,
      calls(entry, act),
      event.finish_reason === "length" ? h("p", { class: "bad" }, "The answer was cut at its limit of tokens.") : null,
      changed(entry, act),
      entry.checkpoint?.notice ? h("p", { class: "dim" }, clean(entry.checkpoint.notice)) : null,
    ],
  };
}

function answer(entry, act, text) {
  return text.length > 12_000 ? block(text, at(entry, act, "content", "answer")) : prose(text);
}

/** An answer as it streams; `entry.sinks` take what is still to come. */
function live(entry) {
  const sink = (kind) => document.createTextNode(clean(entry[kind]));
  entry.sinks = { reasoning: sink("reasoning"), content: sink("content"), call: sink("call") };
  const { reasoning: thought, content, call } = entry.sinks;
  const box = (kind, node) => h("pre", { class: `stream ${kind}`, dir: "auto", hidden: !node.data }, node);
  return {
    title: "Answering",
    chips: [chip(rung(entry.rung), "rung"), h("span", { class: "pulse", "aria-hidden": "true" })],
    body: [box("thought", thought), box("words", content), box("call", call)],
  };
}

function prices(event) {
  const rows = Object.entries(event.prices).sort((a, b) => a[1] - b[1]);
  if (!rows.length) return null;
  const most = Math.max(...rows.map((each) => each[1])) || 1;
  const chosen = `${event.form} ${event.to_rung}`;
  const row = ([name, price]) => {
    const bar = h("span", { class: "bar", style: { width: `${Math.max(2, (100 * price) / most)}%` } });
    const mine = name === chosen;
    return h(
      "tr",
      { class: mine ? "chosen" : null },
      h("th", { scope: "row" }, line(name, 80), mine ? h("span", { class: "chip good" }, "chosen") : null),
      h("td", null, money(price)),
      h("td", { class: "bars", "aria-hidden": "true" }, bar),
    );
  };
  return h("table", { class: "prices" }, h("caption", null, "Expected price of each form"), h("tbody", null, rows.map(row)));
}

function climbed(entry) {
  const { event } = entry;
  const same = event.from_rung === event.to_rung;
  const numbers = Object.entries(event.numbers ?? {});
  return {
    title: event.form === "step-down" ? "Step down" : `Reaction: ${event.form}`,
    chips: [chip(same ? rung(event.to_rung) : `${rung(event.from_rung)} → ${rung(event.to_rung)}`, "rung")],
    body: [
      h("p", null, clean(event.reason)),
      event.back_to ? h("p", { class: "dim" }, `The workspace was taken back to checkpoint ${clean(event.back_to)}.`) : null,
      prices(event),
      numbers.length
        ? fold(entry, "numbers", "What the prices rest on", () =>
            h("dl", { class: "pairs" }, numbers.map(([key, value]) => [h("dt", null, clean(key)), h("dd", null, line(JSON.stringify(value), 300))])))
        : null,
    ],
  };
}

const MARKS = { completed: "✓", done: "✓", in_progress: "▸" };

/** A plan's steps as a list. */
export function steps(list) {
  const word = { done: "done", completed: "done", in_progress: "under way" };
  return h(
    "ol",
    { class: "steps" },
    list.map((each) =>
      h(
        "li",
        { class: MARKS[each.status] === "✓" ? "done" : each.status === "in_progress" ? "now" : "" },
        h("span", { class: "mark", role: "img", "aria-label": word[each.status] ?? "open" }, MARKS[each.status] ?? "○"),
        h("span", null, clean(each.step), each.check ? h("code", { class: "check" }, line(each.check, 160)) : null),
      ),
    ),
  );
}

function check(entry, act) {
  const { event } = entry;
  const passed = event.type === "check.passed";
  const words = passed ? "Check passed" : event.ran === false ? "Check could not run" : "Check failed";
  return {
    tone: passed ? "good" : "bad",
    title: words,
    chips: [h("code", null, line(event.command, 160)), passed ? null : chip(`exit code ${event.exit_code}`), chip(seconds(event.duration))],
    body: event.output ? block(event.output, at(entry, act, "output", "output of the check")) : null,
  };
}

function finished(entry, act) {
  const { event } = entry;
  const good = event.status === "finished";
  return {
    tone: good ? "good" : "bad",
    title: { finished: "Finished", failed: "Ended without success", limit: "Stopped at a limit", cancelled: "Cancelled", error: "Stopped by a fault", waiting: "Waits for an answer" }[event.status] ?? event.status,
    chips: [
      chip(money(event.cost_usd, event.priced)),
      chip(plural(event.turns, "turn")),
      chip(seconds(event.duration)),
      event.exit_code ? chip(`exit code ${event.exit_code}`) : null,
    ],
    body: [
      event.output ? answer(entry, act, event.output) : null,
      event.data === null || event.data === undefined ? null : block(JSON.stringify(event.data, null, 1), at(entry, act, "data", "structured result")),
      event.checks.length ? h("ul", { class: "checks" }, event.checks.map((each) => h("li", { class: each.passed ? "good" : "bad" }, each.passed ? "✓ " : "✗ ", h("code", null, line(each.command, 200))))) : null,
    ],
  };
}

/** An entry of one line. */
const short = (title, words, tone = "") => (entry) => ({ title, tone, body: h("p", null, clean(words(entry.event))) });

/** An entry whose text is folded up. */
const folded = (title, words, text, summary = "Read it") => (entry, act) => ({
  title,
  body: [
    words ? h("p", null, clean(words(entry.event))) : null,
    fold(entry, "text", summary, () => block(text(entry.event), at(entry, act, "text-all", title.toLowerCase()))),
  ],
});

function unknown(entry) {
  return { title: clean(entry.event.type), body: null };
}

const KINDS = {
  turn,
  live,
  check,
  finished,
  rung: climbed,
  calls: (entry, act) => ({ title: "Calls", body: calls(entry, act) }),
  user: (entry, act) => ({ title: "Task", body: answer(entry, act, entry.event.text) }),
  steered: (entry, act) => ({ title: "Steered", body: answer(entry, act, entry.event.text) }),
  note: (entry, act) => ({
    title: "Told the model",
    body: fold(entry, "text", line(entry.event.text, 140), () => block(entry.event.text, at(entry, act, "text-all", "note"))),
  }),
  plan: (entry) => ({ title: "Plan", chips: entry.event.author === "planner" ? chip("by the planner") : null, body: steps(entry.event.steps) }),
  advice: (entry, act) => ({
    title: "Answer beside the history",
    chips: usage(entry.event),
    body: fold(entry, "text", line(entry.event.content, 140), () => block(entry.event.content, at(entry, act, "text-all", "answer"))),
  }),
  evidence: (entry) => ({ title: "Evidence", chips: chip(entry.event.kind, "warn"), body: h("p", null, clean(entry.event.detail)) }),
  failed: short("Request failed", (e) => `${e.error}: ${e.message}${e.wait === null ? "" : ` Next try in ${seconds(e.wait)}.`}`, "bad"),
  lost: short("Request without an answer", () => "The run stopped before the answer came.", "quiet"),
  break: short("Prefix broken", (e) => `${e.region}: ${e.cause}. About ${number(e.tokens)} tokens are read without the cache, ${money(e.price_usd)} more.`, "warn"),
  changed: short("Another model answers", (e) => `${e.model} was served by ${e.served_before} before, and by ${e.served_now} now.`, "warn"),
  skipped: short("Rung passed over", (e) => `${e.rung}: ${e.reason}`),
  limit: short("A limit is near", (e) => `${e.limit}: ${number(e.used)} of ${number(e.allowed)} used.`, "warn"),
  waited: short("Waiting", (e) => `${e.reason}, ${seconds(e.seconds)}`),
  sandbox: short("Sandbox", (e) => `${e.description}${e.reopened ? " (opened again)" : ""}`, "quiet"),
  started: short("Session begun", (e) => `${e.agent}, agentkit ${e.version}${e.workspace ? `, in ${e.workspace}` : ""}`, "quiet"),
  withdrawn: short("Message taken back", () => "It was cancelled before its run began.", "quiet"),
  forked: short("Goes on from another session", (e) => `${e.reason === "undo" ? "An undo" : "A fork"} of ${e.parent}, after turn ${e.turn}.`),
  restored: short("Workspace put back", (e) => `To checkpoint ${e.checkpoint}: ${plural(e.changed, "path")} changed${e.failed.length ? `; not put back: ${e.failed.join(", ")}` : ""}.`),
  folded: folded("History folded", (e) => `The lane was full; lane ${e.to} goes on with a summary.`, (e) => e.summary, "The summary"),
  lane: (entry, act) => ({
    title: entry.event.role === "main" ? "Head of the history" : `Lane opened: ${entry.event.role}`,
    tone: "quiet",
    chips: [chip(`${rung(entry.event.rung.model)}·${entry.event.rung.thinking === false ? "non-thinking" : entry.event.rung.effort}`, "rung"), chip(plural(entry.event.tools.length, "tool"))],
    body: [
      fold(entry, "text", "System prompt", () => block(entry.event.system, at(entry, act, "text-all", "system prompt"))),
      entry.event.tools.length ? fold(entry, "tools", "Tools", () => block(JSON.stringify(entry.event.tools, null, 1), at(entry, act, "tools-all", "tools"))) : null,
    ],
  }),
};
