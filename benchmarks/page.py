"""The web page on long sessions, in a real Chromium: loading, scrolling, size of the document.

    python -m benchmarks.page [TURNS …]        (200, 2000 and 10000 without an argument)

The log is written straight into a store and served by the real service; a headless Chromium opens
the session, and is scrolled through all of it. Frames are counted in the page with
``requestAnimationFrame``, long tasks by the browser itself. Compare the rows with one another: the
machine's speed is in all of them.
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Page, sync_playwright

from agentkit import Agent
from agentkit.serve import router
from agentkit.stores.sqlite import SQLiteStore
from benchmarks.long_session import long_session, write

TOKEN = "token-of-the-benchmark-0123"
SHAPES = (200, 2000, 10_000)
PROGRAMS = ("/usr/lib/chromium/chromium", "chromium", "chromium-browser", "google-chrome")
WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => tasks.push(...list.getEntries().map((each) => each.duration)))
    .observe({ type: "longtask" });
}"""
SCROLL = """async (steps) => {
  const frames = [], counts = [];
  const next = () => new Promise((done) => requestAnimationFrame(done));
  tasks.length = 0;
  let last = await next();
  for (let at = 0; at < steps; at += 1) {
    scrollBy(0, 240);
    const now = await next();
    frames.push(now - last);
    last = now;
    counts.push(document.getElementsByTagName("*").length);
  }
  frames.sort((a, b) => a - b);
  return {
    mean: frames.reduce((sum, each) => sum + each, 0) / frames.length,
    p99: frames[Math.floor(frames.length * 0.99)],
    longest: frames.at(-1),
    tasks: tasks.length,
    longestTask: Math.max(0, ...tasks),
    nodes: Math.max(...counts),
  };
}"""


@contextmanager
def served(store: SQLiteStore) -> Generator[str]:
    """The service on a free port, in a thread."""
    service = router(Agent("bench"), store=store, token=TOKEN)
    sock = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(service, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def measure(page: Page, address: str, session: str, events: int) -> dict[str, Any]:
    """Open the session and scroll through 600 steps of 240 px of it, beginning in its middle."""
    page.goto(f"{address}/#token={TOKEN}")
    page.wait_for_selector(".sessions .row")
    page.evaluate(WATCH)
    started = time.perf_counter()
    page.goto(f"{address}/#/s/{session}")
    page.wait_for_selector(".entry")
    first = time.perf_counter() - started
    page.wait_for_selector('.feed[aria-busy="false"]', timeout=120_000)
    whole = time.perf_counter() - started
    page.wait_for_selector(".plot", state="attached")
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight / 2)")
    page.wait_for_timeout(500)
    found = page.evaluate(SCROLL, 600)
    heap = page.evaluate("() => performance.memory.usedJSHeapSize") / 1e6
    return {"events": events, "first": first, "whole": whole, "heap": heap, **found}


def main() -> None:
    """Print a table."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit("there is no Chromium; scripts/ensure-test-tools installs it on Debian")
    shapes = [int(each) for each in sys.argv[1:]] or list(SHAPES)
    print("turns   events  first   loaded  frame mean  p99     longest  tasks >50 ms  longest"
          "  elements  heap")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--enable-precise-memory-info"]
        )
        for turns in shapes:
            store = SQLiteStore(Path(folder) / str(turns))
            events = write(store, "long", long_session("long", turns))
            with served(store) as address:
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                found = measure(page, address, "long", events)
                page.close()
            store.close()
            print(
                "{turns:<7} {events:<7} {first:5.2f} s {whole:6.2f} s {mean:7.1f} ms {p99:7.1f} ms"
                " {longest:7.1f} ms {tasks:>9} {longestTask:>11.0f} ms {nodes:>8} {heap:6.0f} MB"
                .format(turns=turns, **found)
            )  # fmt: skip
        browser.close()


if __name__ == "__main__":
    main()
