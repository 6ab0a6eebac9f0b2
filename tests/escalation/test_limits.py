"""Limits inside the loop: worst cases, lanes side by side, what the model is told, the way home."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentkit import Ladder, Limits, tool
from agentkit import events as e
from agentkit.escalation import off_peak
from agentkit.log import read
from agentkit.models.catalogue import Catalogue
from agentkit.models.types import Usage
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.tools import coder

from .stage import agent_on, answers, bash, cast, finish, only, play, texts, weak

pytestmark = pytest.mark.anyio

ONE = Ladder.single("deepseek-flash")
MEND = "echo 42 > answer.txt"
BEIJING_NOON = datetime(2026, 11, 25, 3, 59, 59, 800_000, tzinfo=UTC)
"""A Wednesday, 0.2 s before the peak hours of the morning end."""


def _taken(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens


def longest(request: dict[str, Any], calls: tuple[Call, ...] = ()) -> Reply:
    """An answer that uses nearly all of the limit that the request sets."""
    room = int(request["max_tokens"]) - 200
    return Reply("Looked.", "x" * (4 * max(0, room)), calls)


async def test_tokens_stop_before_a_request_that_might_pass_them(tmp_path: Path) -> None:
    allowed = 20_000

    def script(request: dict[str, Any]) -> Reply:
        assert request["max_tokens"] < allowed
        return longest(request, (Call("bash", {"command": "true"}),))

    told = await play(tmp_path, script, ONE, checks=(), limits=Limits(tokens=allowed))
    assert (told.result.status, told.result.exit_code) == ("limit", 3)
    assert "--max-tokens" in told.result.output
    usage = told.result.usage
    used = _taken(usage)
    assert used == _taken(told.server.bill.usage)
    assert 0 < used <= allowed


@pytest.mark.parametrize(
    "limits", [Limits(cost_usd=0.03), Limits(tokens=60_000)], ids=["money", "tokens"]
)
async def test_lanes_side_by_side_do_not_count_on_the_same_money(
    tmp_path: Path, limits: Limits
) -> None:
    """Eight subagents ask at once, and each answer is as long as it may be."""
    many = tuple(Call("task", {"prompt": f"Look at {number}."}) for number in range(8))

    def script(request: dict[str, Any]) -> Reply:
        if any("You are a subagent" in text for text in texts(request)):
            return longest(request)
        return finish() if answers(request) else Reply("", "so", many)

    told = await play(tmp_path, script, ONE, checks=(), limits=limits)
    asked = [x for x in told.of(e.ModelRequested) if x.lane.startswith("task-")]
    assert len(asked) >= 2, "some could be paid side by side"
    bill = told.server.bill
    assert limits.cost_usd is None or bill.usd <= limits.cost_usd
    assert limits.tokens is None or _taken(bill.usage) <= limits.tokens
    assert told.result.status in ("finished", "limit")


async def test_each_lane_is_told_what_is_left(tmp_path: Path) -> None:
    """Four fifths of the turns are used in mid hand-off; the cheap lane hears of it, too."""

    def slow(request: dict[str, Any]) -> Reply:
        number = answers(request)
        return bash(f"echo {number}") if number < 14 else [bash(MEND), finish()][number - 14]

    limits = Limits(turns=25, cost_usd=2.0, deadline=900)
    told = await play(tmp_path, cast(weak, slow), only("hand-off"), limits=limits)
    assert told.result.ok
    said = {x.lane: x.text for x in told.of(e.Message) if "of the turns limit are used" in x.text}
    assert set(said) == {"main", "hand-off-1"}
    for text in said.values():
        assert "s and $" in text, "time and money"
        assert "Bring the best verified state home" in text
    first = next(x.text for x in told.of(e.Message) if "for this task" in x.text)
    assert first.startswith("[There are 9")
    assert "$2" in first


async def test_a_limit_that_comes_near_is_in_the_very_next_request(tmp_path: Path) -> None:
    script = [bash("true"), bash("true"), bash("true"), bash("true"), finish()]
    told = await play(tmp_path, script, ONE, checks=(), limits=Limits(turns=5))
    assert "4 of 5 of the turns limit" in texts(told.server.requests[4].body)[-1]
    assert [x.limit for x in told.of(e.LimitNear)] == ["turns"]


def two_checks(*steps: str) -> Any:
    """Commands in their order, then over and over the last; "" is a finish."""

    def script(request: dict[str, Any]) -> Reply:
        command = steps[min(answers(request), len(steps) - 1)]
        return bash(command) if command else finish()

    return script


async def test_a_limit_in_mid_change_leaves_what_was_verified(tmp_path: Path) -> None:
    """One of two checks passed; what was changed later breaks it, and nobody had looked."""
    steps = "touch one", "", "rm one; touch junk"
    told = await play(
        tmp_path,
        two_checks(*steps),
        ONE,
        checks=["test -e one", "test -e two"],
        limits=Limits(turns=3),
    )
    assert told.result.status == "limit"
    assert (tmp_path / "one").exists()
    assert not (tmp_path / "junk").exists()
    (restored,) = told.of(e.Restored)
    assert told.result.checks[0].command == "test -e one"
    assert restored.before, "what was put aside can be brought back"


async def test_a_last_state_that_is_as_good_stays(tmp_path: Path) -> None:
    """It was not verified when the limit came; there is time to look, and it is no worse."""
    steps = "touch one", "", "touch more"
    told = await play(
        tmp_path,
        two_checks(*steps),
        ONE,
        checks=["test -e one", "test -e two"],
        limits=Limits(turns=3),
    )
    assert told.result.status == "limit"
    assert (tmp_path / "more").exists()
    assert told.of(e.Restored) == []
    assert [each.passed for each in told.result.checks] == [True, False]


async def test_past_the_deadline_nothing_is_looked_at_and_the_verified_state_is_left(
    tmp_path: Path,
) -> None:
    late = 0.0

    @tool(read_only=True)
    async def wait() -> str:
        """Take longer than there is time."""
        nonlocal late
        late = 4_000.0
        return "at last"

    script = [bash("touch one"), finish(), bash("touch more"), Reply(calls=[Call("wait", {})])]
    checks = ["test -e one", "test -e two"]
    with FakeDeepSeek(script) as server:
        tools = [*coder(), wait]
        agent = agent_on(tmp_path, server, ONE, tools=tools, limits=Limits(deadline=3_600))
        async with agent.session("s") as session:
            budget = session._run.budget  # pyright: ignore[reportPrivateUsage]
            budget.clock = lambda: time.monotonic() + late
            result = await session.run("Go.", checks=checks)
    assert (result.status, result.exit_code) == ("limit", 3)
    assert (tmp_path / "one").exists()
    assert not (tmp_path / "more").exists()
    assert agent.store is not None
    ran = [x for x in read(agent.store, "s") if isinstance(x, e.CheckPassed | e.CheckFailed)]
    assert len(ran) == 2, "only those of the refused finish"


class _Clock(datetime):
    """Says that it is a moment before off-peak prices."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return BEIJING_NOON


