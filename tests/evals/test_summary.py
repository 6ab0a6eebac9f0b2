"""What others spoilt counts neither for nor against an agent."""

from __future__ import annotations

import json
import math
from pathlib import Path

from agentkit.errors import AgentkitError, LimitReached, Overloaded, SandboxError
from agentkit.evals.job import Job, Plan
from agentkit.evals.outcome import AgentReport, Grade, Outcome, fault_of
from agentkit.evals.page import html
from agentkit.evals.report import markdown
from agentkit.evals.results import Record
from agentkit.evals.spec import Contestant
from agentkit.evals.summary import comparisons, rows
from agentkit.evals.taskset import load

from .conftest import MakeTask

FLASH, PRO = Contestant(ladder="flash"), Contestant(ladder="pro")
PROVIDER = Overloaded("503")
LOST = SandboxError("the container is gone")


def record(
    who: Contestant,
    task: str,
    passed: bool,
    error: AgentkitError | None = None,
    attempt: int = 1,
    unsolvable: bool = False,
) -> Record:
    outcome = Outcome(
        report=AgentReport(status="finished"),
        grade=None if error is LOST else Grade(rewards={"reward": float(passed)}),
        fault=fault_of(error, "agent_execution") if error else None,
        unsolvable=unsolvable,
    )
    return Record(contestant=who, task=task, attempt=attempt, outcome=outcome, seconds=1.0)


def test_spoilt_trials_are_not_in_the_score() -> None:
    (row,) = rows(
        [
            record(FLASH, "a", True),
            record(FLASH, "a", False, PROVIDER, attempt=2),
            record(FLASH, "b", False, LOST),
            record(FLASH, "c", False, LimitReached("deadline", 1, 1)),
            record(FLASH, "d", False, LOST, unsolvable=True),
        ]
    )
    assert (row.trials, row.judged, row.solvable, row.solved, row.unsolvable) == (5, 2, 2, 1, 0)
    assert row.score.value == 0.5
    assert (row.timeouts, row.wrong) == (1, 0)


def test_spoilt_trials_are_not_compared() -> None:
    (found,) = comparisons(
        [
            record(FLASH, "a", True),
            record(PRO, "a", False, PROVIDER),
            record(FLASH, "b", False, LOST),
            record(PRO, "b", True),
            record(FLASH, "c", True),
            record(PRO, "c", False),
        ]
    )
    assert (found.paired.first, found.paired.second, found.paired.alike) == (1, 0, 0)


def test_a_report_where_nothing_could_be_judged(make_task: MakeTask, tmp_path: Path) -> None:
    job = Job(tmp_path, Plan(contestants=(FLASH, PRO), tasks=load(make_task())))
    job.records += [record(FLASH, "hello", False, LOST), record(PRO, "hello", True, PROVIDER)]
    assert all(math.isnan(row.score.value) for row in rows(job.records))
    assert "nan" not in html(job)
    words = markdown(job)
    assert "nan" not in words
    assert [cell.strip() for cell in words.rpartition("| hello")[2].split("|")[1:3]] == ["?", "?"]
    job.save()
    (entry, *_) = json.loads((tmp_path / "result.json").read_text())["stats"]["evals"].values()
    assert entry["metrics"] == []
