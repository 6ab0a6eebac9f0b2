// Keyboard shortcuts. Single keys can be switched off, for those whose tools send stray ones.

import { h } from "./dom.js";

const OFF = "agentkit-keys-off";
const shortcuts = new Map();

/** Bind keys for a view: `{key: [words, action]}`; gives a function that unbinds them. */
export function bind(keys) {
  for (const [key, value] of Object.entries(keys)) shortcuts.set(key, value);
  return () => {
    for (const key of Object.keys(keys)) shortcuts.delete(key);
  };
}

const typing = (element) => element?.matches?.("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && typing(event.target) && !document.querySelector("dialog[open]")) {
    event.target.blur();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (document.querySelector("dialog[open]")) return;
  if (localStorage.getItem(OFF) && event.key !== "?") return;
  const found = shortcuts.get(event.key);
  if (!found) return;
  event.preventDefault();
  found[1]();
});

/** The list of what the keys do. */
export function showKeys() {
  if (document.querySelector("dialog[open]")) return;
  const name = { " ": "Space" };
  const rows = [...shortcuts].map(([key, [words]]) => [h("dt", null, h("kbd", null, name[key] ?? key)), h("dd", null, words)]);
  const more = [
    ["Ctrl Enter", "Send what is written"],
    ["Esc", "Leave a field or a dialog"],
    ["Tab", "The next button or field"],
  ].map(([key, words]) => [h("dt", null, h("kbd", null, key)), h("dd", null, words)]);
  const box = h("input", { type: "checkbox", id: "keys-on", checked: !localStorage.getItem(OFF) });
  box.addEventListener("change", () => (box.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1")));
  const dialog = h(
    "dialog",
    { class: "ask keys", "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keyboard"),
    h("dl", { class: "pairs" }, rows, more),
    h("p", null, box, " ", h("label", { for: "keys-on" }, "Single keys are shortcuts")),
    h("p", { class: "buttons" }, h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
