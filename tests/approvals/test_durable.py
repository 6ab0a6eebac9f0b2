"""An ask outlives the process: the call is pending until somebody answers, and then acted upon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from agentkit import Agent, Call, Hooks, Limits, Refuse, Result, tool
from agentkit.approvals import wait_for_session
from agentkit.approvals.record import answer, questions
from agentkit.errors import AlreadyAnswered, SessionError, SessionInUse
from agentkit.events import ApprovalAsked, Event, SessionFinished, ToolFinished, ToolStarted
from agentkit.log import read
from agentkit.models.retry import RetryPolicy
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call as Asks
from agentkit.testing import FakeDeepSeek, Reply, assert_prefix_stable

pytestmark = pytest.mark.anyio


class Desk:
    """A tool that changes something, and what was changed."""

    def __init__(self) -> None:
        self.written: list[str] = []

        @tool
        def write(text: str) -> str:
            """Write."""
            self.written.append(text)
            return f"wrote {text}"

        @tool(read_only=True)
        def look() -> str:
            """Look."""
            return ", ".join(self.written) or "nothing"

        self.tools = [write, look]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def make(server: FakeDeepSeek, desk: Desk, store: Any, **more: Any) -> Agent:
    return Agent(
        "writer", tools=desk.tools, base_url=server.base_url, api_key="k", store=store,
        retry=RetryPolicy(base=0.01, cap=0.02), approval="ask", **more,
    )  # fmt: skip


def wants(*texts: str, look: bool = False) -> Reply:
    calls = [Asks("write", {"text": text}, id=text) for text in texts]
    return Reply(calls=[*calls, Asks("look", {}, id="l")] if look else calls)


def of_type(store: MemoryStore, session: str, kind: type[Any]) -> list[Any]:
    return [each for each in read(store, session) if isinstance(each, kind)]


def results(store: MemoryStore, session: str) -> list[tuple[str, str]]:
    found: Sequence[ToolFinished] = of_type(store, session, ToolFinished)
    return [(each.call_id, each.status) for each in found]


async def stops_waiting(server: FakeDeepSeek, desk: Desk, store: MemoryStore) -> Result:
    async with make(server, desk, store).session("s") as session:
        return await session.run("Write.")


@pytest.mark.parametrize("allowed", [True, False])
async def test_nobody_there_an_answer_later_and_the_rest(desk: Desk, allowed: bool) -> None:
    store = MemoryStore()
    with FakeDeepSeek([wants("a", look=True), "Done."]) as server:
        result = await stops_waiting(server, desk, store)
        assert (result.status, result.exit_code, result.ok) == ("waiting", 6, False)
        assert "agentkit sessions approve s a" in result.output
        assert (desk.written, results(store, "s")) == ([], [])
        assert [each.call_id for each in questions(store, "s")] == ["a"]
        answer(store, "s", "a", allowed=allowed, reason="" if allowed else "Not now.")
        assert questions(store, "s") == []
        async with make(server, desk, store).session("s", resume=True) as session:
            result = await session.run()
        assert result.ok
        said = server.requests[-1].body["messages"]
    status = "done" if allowed else "refused"
    assert results(store, "s") == [("a", status), ("l", "done")]
    assert desk.written == (["a"] if allowed else [])
    if not allowed:
        assert "The user declined this call: Not now." in said[-2]["content"]
    assert [each["role"] for each in said[-3:]] == ["assistant", "tool", "tool"]
    assert_prefix_stable(server)
    assert server.violations == []


async def test_answering_twice_or_nothing_is_an_error(desk: Desk) -> None:
    store = MemoryStore()
    with FakeDeepSeek([wants("a"), "Done."]) as server:
        await stops_waiting(server, desk, store)
        with pytest.raises(SessionError, match="Those that wait: a"):
            answer(store, "s", "b", allowed=True)
        with pytest.raises(SessionError, match="no session 'x'"):
            answer(store, "x", "a", allowed=True)
        answer(store, "s", "a", allowed=False)
        with pytest.raises(AlreadyAnswered, match="declined already"):
            answer(store, "s", "a", allowed=True)
        async with make(server, desk, store).session("s", resume=True) as session:
            with pytest.raises(AlreadyAnswered):
                await session.approve("a", True)
            await session.run()
            with pytest.raises(AlreadyAnswered):
                await session.approve("a", True)
    assert desk.written == []


async def test_a_stream_is_answered_through_its_session(desk: Desk) -> None:
    store = MemoryStore()
    with FakeDeepSeek([wants("a", "b"), "Done."]) as server:
        agent = make(server, desk, store, hooks=Hooks(approve=wait_for_session))
        async with agent.session("s") as session:
            asked: list[str] = []
            async for event in session.stream("Write."):
                if isinstance(event, ApprovalAsked):
                    asked.append(event.call_id)
                    assert event.arguments == {"text": event.call_id}
                if isinstance(event, ApprovalAsked) and len(asked) == 2:
                    assert [each.call_id for each in session.questions] == ["a", "b"]
                    await session.approve("b")  # in any order
                    with pytest.raises(AlreadyAnswered):
                        await session.approve("b", False)
                    await session.approve("a", False, "One is enough.")
    assert desk.written == ["b"]
    assert results(store, "s") == [("a", "refused"), ("b", "done")]


async def test_the_quicker_of_hook_and_session_wins_and_the_other_is_told(desk: Desk) -> None:
    store = MemoryStore()
    ended = anyio.Event()

    async def slow(_call: Call) -> bool:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()
        return False

    with FakeDeepSeek([wants("a"), "Done."]) as server:
        async with make(server, desk, store, hooks=Hooks(approve=slow)).session("s") as session:
            async for event in session.stream("Write."):
                if isinstance(event, ApprovalAsked):
                    await session.approve("a")
    assert ended.is_set()
    assert desk.written == ["a"]


async def test_an_error_in_the_hook_ends_the_run_and_the_call_stays_pending(desk: Desk) -> None:
    store = MemoryStore()

    async def broken(_call: Call) -> bool:
        raise RuntimeError("the pager is empty")

    with FakeDeepSeek([wants("a"), "Done."]) as server:
        agent = make(server, desk, store, hooks=Hooks(approve=broken))
        async with agent.session("s") as session:
            with pytest.raises(RuntimeError, match="the pager is empty"):
                await session.run("Write.")
            assert [each.call_id for each in session.questions] == ["a"]
            await session.approve("a")
            assert (await session.run()).ok
    assert desk.written == ["a"]
    assert_prefix_stable(server)


async def test_cancelled_at_the_question_it_is_asked_again(desk: Desk) -> None:
    store = MemoryStore()
    asked: list[Call] = []

    async def approve(call: Call) -> bool:
        asked.append(call)
        if len(asked) == 1:
            session.cancel()
            await anyio.sleep_forever()
        return True

    with FakeDeepSeek([wants("a"), "Done."]) as server:
        async with make(server, desk, store, hooks=Hooks(approve=approve)).session("s") as session:
            assert (await session.run("Write.")).status == "cancelled"
            assert (desk.written, results(store, "s")) == ([], [])
            assert (await session.run()).ok
    assert [each.id for each in asked] == ["a", "a"]
    assert desk.written == ["a"]
    assert_prefix_stable(server)


async def test_a_new_message_takes_the_place_of_an_answer(desk: Desk) -> None:
    store = MemoryStore()
    with FakeDeepSeek([wants("a", "b", look=True), "As you like."]) as server:
        await stops_waiting(server, desk, store)
        answer(store, "s", "a", allowed=True)
        async with make(server, desk, store).session("s", resume=True) as session:
            assert (await session.run("Leave it.")).ok
            with pytest.raises(AlreadyAnswered):
                await session.approve("b")
        said = server.requests[-1].body["messages"]
    assert desk.written == []
    assert results(store, "s") == [("a", "refused"), ("b", "refused"), ("l", "refused")]
    assert "Leave it." in said[-1]["content"]
    assert server.violations == []
    assert_prefix_stable(server)


async def test_answers_hold_beside_a_new_message(desk: Desk) -> None:
    store = MemoryStore()
    with FakeDeepSeek([wants("a"), "Done."]) as server:
        await stops_waiting(server, desk, store)
        answer(store, "s", "a", allowed=True)
        async with make(server, desk, store).session("s", resume=True) as session:
            assert (await session.run("And be brief.")).ok
        said = server.requests[-1].body["messages"]
    assert desk.written == ["a"]
    assert (said[-2]["role"], said[-1]["content"]) == ("tool", "And be brief.")


async def test_another_policy_at_the_resume(desk: Desk) -> None:
    """A yes that was not given is not needed under ``auto``; a no holds under any policy."""
    for given, policy, status in (
        (None, "auto", "done"), (False, "auto", "refused"), (True, "read-only", "refused"),
    ):  # fmt: skip
        store = MemoryStore()
        with FakeDeepSeek([wants("a"), "Done."]) as server:
            await stops_waiting(server, desk, store)
            if given is not None:
                answer(store, "s", "a", allowed=given)
            agent = make(server, desk, store)
            object.__setattr__(agent, "approval", policy)
            async with agent.session("s", resume=True) as session:
                assert (await session.run()).ok
                assert session.questions == []
        assert results(store, "s") == [("a", status)]


async def test_an_answer_is_for_one_call_even_if_ids_return(desk: Desk) -> None:
    """A provider that uses an id again does not get the second call past the first one's yes."""
    store = MemoryStore()
    asked: list[str] = []

    async def approve(call: Call) -> bool | Refuse:
        asked.append(call.arguments["text"])
        return call.arguments["text"] == "good"

    replies = [
        Reply(calls=[Asks("write", {"text": text}, id="same")]) for text in ("good", "bad", "good")
    ]
    with FakeDeepSeek([*replies, "Done."]) as server:
        async with make(server, desk, store, hooks=Hooks(approve=approve)).session("s") as session:
            await session.run("Write.")
    assert asked == ["good", "bad", "good"]
    assert desk.written == ["good", "good"]


