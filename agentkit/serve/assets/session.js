// One session: its timeline, live while it runs, its numbers, and what can be done with it.

import { call, download, follow, pause } from "./api.js";
import { clean, complain, h, line, speak, toast, ask } from "./dom.js";
import { dock } from "./dock.js";
import { render } from "./entries.js";
import { bind } from "./keys.js";
import { statusOf } from "./list.js";
import { gist, overview, plots } from "./numbers.js";
import { Scroller } from "./scroller.js";
import { isCourse, Story, textOf } from "./story.js";

const LOOK = 3000; // ms between two looks at the state, while something runs
const SOON = 200; // the same, while a run that has ended is tidied up
const COUNT = 2500; // ms between two fetches of the account
const HIDDEN = 5000; // ms out of sight after which the stream is closed: a browser has few of them

/** Shows the session in `main`; gives a function that ends it. */
export function session(main, id, { go, connection }) {
  const view = new View(main, id, go, connection);
  view.start();
  return () => view.end();
}

class View {
  constructor(main, id, go, connection) {
    Object.assign(this, { main, id, go, connection });
    this.path = `sessions/${encodeURIComponent(id)}`;
    this.info = null;
    this.account = null;
    this.fresh = [];
    this.dirtySide = true;
    this.ended = new AbortController();
    this.wanted = { text: "", course: false };
    this.story = new Story({ added: (entry) => this.added(entry), changed: (entry, delta) => this.changed(entry, delta) });
    this.build();
  }

  build() {
    this.title = h("h1", { dir: "auto" }, "Loading…");
    this.status = h("span", { class: "chip" });
    this.stop = h("button", { type: "button", class: "danger", hidden: true, onclick: () => this.cancel() }, "Cancel run");
    this.search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search in the timeline", oninput: () => this.filter(), "aria-keyshortcuts": "/" });
    this.which = h("select", { "aria-label": "What to show", onchange: () => this.filter() }, h("option", { value: "all" }, "All entries"), h("option", { value: "course" }, "Course only"));
    this.found = h("span", { class: "dim", role: "status" });
    this.feed = h("div", { class: "feed", role: "feed", "aria-label": "Timeline", "aria-busy": "true" });
    this.empty = h("p", { class: "dim empty", hidden: true }, "Nothing happened yet.");
    this.side = h("div", { class: "facts" });
    this.drawn = h("div", { class: "drawn" });
    this.dock = dock({ path: this.path, after: () => this.look() });
    this.latest = h("button", { type: "button", class: "latest", hidden: true, onclick: () => this.toEnd() }, "↓ Latest");
    const save = (kind) => h("button", { type: "button", class: "quiet", onclick: () => this.save(kind) }, kind);
    this.main.replaceChildren(
      h(
        "div",
        { class: "page session" },
        h("div", { class: "session-head" }, this.title, h("p", { class: "line" }, this.status, h("code", { class: "dim" }, this.id), h("span", { class: "spread" }), this.stop)),
        h(
          "section",
          { class: "work", "aria-label": "What happened" },
          h("div", { class: "tools" }, this.search, this.which, this.found, h("span", { class: "spread" }), h("span", { class: "dim" }, "Export:"), save("jsonl"), save("atif"), save("html")),
          h("h2", { class: "unseen" }, "Timeline"),
          this.empty,
          this.feed,
          h("div", { class: "bottom" }, this.latest, this.dock.element),
        ),
        h("aside", { class: "side", "aria-label": "Numbers" }, this.sideFold()),
      ),
    );
    const act = { again: (entry) => this.scroller.touch(entry), fork: (turn) => this.fork(turn), undo: (turn) => this.undo(turn), changes: (entry) => this.changes(entry) };
    this.scroller = new Scroller(this.feed, (entry) => render(entry, act));
    this.unbind = bind({
      j: ["Next entry", () => this.scroller.move(1)],
      k: ["Entry before", () => this.scroller.move(-1)],
      e: ["To the end, and stay there", () => this.toEnd()],
      t: ["To the start", () => this.toStart()],
      "/": ["Search in the timeline", () => this.search.focus()],
      m: ["Write a message", () => this.dock.focus()],
      o: ["Unfold or fold the entry", () => this.unfold()],
    });
  }

  /** On a narrow window the numbers are folded up above the timeline. */
  sideFold() {
    const narrow = matchMedia("(max-width: 64rem)");
    this.gist = h("span");
    const box = h("details", { class: "side-fold", open: !narrow.matches }, h("summary", null, this.gist), this.side, this.drawn);
    narrow.addEventListener("change", () => (box.open = !narrow.matches), { signal: this.ended.signal });
    return box;
  }

