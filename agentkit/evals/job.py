"""A job: many trials, some at a time, within a sum of money; it can be killed and gone on with."""

from __future__ import annotations

import fcntl
import traceback
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import anyio

from agentkit.errors import UsageError
from agentkit.evals.money import FEWEST, Purse, cost_of, discard, discarded
from agentkit.evals.outcome import (
    MONEY,
    NODE,
    AgentReport,
    Fault,
    NodeLost,
    Outcome,
    fault_of,
)
from agentkit.evals.results import (
    Record,
    agent_config,
    read_trial,
    record_of,
    write_json,
    write_trial,
)
from agentkit.evals.spec import Contestant, Trial, trials
from agentkit.evals.task import Task
from agentkit.evals.taskset import Refused, TaskSet

Say = Callable[[str], None]
MOST_MOVES = 2
"""How often one trial may move because its node was lost."""


class Runner(Protocol):
    """Where trials run: in this process, or on a cluster."""

    async def __call__(
        self, trial: Trial, task: Task, folder: Path, *, max_cost: float, say: Say
    ) -> Outcome: ...


class View(Protocol):
    """Who watches a job."""

    def begun(self, job: Job) -> None: ...
    def started(self, trial: Trial) -> None: ...
    def line(self, trial: Trial, text: str) -> None: ...
    def ended(self, trial: Trial, record: Record) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be tried."""

    contestants: tuple[Contestant, ...]
    tasks: TaskSet
    attempts: int = 1
    concurrency: int = 2
    max_cost: float | None = None
    """US dollars for the whole job; None is no limit beyond each trial's own."""
    retries: int = 1
    """Further tries of a trial that failed through no fault of the agent."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.concurrency < 1:
            raise UsageError("attempts and concurrency must be at least 1")
        labels = [each.label for each in self.contestants]
        if len(set(labels)) < len(labels):
            raise UsageError(f"two contestants are both called {max(labels, key=labels.count)!r}")

    def trials(self) -> list[Trial]:
        pairs = tuple((task.name, task.path) for task in self.tasks.tasks)
        return trials(self.contestants, pairs, attempts=self.attempts, source=self.tasks.name)

    def identity(self) -> dict[str, Any]:
        """What must be the same for a job to be gone on with."""
        return {
            "contestants": [each.as_dict() for each in self.contestants],
            "tasks": {task.name: task.digest for task in self.tasks.tasks},
            "attempts": self.attempts,
        }


@dataclass(slots=True)
class Job:
    """A job's folder and what is known of it."""

    folder: Path
    plan: Plan
    records: list[Record] = field(default_factory=list[Record])
    purse: Purse = field(default_factory=lambda: Purse(None))
    out_of_money: bool = False
    started: str = ""

    @property
    def refused(self) -> Sequence[Refused]:
        return self.plan.tasks.refused

    @property
    def total(self) -> int:
        return len(self.plan.contestants) * len(self.plan.tasks.tasks) * self.plan.attempts

    def save(self, *, ended: bool = False) -> None:
        """Write ``result.json`` in Harbor's shape."""
        from agentkit.evals.summary import harbor_stats

        now = _now()
        write_json(
            self.folder / "result.json",
            {
                "id": str(uuid.uuid5(uuid.NAMESPACE_URL, str(self.folder))),
                "started_at": self.started or now,
                "updated_at": now,
                "finished_at": now if ended else None,
                "n_total_trials": self.total,
                "stats": harbor_stats(self),
            },
        )


@contextmanager
def open_job(folder: Path, plan: Plan) -> Generator[Job]:
    """The job of that folder: a new one, or the rest of one that was begun.

    Raises:
        UsageError: another process is at work there, or it is another job's folder.
    """
    import json

    folder = folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"another process is at work in {folder}", hint="Wait for it, or name another --job"
            ) from None
        path = folder / "agentkit.json"
        identity = json.loads(json.dumps(plan.identity()))
        started = _now()
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            started = kept["started"]
            if kept["identity"] != identity:
                raise UsageError(
                    f"{folder} holds another job: {_difference(kept['identity'], identity)}",
                    hint="Name another --job, or remove that folder",
                )
        elif any(each.name != ".lock" for each in folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty, and no job of ours", hint="Name another --job"
            )
        else:
            write_json(path, {"identity": identity, "started": started})
            write_json(folder / "config.json", _harbor_config(folder, plan))
        yield Job(folder, plan, purse=Purse(plan.max_cost), started=started)


def _difference(kept: dict[str, Any], wanted: dict[str, Any]) -> str:
    names = [name for name in wanted if kept.get(name) != wanted[name]]
    return f"its {' and '.join(names)} differ"


def _harbor_config(folder: Path, plan: Plan) -> dict[str, Any]:
    return {
        "job_name": folder.name,
        "jobs_dir": str(folder.parent),
        "n_attempts": plan.attempts,
        "n_concurrent_trials": plan.concurrency,
        "agents": [agent_config(each) for each in plan.contestants],
        "datasets": [{"path": str(plan.tasks.path)}],
    }


