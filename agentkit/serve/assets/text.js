// Long texts, bounded until somebody wants all; patches in colour; the little markup of answers.

import { clean, h } from "./dom.js";
import { number, plural } from "./format.js";

const HEAD = 9; // lines shown of a long text
const TAIL = 6;
const WIDE = 4000; // characters shown of it
const MOST = 400_000; // characters shown when all is asked for
const PATCH = 60; // lines shown of a patch
const WHOLE = 3000;

/**
 * A text of others, in its first and last lines; a button shows all.
 * @param {{entry: object, key: string, again: (entry) => void, label: string}} at
 */
export function block(text, at, props = {}) {
  const found = clean(text).replace(/\s+$/, "");
  const lines = found.split("\n");
  const long = lines.length > HEAD + TAIL + 3 || found.length > WIDE;
  const all = at.entry.open.has(at.key);
  if (!long) return pre(found, props);
  if (all) {
    const cut = found.length - MOST;
    const rest = cut > 0 ? `\n… ${number(cut)} characters more are not shown` : "";
    const scrolled = { tabindex: "0", role: "group", "aria-label": at.label };
    const box = pre(found.slice(0, MOST) + rest, { ...props, ...scrolled, class: `${props.class ?? ""} whole` });
    return [box, more(at, "Show less")];
  }
  const shown = lines.length > HEAD + TAIL + 3
    ? [...lines.slice(0, HEAD), `… ${plural(lines.length - HEAD - TAIL, "line")} more …`, ...lines.slice(-TAIL)]
    : lines;
  const short = shown.map((each) => (each.length > 400 ? `${each.slice(0, 400)}…` : each)).join("\n");
  return [pre(short.slice(0, WIDE), props), more(at, `Show all ${plural(lines.length, "line")}`)];
}

function pre(text, props) {
  return h("pre", { dir: "auto", ...props }, text);
}

function more(at, words) {
  const toggle = () => {
    if (!at.entry.open.delete(at.key)) at.entry.open.add(at.key);
    at.again(at.entry);
  };
  const name = `${words}: ${at.label}`;
  return h("button", { type: "button", class: "more", "data-key": at.key, "aria-label": name, onclick: toggle }, words);
}

/** A patch, its lines in the colours of what they do. */
export function patch(text, at) {
  const lines = clean(text).replace(/\n$/, "").split("\n");
  const all = at.entry.open.has(at.key);
  const shown = lines.slice(0, all ? WHOLE : PATCH);
  const rows = shown.map((each) => h("span", { class: kind(each) }, each, "\n"));
  const props = { class: "patch", dir: "ltr" };
  if (all) Object.assign(props, { class: "patch whole", tabindex: "0", role: "group", "aria-label": at.label });
  if (lines.length > WHOLE && all) rows.push(`… ${number(lines.length - WHOLE)} lines more are not shown`);
  const box = h("pre", props, rows);
  if (lines.length <= PATCH) return box;
  return [box, more(at, all ? "Show less" : `Show all ${plural(lines.length, "line")}`)];
}

function kind(text) {
  if (/^(diff |index |--- |\+\+\+ |new file|deleted file|old mode|new mode|# )/.test(text)) return "file";
  return { "+": "plus", "-": "minus", "@": "hunk" }[text[0]] ?? "same";
}

/** Two texts as a patch of their lines, without what is the same at both ends. */
export function replaced(before, after) {
  const old = before === "" ? [] : before.replace(/\n$/, "").split("\n");
  const now = after === "" ? [] : after.replace(/\n$/, "").split("\n");
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  const same = (list) => list.map((each) => ` ${each}`);
  return [
    ...same(old.slice(Math.max(0, head - 3), head)),
    ...old.slice(head, old.length - tail).map((each) => `-${each}`),
    ...now.slice(head, now.length - tail).map((each) => `+${each}`),
    ...same(old.slice(old.length - tail, old.length - tail + 3)),
  ].join("\n");
}

/** An answer's words: paragraphs, fenced code, `code` and **weight**; everything else as it is. */
export function prose(text) {
  const parts = clean(text).trim().split(/^```[^\n]*\n([\s\S]*?)(?:^```[^\n]*$|(?![\s\S]))/m);
  return h(
    "div",
    { class: "prose", dir: "auto" },
    parts.map((part, index) => (index % 2 ? h("pre", { dir: "ltr" }, part.replace(/\n$/, "")) : paragraphs(part))),
  );
}

function paragraphs(text) {
  const found = text.split(/\n{2,}/).filter((each) => each.trim());
  return found.map((each) => h("p", { dir: "auto" }, inline(each.replace(/^\n+|\n+$/g, ""))));
}

function inline(text) {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((each) => {
    if (/^`[^`]+`$/.test(each)) return h("code", null, each.slice(1, -1));
    if (/^\*\*[^*]+\*\*$/.test(each)) return h("strong", null, each.slice(2, -2));
    return each;
  });
}