  start() {
    this.scrolled = () => this.onScroll();
    this.visible = () => this.onVisible();
    addEventListener("scroll", this.scrolled, { passive: true });
    document.addEventListener("visibilitychange", this.visible);
    this.look();
    this.listen();
  }

  end() {
    this.ended.abort();
    this.stream?.abort();
    for (const timer of [this.timer, this.counter, this.hiding]) clearTimeout(timer);
    this.unbind();
    removeEventListener("scroll", this.scrolled);
    document.removeEventListener("visibilitychange", this.visible);
    this.connection("");
  }

  // The stream.

  listen() {
    this.stream?.abort();
    const stream = (this.stream = new AbortController());
    const on = {
      events: (list) => this.take(list),
      state: (now) => this.connected(now),
      failed: (error) => this.failed(error),
    };
    follow(this.id, this.story.last, on, stream.signal);
  }

  connected(now) {
    this.connection(now);
    if (now === "lost") this.story.interrupted();
  }

  failed(error) {
    this.connection("");
    this.title.textContent = clean(error.message);
    this.feed.setAttribute("aria-busy", "false");
    complain(error);
  }

  onVisible() {
    clearTimeout(this.hiding);
    if (document.hidden) {
      this.hiding = setTimeout(() => {
        this.stream.abort();
        this.stream = null;
        this.story.interrupted();
      }, HIDDEN);
    } else {
      if (!this.stream) this.listen();
      this.look();
    }
  }

  take(list) {
    const before = this.story.facts.running;
    this.story.take(list);
    this.schedule();
    this.tellDock();
    if (list.some((each) => LOOKED.has(each.type))) this.look();
    if (before && !this.story.facts.running) speak(`The run ended: ${line(this.story.facts.status)}`);
    for (const each of list) if (each.type === "approval.asked") speak(`The call of ${line(each.tool)} waits for an answer`);
    if (list.some((each) => each.seq !== null)) this.dirtySide = true;
    this.count();
  }

  added(entry) {
    this.fresh.push(entry);
  }

  changed(entry, delta) {
    if (!delta) {
      this.scroller.touch(entry);
      return;
    }
    const node = entry.sinks?.[delta.kind];
    if (!node || !this.scroller.element(entry)) return;
    node.appendData(clean(delta.text));
    node.parentElement.hidden = false;
    this.schedule();
  }

