"""The way back down: after a hand-off and after a move, in mid task and before the next one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit import Ladder, Limits, Rung
from agentkit import events as e
from agentkit.approvals import Policy as ApprovalPolicy
from agentkit.approvals import Rule
from agentkit.escalation import Policy, Thresholds
from agentkit.log import read
from agentkit.testing import FakeDeepSeek, Reply, assert_prefix_stable

from .stage import (
    CHECK,
    FLASH,
    PRO,
    TASK,
    agent_on,
    answers,
    bash,
    call,
    cast,
    finish,
    only,
    play,
    texts,
    weak,
    write,
)

pytestmark = pytest.mark.anyio

SECOND = "test -e second"


def plan(*statuses: str) -> Reply:
    """Two steps, the first with the check that causes the climb."""
    checks = (CHECK, SECOND)
    steps = [
        {"step": f"step {number}", "status": status, "check": check}
        for number, (status, check) in enumerate(zip(statuses, checks, strict=True), 1)
    ]
    return call("plan", steps=steps)


def two_steps(request: dict[str, Any]) -> Reply:
    """The weak model cannot do the first step; the second it can, once the first is done."""
    said = texts(request)
    if any("the work comes back" in text for text in said):
        back = next(n for n, text in enumerate(said) if "the work comes back" in text)
        return [bash("touch second"), finish("Both are done.")][min(1, len(said) - back - 1)]
    number = answers(request)
    steps = [write(1), plan("done", "pending"), write(2), plan("done", "pending")]
    return steps[number] if number < len(steps) else [write(number), steps[1]][number % 2]


def mender(request: dict[str, Any]) -> Reply:
    """Mends the first step and says so in the plan; it would touch the second one, if asked."""
    last = str(request["messages"][-1].get("content"))
    if "echo 42" in str(request["messages"][-2]):
        return plan("done", "pending")
    return finish("The strong one did it all.") if "Plan" in last else write(42)


@pytest.mark.parametrize("form", ["hand-off", "move"])
async def test_work_goes_down_as_soon_as_the_check_passes_and_more_is_left(
    tmp_path: Path, form: str
) -> None:
    told = await play(tmp_path, cast(two_steps, mender), only(form), checks=())
    assert (told.result.status, told.result.output) == ("finished", "Both are done.")
    assert told.forms == [form, "step-down"]
    assert told.models[-2:] == ["deepseek-flash"] * 2, "the rest is the cheap model's"
    back = told.of(e.RungChanged)[-1]
    assert back.reason == "the checks that caused the climb pass"
    report = next(text for text in texts(told.server.requests[-1].body) if "comes back" in text)
    assert "+42" in report, "the diff since the climb"
    assert told.server.requests[-1].usage.hit_tokens > 0, "warm"
    assert [each.passed for each in told.result.checks] == [True, True]
    assert_prefix_stable(told.server)


@pytest.mark.parametrize("form", ["hand-off", "move"])
async def test_where_going_back_costs_more_work_stays_and_the_log_says_why(
    tmp_path: Path, form: str
) -> None:
    """The lower model is the dearer one here, as a very long cheap lane is."""
    prices = {
        "deepseek-flash": {"hit": 60.0, "miss": 60.0, "output": 60.0},
        "deepseek-v4-pro": {"hit": 0.001, "miss": 0.001, "output": 0.001},
    }
    ladder = replace(only(form, share=1.0), models=prices)

    def strong_one(request: dict[str, Any]) -> Reply:
        ours = [str(each) for each in request["messages"]]
        mended = next((n for n, text in enumerate(ours) if "echo 42" in text), None)
        if mended is None:
            return write(42)
        since = sum(each["role"] == "assistant" for each in request["messages"][mended + 1 :])
        return [plan("done", "pending"), bash("touch second"), finish("All of it.")][min(since, 2)]

    cast_of_two = cast(two_steps, strong_one)
    told = await play(tmp_path, cast_of_two, ladder, checks=(), limits=Limits(cost_usd=100))
    assert (told.result.status, told.result.output) == ("finished", "All of it.")
    assert told.forms == [form, "step-down"]
    stayed = told.of(e.RungChanged)[-1]
    assert stayed.to_lane == stayed.lane, "it is where it was"
    assert "going back would cost $" in stayed.reason
    assert told.models[-1] == "deepseek-v4-pro"


async def test_a_move_with_nothing_left_ends_where_it_is(tmp_path: Path) -> None:
    def mover(request: dict[str, Any]) -> Reply:
        return finish("Moved.") if "echo 42" in str(request["messages"][-2]) else write(42)

    told = await play(tmp_path, cast(weak, mover), only("move"))
    assert (told.result.output, told.forms) == ("Moved.", ["move"])


@pytest.mark.parametrize("resumed", [False, True])
async def test_the_next_task_begins_on_the_cheap_lane(tmp_path: Path, resumed: bool) -> None:
    """The last one ended on a strong lane; the report and the new words go where it came from."""

    def mover(request: dict[str, Any]) -> Reply:
        return finish("Moved.") if "echo 42" in str(request["messages"][-2]) else write(42)

    def cheap(request: dict[str, Any]) -> Reply:
        return finish("The next one.") if "Next." in texts(request)[-1] else weak(request)

    with FakeDeepSeek(cast(cheap, mover)) as server:
        agent = agent_on(tmp_path, server, only("move"))
        async with agent.session("s") as session:
            assert (await session.run(TASK, checks=[CHECK])).output == "Moved."
            if not resumed:
                assert (await session.run("Next.")).output == "The next one."
        if resumed:
            async with agent.session("s", resume=True) as session:
                assert (await session.run("Next.")).output == "The next one."
        last = server.requests[-1].body
        assert last["model"] == "deepseek-flash"
        assert any("Moved." in text and "+42" in text for text in texts(last))
        assert server.violations == []
        assert_prefix_stable(server)
    assert agent.store is not None
    changes = [x for x in read(agent.store, "s") if isinstance(x, e.RungChanged)]
    assert [each.form for each in changes] == ["move", "step-down"]
    assert changes[-1].reason == "a new task begins"


async def test_a_hand_off_that_moves_on_still_comes_back(tmp_path: Path) -> None:
    """Flash hands off to Flash·max, which moves to Pro: the rest of the task is still Flash's."""
    middle = Rung("deepseek-flash", effort="max", forms=("hand-off",))
    top = replace(PRO, forms=("move",))
    rule = Policy(forms=frozenset({"hand-off", "move"}), cool_down=0)
    policy = replace(rule, thresholds=Thresholds(handoff=2, move=4))
    ladder = Ladder("three", (FLASH, middle, top), policy)

    def script(request: dict[str, Any]) -> Reply:
        said = texts(request)
        if "pro" in request["model"]:
            if "echo 42" in str(request["messages"][-2]):
                return finish("Pro mended it.")
            return write(42)
        if any("the work comes back" in text for text in said):
            return finish("Done below.")
        return weak(request)

    told = await play(tmp_path, script, ladder)
    assert told.result.ok
    assert told.forms[:2] == ["hand-off", "move"]
    back = told.of(e.RungChanged)[2]
    assert (back.form, back.lane, back.to_lane) == ("step-down", "move-1", "hand-off-1")
    report = next(x.text for x in told.of(e.Message) if "the work comes back" in x.text)
    assert "+42" in report
    assert told.models[-1] == "deepseek-flash", "a finish of one step was not the end of the task"
    assert_prefix_stable(told.server)


