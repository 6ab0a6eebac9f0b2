// Tool calls: what was asked for, what came of it, and whether somebody has to say yes.

import { clean, h, line } from "./dom.js";
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
  return line(given.path ?? given.pattern ?? given.description ?? "", 90);
}

/** The arguments of a call as whoever reads them would write them. */
export function asked(call, at) {
  const given = call.arguments ?? parsed(call.raw);
  if (given === null) return call.raw ? block(call.raw, at("arguments", "arguments"), { class: "asked" }) : null;
  if (typeof given.old_str === "string" && given.old_str) {
    return patch(replaced(given.old_str, given.new_str ?? ""), at("arguments", "edit"));
  }
  const text = given.file_text ?? (given.old_str === null ? given.new_str : null);
  if (typeof text === "string") return patch(replaced("", text), at("arguments", "new text"));
  const rest = Object.entries(given).filter(([, value]) => value !== null && value !== "" && value !== false);
  if (typeof given.command === "string" && !given.path) {
    return block(given.command, at("arguments", "command"), { class: "asked command" });
  }
  if (call.tool === "finish" && typeof given.summary === "string") {
    return block(given.summary, at("arguments", "summary"), { class: "asked" });
  }
  if (!rest.length) return null;
  const words = rest.map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return block(words.join("\n"), at("arguments", "arguments"), { class: "asked" });
}

function approval({ allowed, reason, risk, reasons }) {
  const why = [risk, ...(reasons ?? [])].filter((each) => typeof each === "string" && each);
  const said = reason ? `: ${clean(reason)}` : "";
  if (allowed === null) return h("p", { class: "warn" }, "Waits for a yes. ", why.length ? clean(why.join("; ")) : "");
  return h("p", { class: allowed ? "good" : "bad" }, allowed ? `Allowed${said}` : `Declined${said}`);
}
