"""How large a cluster an evaluation needs: measured costs of a trial, then a simulation with them.

    python -m benchmarks.scale            # measure on this machine (needs Docker and the extra ray)
    python -m benchmarks.scale --assume   # only simulate, with the numbers of docs/scale.md

Measured: what a trial costs the process that hands out the work, its node and the wire, with the
``nop`` agent, so that only the machinery counts. Simulated: trials that alternate between waiting
for the model and running tools, on N nodes, against the account's limit of requests in flight.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from agentkit.evals.job import Job
    from agentkit.evals.results import Record
    from agentkit.evals.spec import Trial

ROOT = Path(__file__).resolve().parent.parent
FLASH_LIMIT = 2_500
"""Requests in flight per account for Flash (api-docs, rate limit page, read 2026-11)."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one trial costs beside the agent's own work."""

    driver_cpu: float
    """CPU seconds of the process that holds the job."""
    node_seconds: float
    """Wall clock on the node: connect, container, tests, removal."""
    sent: int
    """Bytes to the node."""
    returned: int
    """Bytes back."""
    worker_mb: float
    """Resident memory of the worker process that runs a trial."""


ASSUMED = Costs(driver_cpu=0.02, node_seconds=7.4, sent=1_915, returned=4_094, worker_mb=109)


@dataclass(frozen=True, slots=True)
class Shape:
    """The work: a trial is so many turns of a model's answer and a tool's run."""

    turns: int = 40
    answer: float = 12.0
    """Mean seconds of an answer; exponential, as long answers are rare and very long."""
    tool: float = 4.0
    """Mean seconds of a tool's run; exponential."""
    memory_mb: int = 2_048
    """Of the task's container (the usual limit in Terminal-Bench 2)."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster."""

    cores: int = 16
    memory_mb: int = 64_000

    def slots(self, shape: Shape, costs: Costs) -> int:
        """Trials at a time: two per core (they wait for the model most of the time), or memory."""
        return min(self.cores * 2, int(self.memory_mb / (shape.memory_mb + costs.worker_mb)))


@dataclass(frozen=True, slots=True)
class Run:
    """How a simulated job went."""

    hours: float
    in_flight: float
    """Mean requests in flight."""
    waiting: float
    """Share of a trial's time in which it waited for the account's limit."""
    driver_load: float
    """CPU of the job's process, in cores."""
    megabits: float
    """Of traffic between job and nodes, mean."""


class Simulation:
    """A job played through, event by event."""

    def __init__(self, nodes: int, trials: int, shape: Shape, costs: Costs, limit: int) -> None:
        self.shape, self.costs, self.trials = shape, costs, trials
        self.slots = nodes * Node().slots(shape, costs)
        self.free, self.flying, self.now = limit, 0, 0.0
        self.started = self.done = 0
        self.area = self.waited = 0.0
        self._queue: deque[tuple[int, float]] = deque()  # turns left, waiting since
        self._events: list[tuple[float, int, str, int]] = []  # time, number, what ends, turns left
        self._numbers = itertools.count()
        self._draw = random.Random(1)

    def run(self) -> Run:
        """Play to the end of the last trial."""
        while self.started < min(self.slots, self.trials):
            self._start()
        while self.done < self.trials:
            moment, _, what, turns = heapq.heappop(self._events)
            self.area += self.flying * (moment - self.now)
            self.now = moment
            self._ended(what, turns)
        shape = self.shape
        alone = shape.turns * (shape.answer + shape.tool) + self.costs.node_seconds
        traffic = self.trials * (self.costs.sent + self.costs.returned) * 8e-6
        return Run(
            hours=self.now / 3600,
            in_flight=self.area / self.now,
            waiting=self.waited / (self.waited + self.trials * alone),
            driver_load=self.trials * self.costs.driver_cpu / self.now,
            megabits=traffic / self.now,
        )

    def _ended(self, what: str, turns: int) -> None:
        if what == "answer":
            self.free, self.flying = self.free + 1, self.flying - 1
            if self._queue:
                self._ask(*self._queue.popleft())
            self._after(self._draw.expovariate(1 / self.shape.tool), "tool", turns - 1)
        elif what in ("ready", "tool") and turns:
            self._ask(turns, self.now)
        elif what == "tool":
            self._after(self.costs.node_seconds / 2, "judged", 0)
        else:
            self.done += 1
            if self.started < self.trials:
                self._start()

    def _start(self) -> None:
        self.started += 1
        self._after(self.costs.node_seconds / 2, "ready", self.shape.turns)

    def _ask(self, turns: int, since: float) -> None:
        if not self.free:
            self._queue.append((turns, since))
            return
        self.free, self.flying = self.free - 1, self.flying + 1
        self.waited += self.now - since
        self._after(self._draw.expovariate(1 / self.shape.answer), "answer", turns)

    def _after(self, delay: float, what: str, turns: int) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._numbers), what, turns))


