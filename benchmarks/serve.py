"""What the HTTP service adds to the agents in it: turns, latency, memory, and a loop that is free.

    python -m benchmarks.serve [--sessions 50] [--turns 20] [--trace]

The same sessions twice, all at once in one process, on SQLite, against a fake provider in another
process: by ``agent.stream`` alone, and through the service with a client that follows each
session's events. Wall clock, so quote the ratios: what else the machine does is in both. *Turn* is
the time between two calls of a session's tool. *Lag* is how late a timer of 5 ms fires, beside the
same in a process that does nothing else. *Longest step* is the CPU time of one callback of the
event loop, which is ours alone. ``--trace`` prints where a step was after 15 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import uvicorn

from agentkit import Agent, Ladder, Limits, ToolContext, tool
from agentkit.serve import Capacity, router
from agentkit.stores.sqlite import SQLiteStore

TOKEN = "benchmark-token-0123456789"
TICK = 0.005
"""Seconds between two looks whether the loop is free."""
STUCK = 0.015
"""Seconds after which ``--trace`` notes where a step is."""
ROLES = ("library", "service", "idle")


@dataclass
class Report:
    """What one process measured."""

    seconds: float = 0.0
    """From the moment when all sessions were at work to the last call."""
    turns: list[float] = field(default_factory=list[float])
    """Milliseconds of each turn."""
    lag: list[float] = field(default_factory=list[float])
    """Milliseconds by which each timer was late."""
    steps: list[float] = field(default_factory=list[float])
    """CPU milliseconds of each callback that took more than one."""
    memory_kb: float = 0.0
    """Resident memory of each session at work."""
    stuck: list[str] = field(default_factory=list[str])


def watch_steps(report: Report, trace: bool) -> None:
    """Time every callback of this process's event loop."""
    handle: Any = asyncio.events.Handle  # the loop offers no other way to time a callback
    run = handle._run
    since = [0.0]

    def timed(self: Any) -> None:
        since[0], cpu = time.monotonic(), time.thread_time()
        run(self)
        spent = 1000 * (time.thread_time() - cpu)
        since[0] = 0.0
        if spent > 1:
            report.steps.append(spent)

    def look(loop: int) -> None:
        while True:
            time.sleep(TICK)
            if since[0] and time.monotonic() - since[0] > STUCK:
                stack = traceback.extract_stack(sys._current_frames()[loop])  # pyright: ignore[reportPrivateUsage] - documented all the same
                places = [f"{Path(x.filename).name}:{x.lineno} {x.name}" for x in stack[-9:]]
                if "timed" not in places[-1]:  # it had ended: another thread has the interpreter
                    report.stuck.append(" < ".join(reversed(places)))

    handle._run = timed
    if trace:
        threading.Thread(target=look, args=(threading.get_ident(),), daemon=True).start()


async def tick(report: Report) -> None:
    """Note how late timers fire, until cancelled."""
    while True:
        due = time.monotonic() + TICK
        await asyncio.sleep(TICK)
        report.lag.append(1000 * (time.monotonic() - due))


class Work:
    """An agent whose sessions meet at their first call, and then go on together."""

    def __init__(self, url: str, folder: str, sessions: int, report: Report) -> None:
        self._report = report
        self._sessions = sessions
        self._marks: defaultdict[str, list[float]] = defaultdict(list[float])
        self._together = asyncio.Event()
        self._before = 0.0
        self.agent = Agent(
            "bench",
            tools=[tool(self.get)],
            base_url=url,
            api_key="none",
            store=SQLiteStore(folder),
            ladder=Ladder.single("deepseek-flash", max_tokens=8_000),
            limits=Limits(cost_usd=None, turns=None),
        )

    async def get(self, context: ToolContext, number: int) -> str:
        """Get a text."""
        if number == 0 and self._before:
            self._marks[context.session_id].append(0.0)
            if len(self._marks) == self._sessions:
                self._report.memory_kb = (resident() - self._before) / self._sessions
                self._together.set()
            await self._together.wait()
            self._marks[context.session_id][0] = time.monotonic()
        else:
            self._marks[context.session_id].append(time.monotonic())
        return f"text {number} " * 20

    async def measure(self, run: Callable[[str], Awaitable[None]], turns: int) -> None:
        """One session to warm up, then all of them."""
        await run("work 2 0")
        self._marks.clear()
        gc.collect()
        gc.freeze()  # as `agentkit serve` does: a full collection of all modules takes 60 ms
        await asyncio.sleep(0)
        self._report.steps.clear()
        self._before = resident()
        watching = asyncio.create_task(tick(self._report))
        await asyncio.gather(*(run(f"work {turns} 0") for _ in range(self._sessions)))
        watching.cancel()
        for marks in self._marks.values():
            self._report.turns += [1000 * (b - a) for a, b in pairwise(marks)]
        moments = [each for marks in self._marks.values() for each in marks]
        self._report.seconds = max(moments) - min(moments)


