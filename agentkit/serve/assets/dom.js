// Elements out of plain values. All text is put in as text: nothing here makes markup of a string,
// and the page's policy (trusted-types) would refuse it.

const SVG = "http://www.w3.org/2000/svg";

// Terminal colours say nothing here.
const ANSI = /\u001b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;
// Characters that are not seen but change what is: controls, and those that turn the direction.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

// What approvals/visible.py escapes: all that shows nothing, something else, or a space that is none.
// Answers may hold such (emoji are joined by them); what somebody is to allow may not hide any.
const HIDDEN = /(?![ \n\t])[\p{C}\p{Z}\u115f\u1160\u3164\uffa0\u2800\ufe00-\ufe0f]/gu;

const numbered = (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

/** Text of others, with what would be hidden in it made visible. */
export function clean(text) {
  return String(text ?? "")
    .replace(/\r\n/g, "\n")
    .replace(ANSI, "")
    .replace(UNSEEN, numbered);
}

/** Text that runs or is written as it is: nothing of it is dropped, not even a colour. */
export function literal(text) {
  return String(text ?? "").replace(HIDDEN, numbered);
}

/** One line of it, not longer than so many characters. */
export function line(text, most = 120) {
  const found = clean(text).replace(/\s+/g, " ").trim();
  return found.length > most ? `${found.slice(0, most - 1)}…` : found;
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else element.setAttribute(name, value === true ? "" : clean(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : clean(child));
  }
  return element;
}

/** An element, every text in it cleaned: `h("button", { class: "x", onclick: f }, "words", other)`. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same in SVG. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Say something to those who listen to the page. */
export function speak(words) {
  document.getElementById("spoken").textContent = words;
}

/** A message that goes away by itself, unless it tells of a failure. */
export function toast(words, { hint = "", bad = false } = {}) {
  const close = () => box.remove();
  const box = h(
    "div",
    { class: bad ? "toast bad" : "toast", role: bad ? "alert" : "status" },
    h("p", null, clean(words), hint && h("span", { class: "hint" }, clean(hint))),
    h("button", { type: "button", class: "icon", "aria-label": "Close this message", onclick: close }, "×"),
  );
  document.getElementById("toasts").append(box);
  if (!bad) setTimeout(close, 6000);
}

/** A problem of the service, or whatever else went wrong, in words. */
export function complain(error) {
  if (error?.name === "AbortError") return;
  toast(error?.message || String(error), { hint: error?.hint, bad: true });
}

/**
 * A dialog with a form. Gives the form's data when it is sent, null when it is left.
 * @param {{title: string, body: (Node|string)[], go: string, danger?: boolean}} what
 */
export function ask({ title, body, go, danger = false }) {
  return new Promise((resolve) => {
    let answer = null;
    const cancel = h("button", { type: "button", onclick: () => box.close() }, "Cancel");
    const form = h(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          answer = new FormData(form);
          box.close();
        },
      },
      h("h2", { id: "ask-title" }, title),
      body,
      h("p", { class: "buttons" }, cancel, h("button", { class: danger ? "danger" : "primary" }, go)),
    );
    const box = h("dialog", { "aria-labelledby": "ask-title", class: "ask" }, form);
    box.addEventListener("close", () => {
      box.remove();
      resolve(answer);
    });
    document.body.append(box);
    box.showModal();
  });
}