  /** Draw what is new, once a frame. */
  schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.ended.signal.aborted) return;
      const fresh = this.fresh.splice(0).filter((each) => this.matches(each));
      this.scroller.append(fresh);
      if (this.scroller.follow) this.scroller.toEnd();
      if (this.dirtySide) this.drawSide();
    });
  }

  drawSide() {
    this.dirtySide = false;
    const { facts } = this.story;
    this.title.textContent = line(facts.title || this.info?.title, 300) || "(no task yet)";
    document.title = `${line(facts.title || this.info?.title, 60) || this.id} · agentkit`;
    this.gist.textContent = clean(gist(this.story, this.account));
    this.side.replaceChildren(...overview(this.story, this.account));
    this.dock.pending(this.story.pending);
    this.empty.hidden = this.story.entries.length > 0;
    const caughtUp = !this.info || this.story.last >= this.info.events;
    this.feed.setAttribute("aria-busy", String(!caughtUp));
    this.tellFound();
  }

  tellFound() {
    const some = this.wanted.text || this.wanted.course;
    this.found.textContent = some ? `${this.scroller.count} of ${this.story.entries.length}` : "";
  }

  // What the log does not say: whether it runs here, and what waits for an answer.

  async look() {
    clearTimeout(this.timer);
    const asked = (this.asked = (this.asked ?? 0) + 1);
    try {
      const info = await call("GET", this.path, undefined, { signal: this.ended.signal });
      if (asked !== this.asked) return;
      this.info = info;
      const [word, tone] = statusOf(info);
      this.status.textContent = word;
      this.status.className = `chip ${tone}`;
      this.stop.hidden = !["running", "queued"].includes(info.state);
      this.tellDock();
      // What is at work is read from its end, unless one has begun to read elsewhere.
      if (asked === 1 && info.state !== "idle" && !this.place) this.scroller.follow = true;
      this.dirtySide = true;
      this.schedule();
    } catch (error) {
      if (error.status === 404) return;
    }
    const busy = this.info && this.info.state !== "idle";
    const soon = busy && this.story.facts.ended ? SOON : LOOK;
    if (busy && !document.hidden && !this.ended.signal.aborted) this.timer = setTimeout(() => this.look(), soon);
  }

  /** After a run's last event the service still tidies up, and takes no message yet. */
  tellDock() {
    if (!this.info) return;
    const ending = this.info.state === "running" && this.story.facts.ended;
    this.dock.state(ending ? { ...this.info, state: "ending", questions: [] } : this.info);
    return ending;
  }

  count() {
    if (this.counter || this.ended.signal.aborted) return;
    const fetchIt = async () => {
      const upto = this.story.last;
      const began = performance.now();
      try {
        const found = await call("GET", `${this.path}/account`, undefined, { signal: this.ended.signal });
        this.account = found;
        this.drawPlots(found);
        this.dirtySide = true;
        this.schedule();
      } catch {
        // The numbers stay as they were; the next event asks again.
      }
      this.counter = setTimeout(() => {
        this.counter = 0;
        if (this.story.last > upto) this.count();
      }, Math.max(COUNT, 10 * (performance.now() - began)));
    };
    this.counter = setTimeout(fetchIt, 60);
  }

  drawPlots(account) {
    if (this.drawn.contains(document.activeElement)) return; // somebody reads there
    const open = [...this.drawn.querySelectorAll("details")].map((each) => each.open);
    this.drawn.replaceChildren(...plots(account));
    this.drawn.querySelectorAll("details").forEach((each, index) => (each.open = open[index] ?? false));
  }

  // Looking around.

  matches(entry) {
    if (this.wanted.course && !isCourse(entry)) return false;
    return !this.wanted.text || textOf(entry).includes(this.wanted.text);
  }

  filter() {
    this.wanted = { text: this.search.value.trim().toLowerCase(), course: this.which.value === "course" };
    this.fresh = [];
    this.scroller.set(this.story.entries.filter((each) => this.matches(each)));
    this.tellFound();
  }

  onScroll() {
    const { scrollHeight, scrollTop, clientHeight } = document.documentElement;
    const atEnd = scrollHeight - scrollTop - clientHeight < 60;
    // Only going up ends the following: the page also grows by itself.
    if (atEnd) this.scroller.follow = this.scroller.follow || this.story.facts.running;
    else if (scrollTop < (this.place ?? 0) - 2) this.scroller.follow = false;
    this.place = scrollTop;
    this.latest.hidden = atEnd || scrollHeight < 2 * clientHeight;
  }

  toEnd() {
    this.scroller.toEnd();
    this.latest.hidden = true;
  }

  toStart() {
    this.scroller.follow = false;
    window.scrollTo({ top: 0 });
  }

  unfold() {
    const entry = document.activeElement?.closest?.(".entry");
    const folds = entry ? [...entry.querySelectorAll("details")] : [];
    const open = folds.some((each) => !each.open);
    for (const each of folds) each.open = open;
  }

  // Doing something.

  async cancel() {
    try {
      await call("POST", `${this.path}/cancel`, {});
      toast("The run is told to stop");
    } catch (error) {
      complain(error);
    }
    this.look();
  }

  async fork(turn) {
    const body = h("p", null, `A new session begins after turn ${turn}, with a copy of the workspace as it was then.`);
    if (!(await ask({ title: `Fork after turn ${turn}?`, body: [body], go: "Fork" }))) return;
    this.branch("fork", { turn });
  }

  async undo(turn) {
    const body = [
      h("p", null, `The session goes on from the end of turn ${turn} under a new id. Nothing is deleted.`),
      h("p", null, h("input", { type: "checkbox", name: "files", id: "undo-files", checked: true }), " ", h("label", { for: "undo-files" }, "Put the files of the workspace back too")),
    ];
    const answer = await ask({ title: `Undo to the end of turn ${turn}?`, body, go: "Undo", danger: true });
    if (answer) this.branch("undo", { to_turn: turn, files: answer.has("files") });
  }

  async branch(what, body) {
    try {
      await this.look();
      while (this.info?.state === "running" && this.story.facts.ended) {
        await pause(SOON, this.ended.signal); // it tidies up
        await this.look();
      }
      const made = await call("POST", `${this.path}/${what}`, body);
      toast(`Session ${made.session_id} goes on from turn ${made.turn}`, { hint: made.files ? `${made.files} paths were put back` : "" });
      this.go(made.session_id);
    } catch (error) {
      complain(error);
    }
  }

  async changes(entry) {
    try {
      entry.patch = await call("GET", `${this.path}/changes?turn=${entry.turn}`);
    } catch (error) {
      entry.open.delete("changes");
      complain(error);
    }
    this.scroller.touch(entry);
  }

  async save(kind) {
    try {
      const url = URL.createObjectURL(await download(`${this.path}/export?format=${kind}`));
      h("a", { href: url, download: `${this.id}.${kind === "atif" ? "atif.json" : kind}` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (error) {
      complain(error);
    }
  }
}

/** Events after which the session's state is another. */
const LOOKED = new Set(["session.started", "run.started", "session.finished", "approval.asked", "approval.answered", "fact"]);