def resident() -> float:
    """Kilobytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


async def library(work: Work, turns: int) -> None:
    """By ``session.stream`` alone."""

    async def run(task: str) -> None:
        async with work.agent.session() as session:
            async for _ in session.stream(task):
                pass

    await work.measure(run, turns)


async def service(work: Work, turns: int, sessions: int) -> None:
    """Through the service, with a client in another process that follows all streams."""
    places = Capacity(runs=sessions, tenant_runs=sessions)
    app = router(work.agent, token=TOKEN, capacity=places)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", loop="asyncio"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.serve", "client", address,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        to_client, from_client = client.stdin, client.stdout
        ended: list[asyncio.Future[None]] = []

        async def hear() -> None:
            while await from_client.readline():
                next(each for each in ended if not each.done()).set_result(None)

        hearing = asyncio.create_task(hear())

        async def run(task: str) -> None:
            ended.append(asyncio.get_running_loop().create_future())
            to_client.write(f"{task}\n".encode())
            await ended[-1]

        await work.measure(run, turns)
        to_client.close()
        await client.wait()
        await hearing
        server.should_exit = True
        await serving


async def client(address: str) -> None:
    """Begin a session for each line of standard input, follow it, and print a line at its end."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(
        base_url=address, headers=headers, timeout=600, limits=limits
    ) as http:

        async def follow(task: str) -> None:
            begun = await http.post("/sessions", json={"message": task})
            begun.raise_for_status()
            events = f"/sessions/{begun.json()['id']}/events?until=finished"
            last = ""
            async with http.stream("GET", events) as stream:
                async for line in stream.aiter_lines():
                    last = line or last
            assert '"finished"' in last, last
            print("ended", flush=True)

        async with asyncio.TaskGroup() as tasks:
            while line := await asyncio.to_thread(sys.stdin.readline):
                tasks.create_task(follow(line.strip()))


async def idle(seconds: float, report: Report) -> None:
    """A process that does nothing: what lateness is the machine's."""
    watching = asyncio.create_task(tick(report))
    await asyncio.sleep(seconds)
    watching.cancel()


async def in_role(role: str, given: argparse.Namespace) -> Report:
    """What one contender's process does."""
    report = Report()
    if role == "idle":
        await idle(10.0, report)
        return report
    watch_steps(report, given.trace)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(given.url, folder, given.sessions, report)
        if role == "library":
            await library(work, given.turns)
        else:
            await service(work, given.turns, given.sessions)
        assert work.agent.store is not None
        await asyncio.to_thread(work.agent.store.close)
    return report


def at(values: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(reports: dict[str, Report], given: argparse.Namespace) -> None:
    """Print the figures and their ratios."""
    alone, served = reports["library"], reports["service"]
    calls = given.sessions * (given.turns - 1)
    print(f"{given.sessions} sessions of {given.turns} turns at once\n")
    rows = [
        ("turns per second", *(calls / each.seconds for each in (alone, served))),
        ("turn, p50 ms", median(alone.turns), median(served.turns)),
        ("turn, p99 ms", at(alone.turns, 0.99), at(served.turns, 0.99)),
        ("memory, KB a session", alone.memory_kb, served.memory_kb),
        ("loop lag, p99 ms", at(alone.lag, 0.99), at(served.lag, 0.99)),
        ("loop lag, max ms", max(alone.lag), max(served.lag)),
        ("longest step, CPU ms", max(alone.steps), max(served.steps)),
        ("steps over 20 ms CPU", *(sum(x > 20 for x in e.steps) for e in (alone, served))),
    ]
    print(f"{'':24}{'library':>10}{'service':>10}{'ratio':>8}{'idle':>8}")
    nothing = reports["idle"].lag
    for name, one, other in rows:
        ratio = f"{other / one:.2f}" if one else "-"
        still = {"loop lag, p99 ms": at(nothing, 0.99), "loop lag, max ms": max(nothing)}.get(name)
        print(
            f"{name:24}{one:10.1f}{other:10.1f}{ratio:>8}"
            f"{f'{still:8.1f}' if still is not None else ''}"
        )
    for name, each in reports.items():
        counted: defaultdict[str, int] = defaultdict(int)
        for place in each.stuck:
            counted[place] += 1
        for place, count in sorted(counted.items(), key=lambda pair: -pair[1])[:15]:
            print(f"{name}: {count}× {place}")


def main() -> None:
    """Run all contenders, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", nargs="?", default="all", choices=[*ROLES, "client", "all"])
    parser.add_argument("url", nargs="?", default="")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--trace", action="store_true")
    given = parser.parse_args()
    if given.role == "client":
        asyncio.run(client(given.url))
    elif given.role != "all":
        print(json.dumps(asdict(asyncio.run(in_role(given.role, given)))))
    else:
        show(_all(given), given)


def _all(given: argparse.Namespace) -> dict[str, Report]:
    start = [sys.executable, "-c", "from benchmarks.history import provider; provider()"]
    with subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as model:
        assert model.stdin is not None
        assert model.stdout is not None
        url = model.stdout.readline().strip()
        reports: dict[str, Report] = {}
        for role in ROLES:
            command = [sys.executable, "-m", "benchmarks.serve", role, url]
            command += [f"--sessions={given.sessions}", f"--turns={given.turns}"]
            command += ["--trace"] * given.trace
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            reports[role] = Report(**json.loads(done.stdout))
        model.stdin.close()
    return reports


if __name__ == "__main__":
    main()
