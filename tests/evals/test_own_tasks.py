"""The task set in ``examples/tasks``: unsolved without work, solved by its own solutions."""

from __future__ import annotations

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


@pytest.mark.docker
@pytest.mark.timeout(600)
@pytest.mark.parametrize("agent", ["oracle", "nop"])
def test_twelve_of_twelve(cli: Cli, tmp_path: Path, agent: str) -> None:
    ran = cli("eval", str(TASKS), "--agent", agent, "--job", str(tmp_path / "job"))
    assert ran.code == 0, ran.out + ran.err
    assert "12/12 tasks are as they should be" in ran.out
