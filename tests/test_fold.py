"""A full window is folded: warm, without losing a word of the user's, readable afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agentkit import Agent, Ladder, Limits, ToolError, UsageError, tool
from agentkit.errors import ContextOverflow
from agentkit.events import (
    Folded,
    LaneOpened,
    Message,
    ModelAdvised,
    ModelRequested,
    ToolFinished,
)
from agentkit.fold import INSTRUCTION, fold
from agentkit.forks import fork_lane
from agentkit.log import read
from agentkit.models.catalogue import Catalogue
from agentkit.recall import as_turns, recall_tool
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable
from agentkit.tools import subagents

pytestmark = pytest.mark.anyio
TASK = "Read everything. The password of the day is swordfish."


@tool(read_only=True)
def page(number: int) -> str:
    """Read a page."""
    return f"page {number}: " + f"token{number} and more words of it, " * 120


def model(pages: int, *, summary: str = "Pages were read; nothing odd.") -> Any:
    """Reads so many pages, then answers; gives a summary when it is asked for one."""

    read_so_far = 0

    def answer(request: dict[str, Any]) -> Reply:
        nonlocal read_so_far
        if request["messages"][-1]["content"] == INSTRUCTION:
            return Reply(content=summary)
        if read_so_far == pages:
            return Reply(content="All read.")
        read_so_far += 1
        return Reply(reasoning="next", calls=[Call("page", {"number": read_so_far - 1})])

    return answer


def make(server: FakeDeepSeek, window: int | None = None) -> Agent:
    overrides = {"deepseek-flash": {"context": window}} if window else None
    return Agent(
        "reader",
        tools=[page],
        base_url=server.base_url,
        api_key="k",
        store=MemoryStore(),
        catalogue=Catalogue.load(overrides),
    )


def events(agent: Agent, session_id: str) -> list[Any]:
    assert agent.store is not None
    return list(read(agent.store, session_id))


async def test_below_nine_tenths_nothing_is_folded() -> None:
    with FakeDeepSeek(model(6)) as server:
        agent = make(server)
        result = await agent.run(TASK)
    assert result.output == "All read."
    assert not [event for event in events(agent, result.session_id) if isinstance(event, Folded)]


async def test_a_full_window_opens_a_new_lane_from_a_warm_summary() -> None:
    with FakeDeepSeek(model(9)) as server:
        agent = make(server, window=6_500)
        result = await agent.run(TASK)
    log = events(agent, result.session_id)
    folds = [event for event in log if isinstance(event, Folded)]
    assert result.output == "All read."
    assert folds, "nine pages do not fit"
    summaries = [event for event in log if isinstance(event, ModelAdvised)]
    assert summaries[0].usage.hit_ratio > 0.8, "only the last result and the question are new"
    first = next(event for event in log if isinstance(event, LaneOpened) and event.lane != "main")
    assert [each["function"]["name"] for each in first.tools] == ["page", "recall"]
    opening = next(
        json.loads(request.raw)["messages"]
        for request in server.requests
        if b"recall" in request.raw
    )
    assert len(opening) == 2
    assert TASK in opening[1]["content"]
    assert "Pages were read" in opening[1]["content"]
    assert server.violations == []


async def test_the_fold_of_a_long_history_is_read_from_the_cache() -> None:
    """New is only the last result, which no request had held yet, and the question."""
    with FakeDeepSeek(model(290)) as server:
        limits = Limits(turns=None, cost_usd=None)
        ladder = Ladder.single("deepseek-flash")  # so much reading alone would call the strong one
        agent = replace(make(server, window=170_000), limits=limits, ladder=ladder)
        result = await agent.run(TASK)
    log = events(agent, result.session_id)
    (asked,) = [event for event in log if isinstance(event, ModelAdvised)]
    assert asked.usage.prompt_tokens > 0.85 * 170_000
    assert asked.usage.hit_ratio >= 0.99
    assert server.violations == []


async def test_every_lane_extends_only_itself() -> None:
    with FakeDeepSeek(model(9)) as server:
        agent = make(server, window=6_500)
        result = await agent.run(TASK)
    asked = [
        event
        for event in events(agent, result.session_id)
        if isinstance(event, ModelRequested) and not event.trailing
    ]
    lanes: dict[str, list[bytes]] = {}
    bodies = [request.raw for request in server.requests if INSTRUCTION[:30] not in _last(request)]
    for event, body in zip(asked, bodies, strict=True):
        lanes.setdefault(event.lane, []).append(body)
    assert len(lanes) > 1
    for lane in lanes.values():
        assert_prefix_stable(lane)


def _last(request: Any) -> str:
    return str(json.loads(request.raw)["messages"][-1]["content"])


async def test_a_folded_session_resumes_on_its_new_lane_and_recalls() -> None:
    with FakeDeepSeek(model(9)) as server:
        agent = make(server, window=6_500)
        result = await agent.run(TASK)
    asks = Reply(calls=[Call("recall", {"query": "token0 and"}), Call("recall", {"turn": 2})])
    with FakeDeepSeek([asks, Reply(content="Yes.")]) as server:
        again = Agent(
            "reader", tools=[page], base_url=server.base_url, api_key="k", store=agent.store
        )
        async with again.session(result.session_id, resume=True) as session:
            assert (await session.run("What was on page 0?")).output == "Yes."
    done = [e for e in events(agent, result.session_id) if isinstance(e, ToolFinished)]
    found, read_back = done[-2], done[-1]
    assert "matches" in found.content
    assert "token0" in found.content
    assert "page 0: token0" in read_back.content


async def test_a_failed_fold_leaves_the_old_lane_usable() -> None:
    with FakeDeepSeek(model(9, summary="")) as server:
        agent = make(server, window=6_500)
        result = await agent.run(TASK)
    assert (result.status, result.exit_code) == ("failed", 1)
    assert "no summary" in result.output
    with FakeDeepSeek(model(9)) as server:
        again = Agent(
            "reader", tools=[page], base_url=server.base_url, api_key="k", store=agent.store
        )
        async with again.session(result.session_id, resume=True) as session:
            assert session.state.current == "main"
            assert (await session.run("Go on.")).ok


async def test_a_history_that_never_fits_is_a_typed_error() -> None:
    with FakeDeepSeek(model(3), faults=dict.fromkeys(range(2, 12), "400-context")) as server:
        agent = make(server)
        with pytest.raises(ContextOverflow):
            await agent.run(TASK)


async def test_recall_says_what_it_has() -> None:
    with FakeDeepSeek(model(2)) as server:
        agent = make(server)
        async with agent.session("s") as session:
            await session.run(TASK)
            log = session._run.log  # pyright: ignore[reportPrivateUsage] - the tool needs a live log
            recall = recall_tool(log)
            nothing: Any = None
            assert "nothing in" in (await recall.run(nothing, {"query": "zebra"})).content
            with pytest.raises(ToolError, match="turn from 1 to"):
                await recall.run(nothing, {"turn": 99})
            assert "page 0" in (await recall.run(nothing, {"turn": 2})).content
    assert as_turns([]) == [""]


async def test_a_message_longer_than_the_window_is_refused_and_nothing_is_lost() -> None:
    with FakeDeepSeek(model(1)) as server:
        agent = make(server, window=6_500)
        async with agent.session("s") as session:
            for given in (session.run, session.steer):
                with pytest.raises(UsageError, match=r"more than .* can read.*6,500.*a file"):
                    await given("word " * 8_000)
            assert server.requests == []
            assert (await session.run(TASK)).ok
            before = len(events(agent, "s"))
            with pytest.raises(UsageError, match="more than"):
                await session.run("word " * 8_000)
            assert len(events(agent, "s")) == before
            assert (await session.run("And now?")).ok
        assert_prefix_stable(server)


async def test_a_message_that_fills_the_window_folds_what_came_before() -> None:
    long = "Mind this: " + "rule after rule " * 1_000
    with FakeDeepSeek(model(3)) as server:
        agent = make(server, window=6_500)
        async with agent.session("s") as session:
            assert (await session.run(TASK)).ok
            assert (await session.run(long)).ok
    assert [each for each in events(agent, "s") if isinstance(each, Folded)]
    last = server.requests[-1].body["messages"]
    assert long in last[1]["content"]
    assert TASK in last[1]["content"]


async def test_a_lane_that_began_with_anothers_history_folds_into_a_fresh_one() -> None:
    with FakeDeepSeek(model(9)) as server:
        agent = make(server, window=6_500)
        async with agent.session("s") as session:
            await session.run(TASK)
            run = session._run  # pyright: ignore[reportPrivateUsage] - as undo does it
            await fork_lane(run, "again", role="main").log.commit()
        async with agent.session("s", resume=True) as session:
            run = session._run  # pyright: ignore[reportPrivateUsage]
            assert run.lane_name == "again"
            assert run.lane.fragments > 1
            await fold(run)
            assert run.lane.fragments == 1
            assert (await session.run("And now?")).ok
    opened = [each for each in events(agent, "s") if isinstance(each, LaneOpened)]
    assert opened[-2].replays
    assert opened[-1].replays == ""


async def test_a_folded_subagent_keeps_its_order_also_when_it_is_folded_again() -> None:
    """The user's words alone would have it do the whole task."""
    order = "Read all pages and say which is the longest. Change nothing."
    read_so_far = 0

    def answer(request: dict[str, Any]) -> Reply:
        nonlocal read_so_far
        said = str(request["messages"])
        if request["messages"][-1]["content"] == INSTRUCTION:
            return Reply(content="Pages were read.")
        if "You are a subagent" not in said:
            done = len(request["messages"]) > 2
            return Reply("Done.") if done else Reply(calls=[Call("task", {"prompt": order})])
        read_so_far += 1
        if read_so_far > 24:
            return Reply("The ninth is.")
        return Reply(calls=[Call("page", {"number": read_so_far})])

    with FakeDeepSeek(answer) as server:
        one = Ladder.single("deepseek-flash")
        agent = replace(make(server, window=9_000), tools=[page, *subagents()], ladder=one)
        result = await agent.run(TASK)
    log = events(agent, result.session_id)
    folds = [event for event in log if isinstance(event, Folded)]
    assert len(folds) >= 2
    for each in folds:
        packet = next(e.text for e in log if isinstance(e, Message) and e.lane == each.to)
        assert packet.count(order) == 1
        assert "Go on with this order" in packet
    assert result.output == "Done."
    assert read_so_far == 25
    assert server.violations == []
