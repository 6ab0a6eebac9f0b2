"""Forks start at the end of a turn, on bytes that were sent before; their origin stays as it is."""

from __future__ import annotations

import itertools
from typing import Any

import anyio
import pytest

from agentkit import Agent, UsageError, tool
from agentkit.errors import SessionError
from agentkit.events import ModelRequested, ModelResponded, SessionForked, ToolFinished
from agentkit.forks import FORKED, FanOut, fork_lane, fork_session, points
from agentkit.log import read
from agentkit.request import ask
from agentkit.state import replay
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply

pytestmark = pytest.mark.anyio
PAGES = 5


@tool(read_only=True)
def page(number: int) -> str:
    """Read a page."""
    return f"page {number}: " + f"token{number} and more words of it, " * 60


def model() -> Any:
    """Reads so many pages, then answers; every further question is answered at once."""

    def answer(request: dict[str, Any]) -> Reply:
        read_so_far = sum(each["role"] == "assistant" for each in request["messages"])
        if read_so_far >= PAGES:
            return Reply(content="All read.")
        return Reply(reasoning="next", calls=[Call("page", {"number": read_so_far})])

    return answer


def make(server: FakeDeepSeek, store: MemoryStore | None = None) -> Agent:
    store = store or MemoryStore()
    return Agent("reader", tools=[page], base_url=server.base_url, api_key="k", store=store)


@pytest.mark.parametrize("exact", [True, False])
async def test_a_session_forked_at_a_turn_hits_up_to_there(exact: bool) -> None:
    store = MemoryStore()
    with FakeDeepSeek(model(), exact=exact) as server:
        agent = make(server, store)
        result = await agent.run("Read.")
        before = store.read(result.session_id)
        for turn in (1, 3, PAGES + 1):
            fork_session(store, result.session_id, f"fork-{turn}", turn=turn)
            sent = len(server.requests)
            async with agent.session(f"fork-{turn}", resume=True) as session:
                forked = await session.run("What was on it?")
            first = server.requests[sent].usage
            # A text behind results joins their turn, so these are read again: no unit ends at them.
            page_read = 600 if turn <= PAGES else 0
            assert first.miss_tokens < 2 * 128 + page_read, f"turn {turn}: {first}"
            assert first.hit_ratio > 0.5 or turn == 1
            assert forked.turns <= PAGES + 1 - turn + 1, "its parent's turns are not its own"
    assert store.read(result.session_id) == before
    assert server.violations == []


async def test_a_fork_begins_with_the_very_bytes_of_its_parent() -> None:
    store = MemoryStore()
    with FakeDeepSeek(model()) as server:
        result = await make(server, store).run("Read.")
    events = read(store, result.session_id)
    whole = replay(events).lane()
    for point in points(events):
        fork_session(store, result.session_id, f"f{point.turn}", turn=point.turn)
        forked = read(store, f"f{point.turn}")
        lane = replay(forked).lane()
        assert whole.since(0).startswith(lane.since(0))
        assert [event.seq for event in forked] == list(range(1, len(forked) + 1))
        assert isinstance(forked[-1], SessionForked)
    assert [point.turn for point in points(events)] == list(range(PAGES + 2))


async def test_what_cannot_be_forked_is_said() -> None:
    store = MemoryStore()
    with FakeDeepSeek(model()) as server:
        result = await make(server, store).run("Read.")
    with pytest.raises(SessionError, match="no session 'nothing'"):
        fork_session(store, "nothing", "x")
    with pytest.raises(SessionError, match="no turn 99"):
        fork_session(store, result.session_id, "x", turn=99)
    with pytest.raises(SessionError, match="exists already"):
        fork_session(store, result.session_id, result.session_id)
    assert store.read("x") == []


