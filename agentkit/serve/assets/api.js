// The service: calls, and the stream of events. The token travels in a header only.

const KEY = "agentkit-token";
const BASE = new URL(".", location.href.split("#")[0]);
const QUIET = 45_000; // ms without a byte (there is one at least every 15 s): the line is dead
const FINAL = new Set([401, 403, 404, 421, 422]); // asking again would not help

/** What the service says went wrong. */
export class Problem extends Error {
  constructor(status, detail, hint = "") {
    super(detail);
    this.status = status;
    this.hint = hint;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

/** Take the token out of the address (`#token=…`), where neither logs nor history keep it. */
export function takeToken() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (!found) return;
  token.set(decoded(found[1]));
  history.replaceState(null, "", "#/");
}

/** What an address spells with percent signs; as it is where it spells nothing. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function headers(more = {}) {
  const given = token.get();
  return given ? { Authorization: `Bearer ${given}`, ...more } : more;
}

async function problem(answer) {
  let found = {};
  try {
    found = await answer.json();
  } catch {
    // Something between us and the service answered.
  }
  let hint = found.hint ?? "";
  if (answer.status === 401) document.dispatchEvent(new Event("unauthorised"));
  const after = answer.headers.get("retry-after");
  if (after) hint = `${hint ? `${hint}. ` : ""}Try again in ${after} s.`;
  return new Problem(answer.status, found.detail ?? `The server answered ${answer.status}`, hint);
}

async function fetched(path, options) {
  try {
    return await fetch(new URL(path, BASE), { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server cannot be reached", "Is it running? The page goes on when it answers.");
  }
}

/** One call; gives the answer's JSON. */
export async function call(method, path, body, { signal } = {}) {
  const more = body === undefined ? {} : { "Content-Type": "application/json" };
  const answer = await fetched(path, {
    method,
    headers: headers(more),
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  });
  if (!answer.ok) throw await problem(answer);
  return answer.json();
}

/** A file, as a blob: a link could not send the token. */
export async function download(path) {
  const answer = await fetched(path, { headers: headers() });
  if (!answer.ok) throw await problem(answer);
  return answer.blob();
}

/** Splits a stream into Server-Sent Events; an unfinished one waits for its end. */
export class Frames {
  #rest = "";

  /** @returns {{id: string, event: string, data: string}[]} */
  take(text) {
    const parts = (this.#rest + text).split("\n\n");
    this.#rest = parts.pop();
    return parts.map(frame).filter((each) => each.data);
  }
}

function frame(text) {
  const found = { id: "", event: "", data: "" };
  for (const each of text.split("\n")) {
    const colon = each.indexOf(":");
    const name = each.slice(0, colon);
    if (name in found) found[name] += each.slice(colon + 1).replace(/^ /, "");
  }
  return found;
}

/**
 * A session's events from `after` on, until the signal: after a lost connection it goes on where
 * it was.
 * @param {{events: (list: object[]) => void, state: (now: "live"|"lost") => void,
 *          failed: (error: Problem) => void}} on
 */
export async function follow(session, after, on, signal) {
  let wait = 500;
  const place = { last: after };
  while (!signal.aborted) {
    try {
      await listen(session, place, on, signal);
      wait = 500;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem && FINAL.has(error.status)) {
        on.failed(error);
        return;
      }
    }
    if (signal.aborted) return;
    on.state("lost");
    await pause(wait, signal);
    wait = Math.min(wait * 2, 10_000);
  }
}

async function listen(session, place, on, signal) {
  const answer = await fetched(`sessions/${encodeURIComponent(session)}/events`, {
    headers: headers({ "Last-Event-ID": String(place.last) }),
    signal,
  });
  if (!answer.ok) throw await problem(answer);
  on.state("live");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const frames = new Frames();
  let alarm = 0;
  try {
    for (;;) {
      clearTimeout(alarm);
      alarm = setTimeout(() => reader.cancel().catch(() => {}), QUIET);
      const { done, value } = await reader.read();
      if (done) return;
      const found = frames.take(value);
      for (const each of found) if (each.id) place.last = Number(each.id);
      if (found.length) on.events(found.map((each) => JSON.parse(each.data)));
    }
  } finally {
    clearTimeout(alarm);
    reader.cancel().catch(() => {});
  }
}

/** Wait so many milliseconds, or until the signal. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}
