"""A job's money, with a runner of the test's own in place of containers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from agentkit import Agent
from agentkit.errors import LimitReached, Overloaded
from agentkit.evals.job import MOST_MOVES, Job, Plan, Say, open_job, run_job
from agentkit.evals.money import come_home, discard, discarded, send_away
from agentkit.evals.outcome import AgentReport, Grade, NodeLost, Outcome, fault_of
from agentkit.evals.results import Record
from agentkit.evals.spec import Contestant, Trial
from agentkit.evals.task import Task
from agentkit.evals.taskset import load
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import FakeDeepSeek

from .conftest import MakeTask

SOLVED = Grade(rewards={"reward": 1.0})
FAILED = Grade(rewards={"reward": 0.0})
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

    def ended(self, trial: Trial, record: Record) -> None:
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


def limited(cost: float, cause: str) -> Outcome:
    fault = fault_of(LimitReached(cause, 1, 1), "agent_execution")
    return Outcome(report=AgentReport(status="limit", cost_usd=cost), grade=FAILED, fault=fault)


def overloaded(cost: float) -> Outcome:
    fault = fault_of(Overloaded("503"), "agent_execution")
    return Outcome(report=AgentReport(status="error", cost_usd=cost), grade=FAILED, fault=fault)


def test_the_limit_of_turns_is_a_verdict_also_with_less_money_than_wished(
    make_task: MakeTask, tmp_path: Path
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        return limited(0.01, "turns")

    job, _ = run(tmp_path / "job", make_task(), behave, max_cost=1.0)
    assert len(job.records) == 1
    assert not job.out_of_money


def test_a_trial_cut_short_by_the_jobs_money_ends_for_those_who_watch(
    make_task: MakeTask, tmp_path: Path
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        return limited(0.9, "money")

    view = Seen()
    job, runner = run(
        tmp_path / "job", make_task(), behave, attempts=3, concurrency=1, max_cost=1.0, view=view
    )
    assert not job.records
    assert job.out_of_money
    assert not view.running
    assert len(runner.allowed) == 1, "what is left of the money starves the next trial likewise"


def test_a_try_after_a_fault_of_others_has_the_whole_of_the_trials_money(
    make_task: MakeTask, tmp_path: Path
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        return overloaded(4.0) if number == 1 else solved(2.0)

    job, runner = run(tmp_path / "job", make_task(), behave)
    assert runner.allowed == [5.0, 5.0]
    assert job.records[0].outcome.passed
    assert job.purse.spent == pytest.approx(6.0)
    (log,) = (tmp_path / "job").glob("*/trial.log")
    assert "trying again after ApiOverloadedError" in log.read_text()


@pytest.mark.parametrize("first", [4.0, 5.0])
def test_a_try_for_which_the_jobs_money_is_too_little_is_no_verdict(
    make_task: MakeTask, tmp_path: Path, first: float
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        return overloaded(first) if number == 1 else limited(allowed, "money")

    job, _ = run(tmp_path / "job", make_task(), behave, max_cost=5.0)
    assert not job.records
    assert job.out_of_money


def test_a_trial_that_broke_off_costs_what_its_store_says(
    make_task: MakeTask, tmp_path: Path
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        with FakeDeepSeek(["Done."]) as server:
            agent = Agent(
                "a", base_url=server.base_url, api_key="any", store=SQLiteStore(folder / "agent")
            )
            await agent.run("Hello")
        raise RuntimeError("a bug behind the session")

    job, _ = run(tmp_path / "job", make_task(), behave)
    (record,) = job.records
    assert record.outcome.fault is not None
    assert record.outcome.fault.type == "RuntimeError"
    assert record.outcome.report.cost_usd > 0
    assert job.purse.spent == record.outcome.report.cost_usd


def test_a_lost_node_may_have_spent_all_that_it_was_allowed(
    make_task: MakeTask, tmp_path: Path
) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        send_away(folder, allowed)
        if number < 3:
            raise NodeLost("node 1 was lost")
        come_home(folder)
        return solved(0.5)

    task = make_task()
    job, runner = run(tmp_path / "job", task, behave, max_cost=12.0)
    assert runner.allowed == [5.0, 5.0, 2.0]
    assert job.purse.spent == 10.5
    assert job.records[0].outcome.passed
    again, _ = run(tmp_path / "job", task, behave, max_cost=12.0)
    assert again.purse.spent == 10.5, "the next process counts the same"


def test_a_trial_moves_so_often_and_no_more(make_task: MakeTask, tmp_path: Path) -> None:
    async def behave(number: int, allowed: float, folder: Path) -> Outcome:
        raise NodeLost("node 1 was lost")

    job, runner = run(tmp_path / "job", make_task(), behave)
    assert len(runner.allowed) == 1 + MOST_MOVES
    (record,) = job.records
    assert record.outcome.fault is not None
    assert not record.outcome.counts


def test_a_job_that_is_killed_with_trials_on_nodes_counts_them_too(tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    trial.mkdir()
    send_away(trial, 2.0)
    discard(tmp_path, trial)
    assert discarded(tmp_path) == 2.0
