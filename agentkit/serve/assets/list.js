// The list of sessions, and where a new one begins.

import { call } from "./api.js";
import { clean, complain, h, line, speak } from "./dom.js";
import { age, money, moment, percent, plural, rung } from "./format.js";

const EVERY = 3000; // ms between two looks, while the page is seen

/** Shows the list in `main`; gives a function that ends it. */
export function list(main, { go }) {
  const state = { rows: new Map(), accounts: new Map(), wanted: 50, more: false, ended: false, timer: 0, first: true };
  const items = h("ul", { class: "sessions", "aria-label": "Sessions" });
  const note = h("p", { class: "dim", role: "status" }, "Loading…");
  const older = h("button", { type: "button", hidden: true, onclick: () => longer(state, look) }, "Older sessions");
  main.replaceChildren(h("div", { class: "page" }, begin(go), h("h1", null, "Sessions"), note, items, older));
  const near = new IntersectionObserver((found) => {
    for (const each of found) if (each.isIntersecting) account(state, each.target.dataset.id);
  });

  async function look() {
    clearTimeout(state.timer);
    try {
      if (!document.hidden || state.first) await refresh();
    } catch (error) {
      if (error.status === 401) throw error;
      note.textContent = `${error.message}. ${error.hint ?? ""}`;
    } finally {
      if (!state.ended) state.timer = setTimeout(() => look().catch(unauthorised), EVERY);
    }
  }

  async function refresh() {
    const { sessions, more } = await pages(state.wanted);
    if (state.ended) return;
    state.first = false;
    state.more = more;
    older.hidden = !more;
    note.textContent = sessions.length ? "" : "No sessions yet. Say above what is to be done.";
    note.hidden = sessions.length > 0;
    place(sessions);
  }

  function place(sessions) {
    const kept = new Set();
    sessions.forEach((view, index) => {
      kept.add(view.id);
      let row = state.rows.get(view.id);
      if (!row) {
        row = made(view);
        state.rows.set(view.id, row);
        near.observe(row.element);
      }
      const moved = row.view && row.view.events !== view.events;
      row.show(view);
      if (moved && row.seen) account(state, view.id);
      if (items.children[index] !== row.element) items.insertBefore(row.element, items.children[index] ?? null);
    });
    for (const [id, row] of state.rows) {
      if (kept.has(id)) continue;
      near.unobserve(row.element);
      row.element.remove();
      state.rows.delete(id);
    }
  }

  function unauthorised(error) {
    if (!state.ended) complain(error);
  }

  const wake = () => !document.hidden && look().catch(unauthorised);
  document.addEventListener("visibilitychange", wake);
  const end = () => {
    state.ended = true;
    clearTimeout(state.timer);
    near.disconnect();
    document.removeEventListener("visibilitychange", wake);
  };
  look().catch(unauthorised);
  return end;
}

async function pages(wanted) {
  const found = [];
  let cursor = null;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(200, wanted - found.length)) });
    if (cursor) query.set("cursor", cursor);
    const answer = await call("GET", `sessions?${query}`);
    found.push(...answer.sessions);
    cursor = answer.next;
  } while (cursor && found.length < wanted);
  return { sessions: found, more: cursor !== null };
}

function longer(state, look) {
  state.wanted += 50;
  look().catch(complain);
}

/** Fetch what only the log knows: rung and hits; for rows that are seen. */
async function account(state, id) {
  const row = state.rows.get(id);
  if (!row || row.busy) return;
  row.seen = true;
  if (row.counted === row.view.events) return;
  row.busy = true;
  const upto = row.view.events;
  try {
    row.account(await call("GET", `sessions/${encodeURIComponent(id)}/account?requests=false`));
    row.counted = upto;
  } catch {
    // The row goes without; the next look tries again.
  } finally {
    row.busy = false;
  }
}

const STATES = { running: "running", queued: "queued", elsewhere: "running elsewhere" };
const WORDS = { limit: "limit reached", error: "fault", waiting: "needs an answer" };
const TONES = { finished: "good", failed: "bad", error: "bad", limit: "warn", cancelled: "warn", waiting: "warn" };

/** The word for a session's state, and its colour. */
export function statusOf({ state, status, questions }) {
  if (questions?.length) return ["needs an answer", "warn"];
  if (state in STATES) return [STATES[state], "busy"];
  return [WORDS[status] ?? status, TONES[status] ?? ""];
}

function made() {
  const part = (name, label) => {
    const value = h("span", { class: "value" });
    return { value, box: h("span", { class: `fact ${name}` }, h("span", { class: "label" }, label), value) };
  };
  const link = h("a", { class: "title", dir: "auto" });
  const status = h("span", { class: "chip" });
  const under = h("span", { class: "dim id" });
  const facts = { rung: part("rung", "Rung"), hits: part("hits", "Cache hits"), cost: part("cost", "Cost"), age: part("age", "Age") };
  const element = h("li", { class: "row" }, status, h("span", { class: "what" }, link, under), Object.values(facts).map((each) => each.box));
  const row = { element, view: null, seen: false, busy: false, counted: -1 };
  row.show = (view) => {
    row.view = view;
    element.dataset.id = view.id;
    const [word, tone] = statusOf(view);
    set(link, line(view.title, 160) || "(no task yet)");
    link.href = `#/s/${encodeURIComponent(view.id)}`;
    set(status, word);
    status.className = `chip ${tone}`;
    set(under, view.id);
    set(facts.cost.value, money(view.cost_usd));
    set(facts.age.value, age(view.updated));
    facts.age.value.title = moment(view.updated);
  };
  row.account = ({ rung: name, cache: { total } }) => {
    set(facts.rung.value, rung(name) || "–");
    set(facts.hits.value, total.prompt ? percent(total.ratio) : "–");
    facts.hits.value.title = total.prompt ? `${percent(total.expected_ratio, 1)} expected` : "";
  };
  set(facts.rung.value, "–");
  set(facts.hits.value, "–");
  return row;
}

function set(element, text) {
  const found = clean(text);
  if (element.textContent !== found) element.textContent = found;
}

/** The form of a new session. */
function begin(go) {
  const message = h("textarea", { id: "task", name: "message", rows: "3", required: true, placeholder: "What is to be done?", "aria-label": "What is to be done?", maxlength: "1000000" });
  const checks = h("textarea", { id: "checks", name: "checks", rows: "2", placeholder: "pytest -q" });
  const button = h("button", { class: "primary" }, "Start");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const commands = checks.value.split("\n").map((each) => each.trim()).filter(Boolean);
      const made = await call("POST", "sessions", { message: message.value, checks: commands });
      speak(`Session begun${commands.length ? ` with ${plural(commands.length, "check")}` : ""}`);
      go(made.id);
    } catch (error) {
      complain(error);
      button.disabled = false;
    }
  };
  const form = h(
    "form",
    { class: "card begin", "aria-label": "New session", onsubmit: submit },
    message,
    h(
      "div",
      { class: "under" },
      h("details", null, h("summary", null, "Checks"), h("label", { for: "checks" }, "Commands that must exit 0 before the run may finish, one a line"), checks),
      button,
    ),
  );
  message.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  return form;
}
