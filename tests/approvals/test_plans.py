"""A plan's checks are commands: whoever writes them, they run only where commands may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Limits
from agentkit.approvals.policy import Policy, Rule
from agentkit.events import Event, PlanUpdated, ToolFinished
from agentkit.ladder import PRO
from agentkit.log import read
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.tools import coder

pytestmark = pytest.mark.anyio

TOUCH = "touch planted"


def plans(*checks: str, status: str = "done") -> Reply:
    steps: list[dict[str, Any]] = [
        {"step": f"step {number}", "status": status, "check": check}
        for number, check in enumerate(checks)
    ]
    return Reply(calls=[Call("plan", {"steps": steps})])


async def run(folder: Path, policy: Any, *replies: Reply, **more: Any) -> tuple[list[Event], str]:
    store = MemoryStore()
    script = iter(replies)
    with FakeDeepSeek(lambda _: next(script, Reply(content="over"))) as server:
        agent = Agent(
            "a", tools=coder(), sandbox=Local(workspace=folder), base_url=server.base_url,
            api_key="k", store=store, approval=policy, limits=Limits(turns=9), **more,
        )  # fmt: skip
        async with agent.session("s") as session:
            result = await session.run("Do the large task.\n\n- one\n- two")
    return list(read(store, "s")), result.status


@pytest.mark.parametrize("status", ["done", "pending"])
@pytest.mark.parametrize(
    "policy",
    [
        "read-only",
        Policy("auto", (Rule("deny", "touch *"),)),
        Policy("auto", (Rule.of("deny", "bash(*)"),)),
        Policy("ask", (Rule.of("deny", "bash(touch *)"),)),
    ],
)
async def test_a_check_that_may_not_run_is_refused(
    tmp_path: Path, policy: Any, status: str
) -> None:
    events, _ = await run(tmp_path, policy, plans("true", TOUCH, status=status))
    (told,) = [each for each in events if isinstance(each, ToolFinished)]
    assert told.status == "refused"
    assert not (tmp_path / "planted").exists()
    assert not [each for each in events if isinstance(each, PlanUpdated)]


async def test_a_check_that_needs_a_yes_waits_for_it(tmp_path: Path) -> None:
    _, status = await run(tmp_path, "ask", plans(TOUCH))
    assert status == "waiting"
    assert not (tmp_path / "planted").exists()


async def test_checks_are_judged_one_by_one(tmp_path: Path) -> None:
    # Read as one text, the second would be the first one's here-document.
    _, status = await run(tmp_path, "ask", plans("cat <<'X'", f"{TOUCH}\nX"))
    assert status == "waiting"
    assert not (tmp_path / "planted").exists()


async def test_a_plan_without_checks_and_one_whose_checks_only_read_ask_nobody(
    tmp_path: Path,
) -> None:
    none = Reply(calls=[Call("plan", {"steps": [{"step": "one", "status": "pending"}]})])
    denies = Policy("read-only", (Rule.of("deny", "bash(rm *)"), Rule.of("ask", "bash(mv *)")))
    events, _ = await run(tmp_path, denies, none, plans("ls", "grep -c x /dev/null || ls"))
    told = [each for each in events if isinstance(each, ToolFinished)]
    assert [each.status for each in told] == ["done", "done"]


async def test_an_allowed_command_is_allowed_as_a_check(tmp_path: Path) -> None:
    policy = Policy("ask", (Rule.of("allow", f"bash({TOUCH})"),))
    await run(tmp_path, policy, plans(TOUCH))
    assert (tmp_path / "planted").exists()


async def test_a_planners_check_that_may_not_run_is_left_out(tmp_path: Path) -> None:
    steps: list[dict[str, Any]] = [
        {"step": "a", "files": [], "check": TOUCH},
        {"step": "b", "files": [], "check": "ls"},
    ]
    plan = Reply(calls=[Call("submit_plan", {"steps": steps, "facts": ["none"], "candidates": []})])
    events, _ = await run(tmp_path, "read-only", plan, planner=PRO)
    (updated,) = [each for each in events if isinstance(each, PlanUpdated)]
    assert [each.get("check") for each in updated.steps] == [None, "ls"]
    assert not (tmp_path / "planted").exists()
