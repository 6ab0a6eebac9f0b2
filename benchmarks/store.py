"""What the session store costs: listing and opening in a store of 1,000 sessions, fsyncs a turn.

    python -m benchmarks.store [--sessions 1000] [--turns 200] [--json]

Times are CPU time (medians, each opening the store anew), beside a plain read of the same bytes
from a file, so that the ratios mean something on a machine that others use. "Opening" is
all that a resume does before its first request: read, verify the chain, decode, fold. fsyncs are
counted by strace on a real session against a fake provider: the difference between a long and a
short one, so that what happens once does not count. Exit code 1 where a budget is exceeded.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentkit.events import (
    Event,
    LaneOpened,
    Message,
    ModelRequested,
    ModelResponded,
    SessionStarted,
    ToolFinished,
    ToolStarted,
    to_dict,
)
from agentkit.log import read
from agentkit.models.types import ToolCall, Usage
from agentkit.state import replay
from agentkit.stores import Row
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply

BUDGETS = {"list 1,000 sessions, ms": 100, "open 200 turns, ms": 50, "open 4 MB, ms": 300}
MOST_FSYNCS = 3.0


def main() -> int:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        _work(*options.work)
        return 0
    with tempfile.TemporaryDirectory(prefix="agentkit-bench-") as folder:
        figures = _scale(Path(folder), options.sessions, options.turns)
        figures["fsyncs a turn"] = _fsyncs(Path(folder))
    over = [name for name, most in BUDGETS.items() if figures[name] > most]
    if figures["fsyncs a turn"] > MOST_FSYNCS:
        over.append("fsyncs a turn")
    if options.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    else:
        for name, value in figures.items():
            print(f"{name:36} {value:10.2f}{'   too much' if name in over else ''}")
    return 1 if over else 0


def _scale(folder: Path, sessions: int, turns: int) -> dict[str, float]:
    store = SQLiteStore(folder)
    rows = list(_rows(turns, 700))
    started = time.perf_counter()
    for number in range(sessions):
        store.append(f"s{number:06}", rows)
    seconds = time.perf_counter() - started
    large = list(_rows(turns, 20_000))
    store.append("large", large)
    store.close()
    figures = {
        "store, MB": (folder / "sessions.db").stat().st_size / 1e6,
        "events written per second": sessions * len(rows) / seconds,
        "list 1,000 sessions, ms": _median(folder, lambda store: store.sessions()),
    }
    middle = f"s{sessions // 2:06}"
    for name, session_id, kept in (("200 turns", middle, rows), ("4 MB", "large", large)):
        plain = _plain_read(folder, kept)
        opening = _median(folder, lambda store, each=session_id: replay(read(store, each)))
        reading = _median(folder, lambda store, each=session_id: store.read(each))
        figures |= {
            f"{name}: MB of events": sum(len(row.data) for row in kept) / 1e6,
            f"{name}: plain read of them, ms": plain,
            f"open {name}, ms": opening,
            f"open {name}, times a plain read": opening / plain,
            f"read and verify {name}, times": reading / plain,
        }
    return figures


def _median(folder: Path, work: Callable[[SQLiteStore], object]) -> float:
    """Milliseconds of the work on a store that was just opened."""
    times: list[float] = []
    for _ in range(9):
        started = time.process_time()
        store = SQLiteStore(folder)
        work(store)
        times.append((time.process_time() - started) * 1000)
        store.close()
    return statistics.median(times)


def _plain_read(folder: Path, rows: list[Row]) -> float:
    path = folder / "plain"
    path.write_text("\n".join(row.data for row in rows))
    times: list[float] = []
    for _ in range(9):
        started = time.process_time()
        path.read_text()
        times.append((time.process_time() - started) * 1000)
    return statistics.median(times)


def _rows(turns: int, size: int) -> Iterator[Row]:
    """A session of so many turns, each with a result of ``size`` characters."""
    for seq, event in enumerate(_events(turns, size), 1):
        numbered = replace(event, seq=seq, time="2026-11-24T00:00:00.000Z")
        data = json.dumps(to_dict(numbered), ensure_ascii=False, separators=(",", ":"))
        yield Row(seq, numbered.time, numbered.type, numbered.lane, data, numbered)


def _events(turns: int, size: int) -> Iterator[Event]:
    yield SessionStarted(session_id="s", agent="bench", version="0", workspace="/w")
    rung = {"model": "deepseek-v4-flash"}
    yield LaneOpened(rung=rung, system="You work. " * 400, tools=())
    yield Message(text="Mend the failing test of the parser.")
    result = ("def parse(text):\n    return [line.split() for line in text]\n" * 400)[:size]
    for turn in range(turns):
        call = ToolCall(id=f"call_{turn}", name="bash", arguments='{"command": "pytest -q"}')
        yield ModelRequested(model="deepseek-v4-flash", attempt=1, size=9000, prefix="0" * 16)
        yield ModelResponded(
            content="I look.", reasoning="Think. " * 20, calls=(call,), finish_reason="tool_calls",
            usage=Usage(prompt_tokens=9000, completion_tokens=90), cost_usd=0.0001,
        )  # fmt: skip
        yield ToolStarted(call_id=call.id, tool="bash", arguments={"command": "pytest -q"})
        yield ToolFinished(call_id=call.id, tool="bash", status="done", content=f"{turn}{result}")


# fsyncs


def _fsyncs(folder: Path) -> float:
    """Calls of fsync and fdatasync for each turn of a real session."""
    if shutil.which("strace") is None:
        sys.exit("strace is not installed: scripts/ensure-test-tools installs it")
    counts = {turns: _count(folder, turns) for turns in (10, 60)}
    return (counts[60] - counts[10]) / 50


def _count(folder: Path, turns: int) -> int:
    def answer(request: dict[str, Any]) -> Reply:
        done = sum(message["role"] == "assistant" for message in request["messages"])
        call = Call("bash", {"command": f"echo {done}"})
        return Reply(calls=[call], reasoning="r") if done < turns else Reply(content="Done.")

    trace = folder / f"trace-{turns}"
    home = folder / f"home-{turns}"
    with FakeDeepSeek(answer, exact=False) as server:
        traced = ["-m", "benchmarks.store", "--work", server.base_url, str(home), str(folder)]
        options = ["-f", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
        subprocess.run(["strace", *options, sys.executable, *traced], check=True)
    return len(re.findall(r"\bf(?:data)?sync\(", trace.read_text()))


def _work(url: str, home: str, workspace: str) -> None:
    """The traced process: one session on the local sandbox."""
    from agentkit import Agent
    from agentkit.sandboxes import Local
    from agentkit.tools import shell

    agent = Agent(
        "bench", tools=shell(), sandbox=Local(workspace=workspace), store=SQLiteStore(home),
        base_url=url, api_key="k",
    )  # fmt: skip
    result = agent.run_sync("Work.")
    if not result.ok:
        sys.exit(f"the session ended as {result.status}: {result.output}")


if __name__ == "__main__":
    sys.exit(main())