async def run_job(job: Job, runner: Runner, view: View) -> None:
    """Run what has not been run yet, ``concurrency`` at a time.

    Cancelled or killed, a job keeps its finished trials; the next run does the rest.
    """
    left = _take_stock(job)
    job.save()
    view.begun(job)
    gate = anyio.CapacityLimiter(job.plan.concurrency)
    tasks = {task.name: task for task in job.plan.tasks.tasks}
    async with anyio.create_task_group() as group:
        for trial in left:
            await gate.acquire_on_behalf_of(trial)
            allowed = await job.purse.take(trial.contestant.max_cost)
            if allowed < FEWEST or job.out_of_money:
                job.out_of_money = True
                job.purse.settle(allowed, 0.0)
                gate.release_on_behalf_of(trial)
                break
            group.start_soon(_one, job, trial, tasks[trial.task_name], allowed, runner, view, gate)
    job.save(ended=True)


def _take_stock(job: Job) -> list[Trial]:
    """Read what is finished, throw away what was cut off, and name what is left."""
    left: list[Trial] = []
    for trial in job.plan.trials():
        folder = job.folder / trial.name
        record = read_trial(folder) if folder.exists() else None
        if record is None:
            discard(job.folder, folder)
            left.append(trial)
        else:
            job.records.append(record)
            job.purse.spent += record.outcome.report.cost_usd
    job.purse.spent += discarded(job.folder)
    return left


@dataclass(slots=True)
class _Tries:
    """How many further tries a trial has."""

    retries: int
    moves: int = MOST_MOVES

    def again(self, fault: Fault | None) -> bool:
        """Whether this fault leaves another try, which is then used up."""
        if fault is None or not fault.infrastructure:
            return False
        if fault.cause == NODE:
            self.moves -= 1
            return self.moves >= 0
        self.retries -= 1
        return self.retries >= 0


async def _one(
    job: Job,
    trial: Trial,
    task: Task,
    allowed: float,
    runner: Runner,
    view: View,
    gate: anyio.CapacityLimiter,
) -> None:
    """A trial, tried again where others spoilt it; ``allowed`` is set aside for the first try.

    Each try has the whole of the trial's money again: the agent is not to blame for the last one.
    """
    tries = _Tries(job.plan.retries)
    why = ""
    try:
        view.started(trial)
        while True:
            outcome = await _try(job, trial, task, allowed, runner, view, why)
            fault = outcome.fault
            if fault is None or not tries.again(fault):
                break
            allowed = await job.purse.take(trial.contestant.max_cost)
            if allowed < FEWEST:
                job.purse.settle(allowed, 0.0)
                break
            why = f"trying again after {fault.type}: {fault.message}"
        _close(job, trial, task, outcome, allowed, view)
    finally:
        gate.release_on_behalf_of(trial)


async def _try(
    job: Job, trial: Trial, task: Task, allowed: float, runner: Runner, view: View, why: str
) -> Outcome:
    """One try in an empty folder; ``why`` stands first in its log."""
    folder = job.folder / trial.name
    spent = 0.0
    try:
        discard(job.folder, folder)
        folder.mkdir(parents=True)
        outcome = await _logged(runner, view, trial, task, folder, allowed, why)
        if not outcome.report.cost_usd:  # what broke off has no report, but may have its store
            report = replace(outcome.report, cost_usd=cost_of(folder))
            outcome = replace(outcome, report=report)
        spent = outcome.report.cost_usd
        return outcome
    finally:
        job.purse.settle(allowed, spent)


def _close(
    job: Job, trial: Trial, task: Task, outcome: Outcome, allowed: float, view: View
) -> None:
    """Write the verdict; without one, for want of the job's money, the trial is run again."""
    folder = job.folder / trial.name
    if _starved(outcome, allowed, trial):
        job.out_of_money = True
        discard(job.folder, folder)
        view.ended(trial, record_of(trial, task, outcome))
        return
    record = write_trial(folder, trial, task, outcome)
    job.records.append(record)
    view.ended(trial, record)
    job.save()


def _starved(outcome: Outcome, allowed: float, trial: Trial) -> bool:
    """It ended for want of the job's money, so a verdict would be unfair."""
    if outcome.fault is None or allowed >= trial.contestant.max_cost - FEWEST:
        return False
    return allowed < FEWEST or outcome.fault.cause == MONEY


async def _logged(
    runner: Runner,
    view: View,
    trial: Trial,
    task: Task,
    folder: Path,
    allowed: float,
    why: str,
) -> Outcome:
    with (folder / "trial.log").open("a", encoding="utf-8") as log:

        def say(text: str) -> None:
            log.write(f"{_now()} {text}\n")
            log.flush()
            view.line(trial, text)

        if why:
            say(why)
        try:
            return await runner(trial, task, folder, max_cost=allowed, say=say)
        except Exception as error:  # one trial's bug must not cost the others their work
            say(str(error) if isinstance(error, NodeLost) else traceback.format_exc())
            return Outcome(
                report=AgentReport(status="error"),
                fault=fault_of(error, "agent_execution"),
                unsolvable=task.unsolvable,
            )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