async def test_a_retry_is_a_fresh_start_on_the_same_rung(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        fresh = any("You take over work that got stuck" in text for text in texts(request))
        if not fresh:
            return weak(request)
        return finish("A fresh look helped.") if answers(request) else write(42)

    told = await play(tmp_path, script, only("retry"))
    assert (told.result.status, told.result.output) == ("finished", "A fresh look helped.")
    assert told.forms == ["retry"]
    assert set(told.models) == {"deepseek-flash"}
    change = told.of(e.RungChanged)[0]
    assert (change.from_rung, change.to_lane) == (change.to_rung, "retry-1")
    packet = next(x for x in told.of(e.Message) if x.lane == "retry-1")
    for words in (TASK, CHECK, "Take the whole task over"):
        assert words in packet.text


async def test_a_new_plan_is_made_above_and_carried_out_below(tmp_path: Path) -> None:
    steps = [{"step": "answer.txt holds 42", "files": ["answer.txt"], "check": CHECK}]

    def planner(request: dict[str, Any]) -> Reply:
        assert request["messages"][0]["content"].startswith("You plan work")
        assert any("<evidence>" in text for text in texts(request))
        return call("submit_plan", steps=steps, facts=["it must be 42"], candidates=[])

    def worker(request: dict[str, Any]) -> Reply:
        planned = [n for n, text in enumerate(texts(request)) if text.startswith("[A plan by")]
        if not planned:
            return weak(request)
        return finish("As planned.") if "echo 42" in str(request["messages"][-2]) else write(42)

    told = await play(tmp_path, cast(worker, planner), only("re-plan"))
    assert (told.result.status, told.result.output) == ("finished", "As planned.")
    assert told.forms == ["re-plan"]
    (update,) = told.of(e.PlanUpdated)
    assert update.author == "planner"
    assert [dict(step)["step"] for step in update.steps] == ["answer.txt holds 42"]
    assert {x.lane for x in told.of(e.ModelResponded)} == {"main", "plan-1"}
    assert_prefix_stable(told.server)


async def test_a_hand_off_that_waited_for_a_yes_comes_back_too(tmp_path: Path) -> None:
    """Its finish ends its step, not the run, also where another process acts on the yes."""

    def strong_one(request: dict[str, Any]) -> Reply:
        look = call("search", pattern="42", path=str(tmp_path))
        both = Reply(calls=[*look.calls, *finish("It was 42.").calls])
        return both if answers(request) else write(42)

    with FakeDeepSeek(cast(strong_one=strong_one)) as server:
        asks = ApprovalPolicy("auto", (Rule.of("ask", "search(*)"),))
        agent = agent_on(tmp_path, server, only("hand-off"), approval=asks)
        first = await agent.run(TASK, checks=[CHECK])
        assert first.status == "waiting"
        assert agent.store is not None
        async with agent.session(first.session_id, resume=True) as session:
            (question,) = session.questions
            assert question.lane == "hand-off-1"
            await session.approve(question.call_id)
            result = await session.run(checks=[CHECK])
    assert (result.status, result.output) == ("finished", "Done at last.")
    assert server.violations == []
    assert_prefix_stable(server)
