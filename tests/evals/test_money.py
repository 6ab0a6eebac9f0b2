"""A job's money, with a runner of the test's own in place of containers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from agentkit.evals.job import Job, Plan, Say, open_job, run_job
from agentkit.evals.outcome import AgentReport, Grade, Outcome
from agentkit.evals.results import Record
from agentkit.evals.spec import Contestant, Trial
from agentkit.evals.task import Task
from agentkit.evals.taskset import load

from .conftest import MakeTask

SOLVED = Grade(rewards={"reward": 1.0})
Behave = Callable[[int, float, Path], Awaitable[Outcome]]


def solved(cost: float) -> Outcome:
    return Outcome(report=AgentReport(claims_success=True, cost_usd=cost), grade=SOLVED)


@dataclass
class FakeRunner:
    """Answers each try by its number, from 1, and notes what it was allowed."""

    behave: Behave
    allowed: list[float] = field(default_factory=list[float])
    at_work: int = 0
    most_at_work: int = 0

    async def __call__(
        self, trial: Trial, task: Task, folder: Path, *, max_cost: float, say: Say
    ) -> Outcome:
        self.allowed.append(max_cost)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            return await self.behave(len(self.allowed), max_cost, folder)
        finally:
            self.at_work -= 1


@dataclass
class Seen:
    """A view that only notes."""

    running: set[str] = field(default_factory=set[str])
    lines: list[str] = field(default_factory=list[str])

    def begun(self, job: Job) -> None: ...

    def started(self, trial: Trial) -> None:
        self.running.add(trial.name)

    def line(self, trial: Trial, text: str) -> None:
        self.lines.append(text)

    def ended(self, trial: Trial, record: Record | None) -> None:
        self.running.discard(trial.name)


def run(
    folder: Path,
    task: Path,
    behave: Behave,
    *,
    attempts: int = 1,
    concurrency: int = 2,
    max_cost: float | None = None,
    trial_cost: float = 5.0,
    view: Seen | None = None,
) -> tuple[Job, FakeRunner]:
    runner = FakeRunner(behave)
    plan = Plan(
        contestants=(Contestant(max_cost=trial_cost),),
        tasks=load(task),
        attempts=attempts,
        concurrency=concurrency,
        max_cost=max_cost,
    )
    with open_job(folder, plan) as job:
        anyio.run(run_job, job, runner, view or Seen())
    return job, runner


def test_a_trial_waits_for_the_money_that_a_running_one_has_set_aside(
    make_task: MakeTask, tmp_path: Path
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        await anyio.sleep(0.01)
        return solved(0.01)

    job, runner = run(tmp_path / "job", make_task(), behave, attempts=4, max_cost=5.0)
    assert len(job.records) == 4
    # The second trial on never has the whole $5.00, but all that the job has left.
    assert runner.allowed == [5.0, 4.99, 4.98, 4.97]
    assert not job.out_of_money


def test_no_trial_begins_on_the_crumbs_beside_a_running_one(
    make_task: MakeTask, tmp_path: Path
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        await anyio.sleep(0.01)
        return solved(0.01)

    job, runner = run(tmp_path / "job", make_task(), behave, attempts=2, max_cost=5.01)
    assert runner.allowed == [5.0, 5.0]
    assert len(job.records) == 2


def test_trials_run_together_where_the_money_is_enough_for_each(
    make_task: MakeTask, tmp_path: Path
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        await anyio.sleep(0.05)
        return solved(0.01)

    _, runner = run(tmp_path / "job", make_task(), behave, attempts=2, max_cost=10.0)
    assert runner.most_at_work == 2


def test_a_job_ends_only_when_its_money_is_spent(make_task: MakeTask, tmp_path: Path) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        await anyio.sleep(0.01)
        return solved(2.5)

    job, _ = run(tmp_path / "job", make_task(), behave, attempts=4, max_cost=5.0)
    assert len(job.records) == 2
    assert job.out_of_money
