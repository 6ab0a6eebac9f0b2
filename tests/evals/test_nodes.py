"""What a node costs that is lost, with a stand-in for Ray: none can be made to die to the cent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentkit.evals.cluster import RayRunner, pack
from agentkit.evals.money import cost_of
from agentkit.evals.outcome import AgentReport, NodeLost, Outcome
from agentkit.evals.spec import AgentKind, Contestant, Trial
from agentkit.evals.taskset import load

from .conftest import MakeTask


class LostError(Exception):
    """Stands in for ``RayError``."""


class BugError(LostError):
    """Stands in for ``RayTaskError``."""


class FakeRay:
    """As much of the package as a runner touches."""

    exceptions = SimpleNamespace(RayError=LostError, RayTaskError=BugError)

    def remote(self, **_: Any) -> Callable[[Any], Any]:
        return lambda function: function


class OneNode(RayRunner):
    """A cluster of one node, which answers at once: with an empty folder, or an error."""

    def __init__(self, empty: Path, error: Exception | None = None) -> None:
        super().__init__(FakeRay())
        self.empty = empty
        self.error = error

    async def look_around(self) -> list[str]:
        return ["the-node"]

    def _on(self, function: Any, node: str, cpus: float) -> Any:
        async def reply(_: Any) -> tuple[Outcome, bytes]:
            if self.error is not None:
                raise self.error
            return Outcome(report=AgentReport(cost_usd=0.5)), pack(self.empty)

        return SimpleNamespace(remote=reply)


async def cost_on(
    make_task: MakeTask, folder: Path, error: Exception | None, agent: AgentKind = "agentkit"
) -> float:
    """What the folder of a trial says of its costs after it was on that node."""
    (task,) = load(make_task()).tasks
    trial = Trial(
        contestant=Contestant(agent=agent),
        task=task.path,
        task_name=task.name,
        attempt=1,
        source="set",
    )
    home, empty = folder / "home", folder / "empty"
    home.mkdir()
    empty.mkdir()
    try:
        await OneNode(empty, error)(trial, task, home, max_cost=2.0, say=lambda _: None)
    except (NodeLost, BugError):
        assert error is not None
    return cost_of(home)


@pytest.mark.parametrize("error", [LostError("gone"), BugError("ours")])
async def test_what_cannot_be_known_is_counted_in_full(
    make_task: MakeTask, tmp_path: Path, error: Exception
) -> None:
    assert await cost_on(make_task, tmp_path, error) == 2.0


async def test_a_trial_that_came_back_tells_its_own_costs(
    make_task: MakeTask, tmp_path: Path
) -> None:
    assert await cost_on(make_task, tmp_path, None) == 0.0


async def test_an_agent_without_a_model_costs_nothing(make_task: MakeTask, tmp_path: Path) -> None:
    assert await cost_on(make_task, tmp_path, LostError("gone"), agent="oracle") == 0.0


async def test_a_lost_node_is_left_to_the_job(make_task: MakeTask, tmp_path: Path) -> None:
    (task,) = load(make_task()).tasks
    trial = Trial(
        contestant=Contestant(), task=task.path, task_name=task.name, attempt=1, source="set"
    )
    runner = OneNode(tmp_path, LostError("gone"))
    with pytest.raises(NodeLost, match="node the-node was lost"):
        await runner(trial, task, tmp_path, max_cost=2.0, say=lambda _: None)
