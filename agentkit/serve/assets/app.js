// The page's frame: which view is shown, the token, the colours, the keys that work everywhere.

import { call, decoded, takeToken, token } from "./api.js";
import { complain, h } from "./dom.js";
import { bind, showKeys } from "./keys.js";
import { list } from "./list.js";
import { session } from "./session.js";

const main = document.getElementById("main");
const where = document.getElementById("where");
let end = () => {};

function go(id) {
  location.hash = `#/s/${encodeURIComponent(id)}`;
}

function connection(state) {
  const box = document.getElementById("link");
  box.textContent = { live: "", lost: "Connecting again…" }[state] ?? "";
  box.className = `link ${state}`;
}

/** Show what the address names. */
function show() {
  if (/^#token=/.test(location.hash)) takeToken();
  end();
  end = () => {};
  const found = /^#\/s\/([^/]+)$/.exec(location.hash);
  const id = found ? decoded(found[1]) : null;
  document.title = "agentkit";
  for (const each of document.querySelectorAll(".toast.bad")) each.remove(); // of the view before
  where.textContent = "";
  scrollTo(0, 0);
  if (id) {
    where.append(h("a", { href: "#/" }, "All sessions"));
    end = session(main, id, { go, connection });
  } else {
    end = list(main, { go });
  }
}

/** Ask for the token; the service wants one that this tab does not have. */
function door() {
  if (document.querySelector(".door")) return;
  end();
  end = () => {};
  const field = h("input", { type: "password", id: "token", autocomplete: "off", required: true, spellcheck: "false" });
  const wrong = h("p", { class: "bad", role: "alert" }, token.get() ? "The service does not take the token of this tab." : "");
  const submit = async (event) => {
    event.preventDefault();
    token.set(field.value.trim());
    try {
      await call("GET", "sessions?limit=1");
      show();
    } catch (error) {
      wrong.textContent = error.status === 401 ? "The service does not take this token." : error.message;
      field.select();
    }
  };
  main.replaceChildren(
    h(
      "form",
      { class: "card door", onsubmit: submit },
      h("h1", null, "Token"),
      h("p", null, "This service answers only who has its token. ", h("code", null, "agentkit serve"), " prints it at its first start and says in which file it is kept."),
      wrong,
      h("label", { for: "token" }, "Token"),
      field,
      h("p", { class: "dim" }, "It stays in this tab, until the tab is closed."),
      h("p", { class: "buttons" }, h("button", { class: "primary" }, "Go on")),
    ),
  );
  field.focus();
}

const THEMES = { "": ["◐", "as the system"], light: ["○", "light"], dark: ["●", "dark"] };

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("agentkit-theme", name);
  const button = document.getElementById("theme");
  button.textContent = THEMES[name][0];
  button.setAttribute("aria-label", `Colours: ${THEMES[name][1]}`);
  button.title = `Colours: ${THEMES[name][1]}`;
}

function turnTheme() {
  const names = Object.keys(THEMES);
  const now = document.documentElement.dataset.theme ?? "";
  theme(names[(names.indexOf(now) + 1) % names.length]);
}

const kept = localStorage.getItem("agentkit-theme") ?? "";
theme(kept in THEMES ? kept : "");
document.getElementById("theme").addEventListener("click", turnTheme);
document.getElementById("help").addEventListener("click", showKeys);
document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener("unauthorised", door);
addEventListener("unhandledrejection", (event) => complain(event.reason));
addEventListener("hashchange", show);
bind({
  "?": ["These keys", showKeys],
  l: ["The list of sessions", () => (location.hash = "#/")],
  n: ["A new session", newSession],
  d: ["Light, dark, or as the system", turnTheme],
});

function newSession() {
  location.hash = "#/";
  requestAnimationFrame(() => setTimeout(() => document.getElementById("task")?.focus(), 30));
}

takeToken();
show();