def table(costs: Costs) -> Iterator[str]:
    """Lines of the table in ``docs/scale.md``."""
    shape = Shape()
    slots = Node().slots(shape, costs)
    yield f"{slots} trials at a time on a node of {Node().cores} cores, {Node().memory_mb:,} MB"
    yield ""
    yield "| machines | trials | hours | requests in flight | waits | job's process | traffic |"
    yield "|---:|---:|---:|---:|---:|---:|---:|"
    for nodes in (1, 10, 100, 1_000):
        trials = max(445, nodes * slots * 2)
        run = Simulation(nodes, trials, shape, costs, FLASH_LIMIT).run()
        yield (
            f"| {nodes:,} | {trials:,} | {run.hours:.1f} | {run.in_flight:,.0f} of {FLASH_LIMIT:,}"
            f" | {100 * run.waiting:.0f}% | {run.driver_load:.2f} cores"
            f" | {run.megabits:.2f} Mbit/s |"
        )


def measure(trials: int) -> Costs:
    """Run the ``nop`` agent on one small task through Ray, on this machine."""
    from agentkit.evals.cluster import RayRunner
    from agentkit.evals.job import Plan, open_job, run_job
    from agentkit.evals.spec import Contestant
    from agentkit.evals.taskset import load

    tasks = load(ROOT / "examples" / "tasks", only=["bug-fix"])
    plan = Plan(contestants=(Contestant(agent="nop"),), tasks=tasks, attempts=trials + 1)
    with tempfile.TemporaryDirectory() as name, open_job(Path(name), plan) as job:

        async def run() -> tuple[float, float, float]:
            import ray as package

            ray: Any = package
            async with RayRunner.open() as runner:
                first = plan.trials()[0]  # builds the image and starts the workers
                folder = Path(name) / "warm-up"
                folder.mkdir()
                await runner(first, tasks.tasks[0], folder, max_cost=1, say=lambda _: None)
                cpu, clock = time.process_time(), time.monotonic()
                await run_job(job, runner, _Nobody())
                spent = time.process_time() - cpu, time.monotonic() - clock
                return (*spent, await ray.remote(worker_memory).remote())

        cpu, clock, memory = anyio.run(run)
        return Costs(
            driver_cpu=cpu / (trials + 1),
            node_seconds=clock * plan.concurrency / (trials + 1),
            sent=_sent(plan),
            returned=_size(Path(name)) // (trials + 1),
            worker_mb=memory,
        )


def worker_memory() -> float:
    """On a node: resident memory of a worker that has all it needs for a trial, in MB."""
    for name in ("docker", "openai", "agentkit.evals.local"):
        import_module(name)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _sent(plan: Any) -> int:
    from agentkit.evals.cluster import pack

    return len(pack(plan.tasks.tasks[0].path))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class _Nobody:
    """Watches and says nothing."""

    def begun(self, job: Job) -> None: ...
    def started(self, trial: Trial) -> None: ...
    def line(self, trial: Trial, text: str) -> None: ...
    def ended(self, trial: Trial, record: Record) -> None: ...


def _measured(trials: int) -> Costs:
    """Measured in a process of its own, so that nothing of Ray runs beside the simulation."""
    line = [sys.executable, "-m", "benchmarks.scale", "--costs", "--trials", str(trials)]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True, cwd=ROOT)
    return Costs(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure, or take the assumed numbers, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--assume", action="store_true", help="do not measure")
    parser.add_argument("--costs", action="store_true", help="only measure; print JSON")
    parser.add_argument("--trials", type=int, default=12)
    arguments = parser.parse_args()
    if arguments.costs:
        print(json.dumps(asdict(measure(arguments.trials))))
        return
    costs = ASSUMED if arguments.assume else _measured(arguments.trials)
    print(
        f"per trial: {1000 * costs.driver_cpu:.0f} ms CPU of the job's process,"
        f" {costs.node_seconds:.1f} s on the node, {costs.sent:,} bytes there,"
        f" {costs.returned:,} back; a worker has {costs.worker_mb:.0f} MB\n"
    )
    print("\n".join(table(costs)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"\n(this process: {used.ru_utime + used.ru_stime:.1f} s CPU, {os.cpu_count()} cores)")


if __name__ == "__main__":
    main()
