// Events become entries of the timeline: one for each turn, with its calls, and one for whatever
// else is worth a look. A fold over the log, the same for a session of last year and one at work.

const LIVE = 20_000; // characters of a running tool's output that are kept
const PLAIN = {
  "session.started": "started",
  "session.forked": "forked",
  "lane.opened": "lane",
  "steered": "steered",
  "model.changed": "changed",
  "prefix.broken": "break",
  "folded": "folded",
  "check.passed": "check",
  "check.failed": "check",
  "evidence": "evidence",
  "rung.changed": "rung",
  "rung.skipped": "skipped",
  "limit.near": "limit",
  "waited": "waited",
  "sandbox.opened": "sandbox",
  "checkpoint.restored": "restored",
};

export class Story {
  /** @param {{added: (entry) => void, changed: (entry, delta?) => void}} on */
  constructor(on) {
    this.on = on;
    this.entries = [];
    this.last = 0;
    this.turns = 0;
    this.facts = { title: "", agent: "", workspace: "", running: false, ended: false, status: "open" };
    this.plan = [];
    this.checks = new Map();
    this.pending = new Map();
    this.rungs = new Map();
    this.lane = "main";
    this.calls = new Map();
    this.live = new Map();
    this.turn = null;
    this.tree = null;
  }

  /** Take events in, in order. */
  take(events) {
    for (const event of events) {
      if (event.seq !== null && event.seq <= this.last) continue;
      if (event.seq !== null) this.last = event.seq;
      try {
        this.#one(event);
      } catch (error) {
        console.error("an event could not be shown", event.type, error);
      }
    }
  }

  /** The connection was lost: pieces of what was under way are missing. */
  interrupted() {
    for (const entry of this.live.values()) {
      entry.reasoning = entry.content = entry.call = "";
      this.on.changed(entry);
    }
  }