async def test_a_living_session_is_answered_only_by_itself(desk: Desk) -> None:
    store = MemoryStore()
    with FakeDeepSeek([wants("a"), "Done."]) as server:
        async with make(server, desk, store).session("s") as session:
            await session.run("Write.")
            with pytest.raises(SessionInUse):
                answer(store, "s", "a", allowed=True)


async def test_a_log_cut_anywhere_around_the_question_executes_once(desk: Desk) -> None:
    """Whatever a crash leaves of the log, a call runs at most once, and never without its yes."""
    whole = MemoryStore()
    with FakeDeepSeek([wants("a", "b", look=True), "Done."]) as server:
        await stops_waiting(server, desk, whole)
        answer(whole, "s", "b", allowed=False)
        answer(whole, "s", "a", allowed=True)
        async with make(server, desk, whole).session("s", resume=True) as session:
            await session.run()
    assert desk.written == ["a"]
    rows = whole.read("s")
    for cut in range(1, len(rows)):
        desk.written.clear()
        store = MemoryStore()
        store.append("s", rows[:cut])
        kept = read(store, "s")
        script: list[Any] = (
            ["Done."] if _has_answer(kept) else [wants("a", "b", look=True), "Done."]
        )
        begun = any(isinstance(each, ToolStarted) and each.call_id == "a" for each in kept)
        with FakeDeepSeek(script) as server:
            async with make(server, desk, store).session("s", resume=True) as session:
                asked = [each.call_id for each in session.questions]
                for each in asked:
                    await session.approve(each, each == "a")
                result = await session.run("" if session.state.lanes else "Write.")
            assert result.status in ("finished", "waiting"), rows[cut - 1].type
            assert server.violations == []
        known = "unknown" if begun else ("done" if desk.written else None)
        states = dict(results(store, "s"))
        assert desk.written in ([], ["a"])
        assert not (begun and desk.written), "a call that had begun ran again"
        if result.ok and known:
            assert states["a"] in (known, "done")
            assert states.get("b") in ("refused", "cancelled")


def _has_answer(events: Sequence[Event]) -> bool:
    return any(each.type == "model.responded" for each in events)


async def test_waiting_for_a_person_takes_no_time(desk: Desk) -> None:
    """The deadline's clock stands while somebody thinks; it is moved by hand here."""
    store = MemoryStore()
    clock = [0.0]

    async def approve(call: Call) -> bool:
        clock[0] += 1_000
        assert session._run.budget.elapsed < 100  # pyright: ignore[reportPrivateUsage]
        return call.id == "a"

    with FakeDeepSeek([wants("a", "b"), "Done."]) as server:
        agent = make(server, desk, store, hooks=Hooks(approve=approve), limits=Limits(deadline=500))
        async with agent.session("s") as session:
            session._run.budget.clock = lambda: clock[0]  # pyright: ignore[reportPrivateUsage]
            result = await session.run("Write.")
    assert result.ok
    (end,) = of_type(store, "s", SessionFinished)
    assert end.duration == 0
    assert desk.written == ["a"]
