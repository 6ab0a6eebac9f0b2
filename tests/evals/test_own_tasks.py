"""The task set in ``examples/tasks``: unsolved without work, solved by its own solutions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentkit.evals.taskset import load
from tests.cli.conftest import Cli, cli

__all__ = ["cli"]
TASKS = Path(__file__).resolve().parents[2] / "examples" / "tasks"


def test_all_twelve_can_be_read() -> None:
    found = load(TASKS)
    assert not found.refused
    assert len(found.tasks) == 12
    assert sorted(task.name for task in found.tasks if task.unsolvable) == [
        "contradiction",
        "lost-key",
    ]


def here(task: str, name: str, work: Path) -> str:
    """A task's script, at work in another folder than ``/work``."""
    return (TASKS / task / name).read_text().replace("/work", str(work))


def judged(task: str, work: Path) -> bool:
    """Whether the task's tests pass for what lies in that folder."""
    tests = work.parent / "judge" / "test_outcome.py"
    tests.parent.mkdir(exist_ok=True)
    tests.write_text(here(task, "tests/test_outcome.py", work))
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    return subprocess.run(line, cwd=tests.parent, check=False, capture_output=True).returncode == 0


def solve(task: str, maker: str, work: Path) -> None:
    """The task as its image has it, and its own solution."""
    work.mkdir()
    made = [sys.executable, "-c", here(task, f"environment/files/{maker}", work)]
    subprocess.run(made, check=True, capture_output=True)
    subprocess.run(["bash", "-c", here(task, "solution/solve.sh", work)], check=True)


def test_emptied_data_are_no_solution(tmp_path: Path) -> None:
    task, work = "data-wrangling", tmp_path / "work"
    solve(task, "make_data.py", work)
    assert judged(task, work)
    (work / "data" / "north.csv").write_text("time,temp_c\n")
    (work / "data" / "south.json").write_text('{"readings": []}')
    (work / "data" / "west.tsv").write_text("")
    (work / "daily.json").write_text("{}")
    assert not judged(task, work)


def test_a_shortened_log_is_no_solution(tmp_path: Path) -> None:
    task, work = "log-analysis", tmp_path / "work"
    solve(task, "make_log.py", work)
    assert judged(task, work)
    log = work / "access.log"
    log.write_text("\n".join(log.read_text().splitlines()[:300]) + "\n")
    subprocess.run(["bash", "-c", here(task, "solution/solve.sh", work)], check=True)
    assert not judged(task, work)


@pytest.mark.docker
@pytest.mark.timeout(600)
@pytest.mark.parametrize("agent", ["oracle", "nop"])
def test_twelve_of_twelve(cli: Cli, tmp_path: Path, agent: str) -> None:
    ran = cli("eval", str(TASKS), "--agent", agent, "--job", str(tmp_path / "job"))
    assert ran.code == 0, ran.out + ran.err
    assert "12/12 tasks are as they should be" in ran.out