  #one(event) {
    const name = `on_${event.type.replaceAll(".", "_")}`;
    if (typeof this[name] === "function") this[name](event);
    if (event.type in PLAIN) this.#add(PLAIN[event.type], event);
  }

  #add(kind, event, more = {}) {
    const entry = { kind, event, lane: event.lane, seq: event.seq, open: new Set(), ...more };
    entry.id = this.entries.length;
    this.entries.push(entry);
    this.on.added(entry);
    return entry;
  }

  on_session_started(event) {
    this.facts.agent = event.agent;
    this.facts.workspace = event.workspace;
  }

  on_session_forked() {
    this.facts.status = "open";
    this.facts.running = false;
    this.pending.clear();
  }

  on_run_started(event) {
    this.#dropLive();
    Object.assign(this.facts, { running: true, ended: false, status: "open" });
    for (const each of event.checks) if (!this.checks.has(each)) this.checks.set(each, null);
  }

  on_session_finished(event) {
    this.#dropLive();
    Object.assign(this.facts, { running: false, ended: true, status: event.status });
    this.#add("finished", event);
  }

  on_fact(event) {
    if (event.kind === "serve.accepted") this.facts.ended = false;
    if (event.kind === "serve.withdrawn") this.#add("withdrawn", event);
  }

  on_lane_opened(event) {
    const { model, thinking, effort } = event.rung;
    this.rungs.set(event.lane, `${model}·${thinking === false ? "non-thinking" : effort}`);
    if (event.role === "main" || event.role === "hand-off") this.lane = event.lane;
  }

  on_rung_changed(event) {
    if (event.form === "step-down") this.lane = event.to_lane;
  }

  on_message(event) {
    if (event.source === "user" && !event.text.startsWith("[Environment]")) {
      if (!this.facts.title) this.facts.title = event.text;
      this.pending.clear(); // a message in place of an answer declines what is open
      this.#add("user", event);
    } else {
      this.#add("note", event);
    }
  }

  on_model_requested(event) {
    this.#undone(event.lane);
    const entry = this.#add("live", event, { reasoning: "", content: "", call: "" });
    entry.rung = this.rungs.get(event.lane);
    this.live.set(event.lane, entry);
  }

  on_model_delta(event) {
    const entry = this.live.get(event.lane);
    if (!entry) return;
    entry[event.kind] += event.text;
    this.on.changed(entry, event);
  }

  #ended(kind, event, more) {
    const entry = this.live.get(event.lane);
    if (!entry) return this.#add(kind, event, more);
    this.live.delete(event.lane);
    Object.assign(entry, { kind, event, seq: event.seq, text: undefined, ...more });
    this.on.changed(entry);
    return entry;
  }

  on_model_responded(event) {
    this.turns += 1;
    const calls = event.calls.map((each) => newCall(each.id, each.name, each.arguments));
    const rung = this.rungs.get(event.lane);
    const entry = this.#ended("turn", event, { calls, turn: this.turns, rung, changed: false });
    for (const each of calls) this.calls.set(`${event.lane}\n${each.id}`, { entry, call: each });
    this.turn = entry;
  }

  on_model_advised(event) {
    this.#ended("advice", event, { rung: this.rungs.get(event.lane) });
  }

  on_model_failed(event) {
    this.#ended("failed", event);
  }

  #undone(lane) {
    const entry = this.live.get(lane);
    if (!entry) return;
    this.live.delete(lane);
    entry.kind = "lost";
    this.on.changed(entry);
  }

  #dropLive() {
    for (const lane of [...this.live.keys()]) this.#undone(lane);
  }

  #call(event) {
    const key = `${event.lane}\n${event.call_id}`;
    if (!this.calls.has(key)) {
      const call = newCall(event.call_id, event.tool ?? "", "");
      const entry = this.#add("calls", event, { calls: [call] });
      this.calls.set(key, { entry, call });
    }
    return this.calls.get(key);
  }

  on_tool_started(event) {
    const { entry, call } = this.#call(event);
    Object.assign(call, { status: "running", arguments: event.arguments, repairs: event.repairs });
    this.on.changed(entry);
  }

  on_tool_output(event) {
    const { entry, call } = this.#call(event);
    call.output = (call.output + event.text).slice(-LIVE);
    this.on.changed(entry);
  }

  on_tool_finished(event) {
    const { entry, call } = this.#call(event);
    const { status, content, display, duration } = event;
    Object.assign(call, { status, output: content, display, duration });
    entry.text = undefined;
    this.pending.delete(event.call_id);
    this.on.changed(entry);
  }

  on_approval_asked(event) {
    const { entry, call } = this.#call(event);
    call.approval = { ...event, allowed: null };
    call.arguments ??= event.arguments;
    this.pending.set(event.call_id, event);
    this.on.changed(entry);
  }

  on_approval_answered(event) {
    const { entry, call } = this.#call(event);
    call.approval = { ...call.approval, ...event };
    this.pending.delete(event.call_id);
    this.on.changed(entry);
  }

  on_plan_updated(event) {
    this.plan = event.steps;
    this.#add("plan", event);
  }

  on_check_passed(event) {
    this.checks.set(event.command, { passed: true, event });
  }

  on_check_failed(event) {
    this.checks.set(event.command, { passed: false, event });
  }

  on_checkpoint(event) {
    if (event.place) return;
    const moved = this.tree !== null && event.tree && event.tree !== this.tree;
    if (event.tree) this.tree = event.tree;
    const after = event.reason === "after the turn";
    if (this.turn && event.turn === this.turn.turn && (after || event.notice)) {
      this.turn.checkpoint = event;
      this.turn.changed ||= moved && after;
      this.on.changed(this.turn);
    }
  }
}

function newCall(id, tool, raw) {
  return { id, tool, raw, arguments: null, status: "waiting", output: "", display: "", approval: null };
}

/** What the search looks through. */
export function textOf(entry) {
  if (entry.text === undefined || entry.kind === "live") {
    const event = { ...entry.event, system: "", tools: "", settings: "" };
    const calls = (entry.calls ?? []).map((each) => `${each.tool} ${each.raw} ${each.output}`);
    entry.text = [...Object.values(event), ...calls]
      .map((each) => (typeof each === "object" ? JSON.stringify(each) : String(each)))
      .join("\n")
      .toLowerCase();
  }
  return entry.text;
}

/** Entries that tell the course of the work, without the steps. */
const COURSE = new Set([
  "user", "steered", "check", "rung", "break", "limit", "folded", "restored", "forked", "finished",
  "failed", "evidence", "plan", "live",
]);

export function isCourse(entry) {
  return COURSE.has(entry.kind);
}
