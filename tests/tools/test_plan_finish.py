"""``plan`` and ``finish``."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.tools.finish import finish
from agentkit.tools.plan import plan

from .conftest import Desk

pytestmark = pytest.mark.parametrize("desk", ["local"], indirect=True)


def _steps(*statuses: str) -> list[dict[str, str]]:
    return [{"step": f"do {n}", "status": status} for n, status in enumerate(statuses, 1)]


async def test_the_plan_is_replaced_and_the_answer_is_short(desk: Desk) -> None:
    steps = _steps("done", "in_progress", "pending")
    assert await desk.text(plan, steps=steps) == "1 of 3 steps done; now: do 2"
    assert desk.plans == [steps]
    assert await desk.text(plan, steps=_steps("done", "done")) == "2 of 2 steps done"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "at least one step"),
        (_steps("in_progress", "in_progress"), "2 steps are in_progress"),
        ([{"step": " ", "status": "done"}], "step 1 is empty"),
        ([{"step": "a", "status": "started"}], "'pending', 'in_progress' or 'done'"),
        (["a"], "steps.0"),
        (_steps(*["pending"] * 31), "at most 30"),
    ],
)
async def test_a_wrong_plan_is_explained(desk: Desk, steps: list[Any], words: str) -> None:
    assert words in await desk.refused(plan, steps=steps)
    assert desk.plans == []


async def test_finish_ends_the_run_and_changes_nothing(desk: Desk) -> None:
    result = await desk.call(finish, summary=" done and tested ")
    assert result.data == {"output": "done and tested", "achieved": True}
    assert not (await desk.call(finish, summary="no", achieved=False)).data["achieved"]
    assert finish.ends_run
    assert finish.reads_only
    assert plan.reads_only


async def test_finish_needs_words(desk: Desk) -> None:
    assert "summary is empty" in await desk.refused(finish, summary="  ")