async def test_a_run_waits_for_off_peak_prices_and_that_time_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = Catalogue.load().price("deepseek-flash", BEIJING_NOON)
    assert price is not None
    assert price.peak
    monkeypatch.setattr(off_peak, "datetime", _Clock)
    told = await play(tmp_path, [finish()], ONE, checks=(), off_peak_wait=3_600)
    (waited,) = told.of(e.Waited)
    assert waited.seconds == pytest.approx(0.2)
    assert "off-peak prices of deepseek-flash" in waited.reason
    kinds = [each.type for each in told.events]
    assert kinds.index("message") < kinds.index("waited") < kinds.index("model.requested")
    (begun,) = told.of(e.RunStarted)
    took = _seconds(told.events[-1]) - _seconds(begun)
    assert told.result.duration < took - 0.15, "no clock runs meanwhile"
    assert told.result.ok


def _seconds(event: e.Event) -> float:
    return datetime.fromisoformat(event.time).timestamp()


async def test_who_stops_a_run_that_waits_for_prices_can_go_on_with_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(off_peak, "datetime", _Clock)
    with FakeDeepSeek([finish()]) as server:
        agent = agent_on(tmp_path, server, ONE, off_peak_wait=3_600)
        async with agent.session("s") as session:
            async for event in session.stream("Write a poem."):
                if isinstance(event, e.Waited):
                    break
        assert server.requests == []
        async with agent.session("s", resume=True) as session:
            result = await session.run()
    assert result.ok
    assert "Write a poem." in [str(m["content"]) for m in server.requests[0].body["messages"]]


@pytest.mark.parametrize(
    ("most", "moment"),
    [
        pytest.param(0.0, BEIJING_NOON, id="not asked to"),
        pytest.param(0.1, BEIJING_NOON, id="longer than it may"),
        pytest.param(3_600, BEIJING_NOON + timedelta(minutes=30), id="off-peak already"),
    ],
)
async def test_otherwise_it_begins_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: float, moment: datetime
) -> None:
    class Then(_Clock):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return moment

    monkeypatch.setattr(off_peak, "datetime", Then)
    told = await play(tmp_path, [finish()], ONE, checks=(), off_peak_wait=most)
    assert told.of(e.Waited) == []
    assert told.result.ok
