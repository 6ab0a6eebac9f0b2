// Tool calls: what was asked for, what came of it, and whether somebody has to say yes.

import { clean, h, line, literal } from "./dom.js";
import { seconds } from "./format.js";
import { block, patch, replaced } from "./text.js";

const WORDS = {
  waiting: "waits",
  running: "runs",
  done: "done",
  failed: "failed",
  invalid: "invalid call",
  refused: "refused",
  cancelled: "cancelled",
  unknown: "outcome unknown",
};

/** All calls of an entry. */
export function calls(entry, act) {
  if (!entry.calls?.length) return null;
  return h("div", { class: "calls" }, entry.calls.map((each, index) => one(entry, each, index, act)));
}

function one(entry, call, index, act) {
  const at = (key, label) => ({ entry, key: `${index}-${key}`, label, again: act.again });
  const bad = ["failed", "invalid", "refused", "cancelled", "unknown"].includes(call.status);
  const quiet = call.tool === "plan" && call.status === "done";
  return h(
    "div",
    { role: "group", class: `call ${call.status}`, "aria-label": `call of ${line(call.tool, 60)}` },
    h(
      "p",
      { class: "call-head" },
      h("strong", null, line(call.tool, 60)),
      h("span", { class: "gist" }, gist(call)),
      h("span", { class: "spread" }),
      call.duration >= 0.05 ? h("span", { class: "dim" }, seconds(call.duration)) : null,
      h("span", { class: `chip ${bad ? "bad" : call.status === "done" ? "good" : "busy"}` }, WORDS[call.status] ?? call.status),
    ),
    quiet ? null : asked(call, at),
    call.repairs?.length ? h("p", { class: "dim" }, `Mended: ${clean(call.repairs.join("; "))}`) : null,
    call.approval ? approval(call.approval) : null,
    quiet || !call.output.trim() ? null : block(call.output, at("output", `output of ${call.tool}`), { class: bad ? "output bad" : "output" }),
  );
}

/** Arguments that the model wrote, where they are an object. */
function parsed(raw) {
  try {
    const found = JSON.parse(raw);
    return typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

/** What a call is about, in a few words. */
export function gist(call) {
  const given = call.arguments ?? parsed(call.raw);
  if (given === null) return "";
  return line(literal(given.path ?? given.pattern ?? given.description), 90);
}

/**
 * The arguments of a call as whoever reads them would write them: a patch, a command, or by name.
 * @param exact every one of them, as for whoever is to allow the call; else what is worth reading
 */
export function asked(call, at, exact = false) {
  const written = call.arguments ?? parsed(call.raw);
  if (written === null) return call.raw ? block(literal(call.raw), at("arguments", "arguments"), { class: "asked" }) : null;
  const given = Object.fromEntries(Object.entries(written).map(([key, value]) => [literal(key), shown(value)]));
  const [main, told] = principal(call.tool, given, at);
  const left = Object.entries(given).filter(([key, value]) => !told.includes(key) && (exact ? value !== null : worth(key, value)));
  const words = left.map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return [main, words.length ? block(words.join("\n"), at("others", "arguments"), { class: "asked" }) : null].flat();
}

/** A value with all that it holds in sight; what is no text is written as JSON. */
function shown(value) {
  if (typeof value === "string") return literal(value);
  return typeof value === "object" && value !== null ? literal(JSON.stringify(value)) : value;
}

/** The argument that matters most as an element, and the names of those that it tells. */
function principal(tool, given, at) {
  const { old_str: before, new_str: after, file_text: whole, command, path, summary } = given;
  if (typeof before === "string" && before) {
    return [patch(replaced(before, String(after ?? "")), at("arguments", "edit")), ["old_str", "new_str"]];
  }
  if (typeof whole === "string") return [patch(replaced("", whole), at("arguments", "new text")), ["file_text"]];
  if (before === null && typeof after === "string") return [patch(replaced("", after), at("arguments", "new text")), ["new_str"]];
  if (typeof command === "string" && command && !path) {
    return [block(command, at("arguments", "command"), { class: "asked command" }), ["command"]];
  }
  if (tool === "finish" && typeof summary === "string") {
    return [block(summary, at("arguments", "summary"), { class: "asked" }), ["summary"]];
  }
  return [null, []];
}

const USUAL = ["path", "timeout"]; // told beside the tool's name, or of no interest

function worth(key, value) {
  if (key === "achieved") return value === false;
  return !USUAL.includes(key) && value !== null && value !== "" && value !== false;
}

function approval({ allowed, reason, risk, reasons }) {
  const why = [risk, ...(reasons ?? [])].filter((each) => typeof each === "string" && each);
  const said = reason ? `: ${clean(reason)}` : "";
  if (allowed === null) return h("p", { class: "warn" }, "Waits for a yes. ", why.length ? clean(why.join("; ")) : "");
  return h("p", { class: allowed ? "good" : "bad" }, allowed ? `Allowed${said}` : `Declined${said}`);
}
