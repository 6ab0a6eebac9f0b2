// The foot of a session: what waits for a yes, and where one writes.

import { call } from "./api.js";
import { asked, gist } from "./calls.js";
import { ask, complain, h, line, literal } from "./dom.js";

/** @param {{path: string, after: () => void}} options */
export function dock({ path, after }) {
  const questions = h("div", { class: "questions" });
  const composer = write(path, after);
  const element = h("div", { class: "dock" }, questions, composer.element);
  const shown = new Map();
  let fromLog = new Map();
  let fromServer = [];

  function draw() {
    const wanted = new Map(fromServer.map((each) => [each.call, each]));
    for (const [id, event] of fromLog) if (!wanted.has(id)) wanted.set(id, { ...event, call: id });
    for (const [id, box] of shown) {
      if (wanted.has(id)) continue;
      box.remove();
      shown.delete(id);
    }
    for (const [id, each] of wanted) {
      if (shown.has(id)) continue;
      shown.set(id, question(each, path, after));
      questions.append(shown.get(id));
    }
  }

  return {
    element,
    focus: composer.focus,
    /** Questions that the log has without an answer. */
    pending: (found) => {
      fromLog = found;
      draw();
    },
    /** The session's state, as the service tells it. */
    state: (info) => {
      fromServer = info.questions;
      composer.state(info);
      draw();
    },
  };
}

function question(each, path, after) {
  // Whoever says yes has seen all of it: nothing is clipped or left out.
  const entry = { open: new Set(["arguments", "others"]) };
  const what = h("div");
  const shape = { tool: each.tool, arguments: each.arguments, raw: "" };
  const again = () => {
    const made = asked(shape, (key, label) => ({ entry, key, label, again }), true);
    what.replaceChildren(...[made].flat().filter(Boolean));
  };
  again();
  const send = async (body) => {
    try {
      await call("POST", `${path}/approvals/${encodeURIComponent(each.call)}`, body);
    } catch (error) {
      complain(error);
    }
    after();
  };
  const deny = async () => {
    const field = h("textarea", { name: "reason", rows: "3", id: "deny-reason", maxlength: "10000" });
    const body = [h("p", null, h("label", { for: "deny-reason" }, "The model reads the reason:")), field];
    const answer = await ask({ title: `Decline ${line(each.tool, 60)}?`, body, go: "Decline", danger: true });
    if (answer) send({ allow: false, reason: answer.get("reason").trim() });
  };
  const why = [each.risk, ...(each.reasons ?? [])].filter((one) => typeof one === "string" && one);
  return h(
    "div",
    { role: "group", class: "question", "aria-label": `Approval of ${line(each.tool, 60)}` },
    h("p", { class: "call-head" }, h("strong", null, literal(each.tool)), h("span", { class: "gist" }, gist(each)), h("span", { class: "spread" }), h("span", { class: "warn" }, "waits for your answer")),
    why.length ? h("p", { class: "warn" }, literal(why.join("; "))) : null,
    what,
    h(
      "p",
      { class: "buttons" },
      h("button", { type: "button", onclick: deny }, "Decline…"),
      h("button", { type: "button", class: "primary", onclick: () => send({ allow: true }) }, "Allow"),
    ),
  );
}

/** One field: steers a session at work, and gives one at rest something to do. */
function write(path, after) {
  const field = h("textarea", { rows: "2", "aria-label": "Message", maxlength: "1000000" });
  const checks = h("textarea", { rows: "2", id: "dock-checks", placeholder: "pytest -q" });
  const more = h("details", { class: "dock-checks" }, h("summary", null, "Checks"), h("label", { for: "dock-checks" }, "Commands that must exit 0, one a line"), checks);
  const send = h("button", { class: "primary" }, "Send");
  const form = h("form", { class: "composer", "aria-label": "Say something", onsubmit: submit }, field, h("div", { class: "under" }, more, h("span", { class: "spread" }), send));
  let now = { state: "idle", status: "open" };
  let settled = () => {};

  function label() {
    const running = now.state === "running";
    const open = now.state === "idle" && now.status !== "finished" && now.events > 1;
    field.placeholder = running ? "Steer: the model reads it before its next answer" : "What is to be done next?";
    send.textContent = running ? "Steer" : open && !field.value.trim() ? "Go on" : "Send";
    send.disabled = ["queued", "elsewhere"].includes(now.state) || (send.textContent !== "Go on" && !field.value.trim());
    more.hidden = running;
  }

  async function submit(event) {
    event.preventDefault();
    label();
    if (send.disabled) return;
    if (now.state === "ending") await new Promise((done) => (settled = done));
    const text = field.value;
    const commands = checks.value.split("\n").map((each) => each.trim()).filter(Boolean);
    const [name, body] = now.state === "running" ? ["steer", { text }] : ["messages", { message: text, checks: commands }];
    send.disabled = true;
    try {
      await call("POST", `${path}/${name}`, body);
      if (field.value === text) field.value = "";
      checks.value = "";
    } catch (error) {
      complain(error);
    }
    label();
    after();
  }

  field.addEventListener("input", label);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  label();
  return {
    element: form,
    focus: () => field.focus(),
    state: (info) => {
      now = info;
      if (now.state !== "ending") settled();
      label();
    },
  };
}