async def test_lanes_forked_in_mid_session_hit_and_answer_their_open_calls() -> None:
    agents: list[Any] = []

    @tool
    async def divide(parts: int) -> str:
        """Fork the session."""
        run = agents[0]._run
        fan = FanOut()
        forks = [fork_lane(run, f"part-{number}", fan=fan) for number in range(parts)]
        assert fan.stored, "the answer that called us is a unit"

        async def work(fork: Any) -> None:
            fork.note(f"Do part {fork.lane_name}.")
            await ask(fork)

        async with anyio.create_task_group() as tasks:
            for fork in forks:
                tasks.start_soon(work, fork)
        return "divided"

    calls = Reply(reasoning="divide " * 300, calls=[Call("divide", {"parts": 3}, id="d1")])
    with FakeDeepSeek([calls, *[Reply(content="part")] * 3, Reply(content="done")]) as server:
        agent = Agent("a", tools=[divide], base_url=server.base_url, api_key="k",
                      store=MemoryStore())  # fmt: skip
        async with agent.session("s") as session:
            agents.append(session)
            result = await session.run("Divide. " + "Mind the details. " * 100)
            assert session.state.current == "main"
            assert session.state.open_calls == {}
        assert agent.store is not None
        events = read(agent.store, "s")
    assert result.output == "done"
    assert server.violations == []
    for request in server.requests[1:4]:
        assert request.usage.miss_tokens < 256, request.usage
    settled = [e for e in events if isinstance(e, ToolFinished) and e.content == FORKED]
    assert {event.lane for event in settled} == {"part-0", "part-1", "part-2"}
    again = replay(events)
    assert again.current == "main"
    assert again.lane("part-1").size == session.state.lane("part-1").size


async def test_forks_that_nobody_has_warmed_wait_for_the_first() -> None:
    fan, trace = FanOut(), list[str]()

    async def one(name: str) -> None:
        async with fan.turn():
            trace.append(f"{name} asks")
            await anyio.lowlevel.checkpoint()
            trace.append(f"{name} has its answer")

    async with anyio.create_task_group() as tasks:
        for name in ("a", "b", "c"):
            tasks.start_soon(one, name)
    assert trace[:2] == ["a asks", "a has its answer"]
    assert sorted(trace[2:4]) == ["b asks", "c asks"], "the rest go together"


async def test_where_the_first_of_them_fails_the_next_is_the_first() -> None:
    fan, asked = FanOut(), list[str]()

    async def one(name: str) -> None:
        try:
            async with fan.turn():
                asked.append(name)
                assert fan.stored is (name not in ("a", "b"))
                await anyio.lowlevel.checkpoint()
                if name == "a":
                    raise ConnectionError
        except ConnectionError:
            pass

    async with anyio.create_task_group() as tasks:
        for name in ("a", "b", "c"):
            tasks.start_soon(one, name)
    assert asked == ["a", "b", "c"]


@pytest.mark.parametrize("exact", [True, False])
async def test_an_undone_turn_goes_on_from_the_turn_before(exact: bool) -> None:
    with FakeDeepSeek(model(), exact=exact) as server:
        agent = make(server)
        async with agent.session("s") as session:
            await session.run("Read.")
            run = session._run  # pyright: ignore[reportPrivateUsage] - as undo does it
            with pytest.raises(UsageError, match="turn 99"):
                fork_lane(run, "again", turn=99)
            with pytest.raises(UsageError, match="exists already"):
                fork_lane(run, "main")
            back = fork_lane(run, "again", turn=2, role="main")
            assert session.state.current == "again"
            await back.log.commit()
            sent = len(server.requests)
        async with agent.session("s", resume=True) as session:
            await session.run("Read on.")
    assert server.requests[sent].usage.hit_ratio > 0.5, "all but the last turn's results"
    assert agent.store is not None
    log = read(agent.store, "s")
    answer = next(e for e in log if isinstance(e, ModelResponded) and e.lane == "again")
    assert answer.missed == 0, "by our own account too there was no more to hit"
    asked = [e for e in log if isinstance(e, ModelRequested)]
    assert {event.lane for event in asked[PAGES + 1 :]} == {"again"}
    for one, other in itertools.pairwise(asked[PAGES + 1 :]):
        assert one.size < other.size
