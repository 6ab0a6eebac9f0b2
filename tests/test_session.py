"""Sessions against a provider that speaks HTTP: what is sent, what is logged, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest

from agentkit import (
    Agent,
    Call,
    Claim,
    Hooks,
    Ladder,
    Limits,
    Refuse,
    Result,
    Session,
    ToolContext,
    ToolError,
    UsageError,
    tool,
)
from agentkit.errors import SessionError
from agentkit.events import (
    Event,
    ModelDelta,
    ModelRequested,
    SessionFinished,
    ToolFinished,
    ToolStarted,
)
from agentkit.log import read
from agentkit.models.retry import RetryPolicy
from agentkit.stores import Row
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call as Asks
from agentkit.testing import FakeDeepSeek, Reply, assert_prefix_stable
from agentkit.tool import ToolResult

pytestmark = pytest.mark.anyio


@tool(read_only=True)
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: the first
        b: the second
    """
    return a + b


def make(server: FakeDeepSeek, *tools: Any, **settings: Any) -> Agent:
    settings.setdefault("store", MemoryStore())
    settings.setdefault("retry", RetryPolicy(base=0.01, cap=0.02))
    return Agent("tester", tools=tools or (add,), base_url=server.base_url, api_key="k", **settings)


def asks(*calls: Asks, reasoning: str = "hm") -> Reply:
    return Reply(reasoning=reasoning, calls=list(calls))


def says(text: str) -> Reply:
    return Reply(content=text, reasoning="done")


def results(agent: Agent, result: Result) -> list[ToolFinished]:
    assert agent.store is not None
    events = read(agent.store, result.session_id)
    return [event for event in events if isinstance(event, ToolFinished)]


async def test_a_call_and_an_answer() -> None:
    with FakeDeepSeek([asks(Asks("add", {"a": 2, "b": 3})), says("It is 5.")]) as server:
        agent = make(server)
        result = await agent.run("What is 2 + 3?")
    assert (result.status, result.output, result.exit_code) == ("finished", "It is 5.", 0)
    assert result.turns == 2
    assert result.usage.prompt_tokens > 0
    assert 0 < result.cost_usd < 0.01
    assert [each.content for each in results(agent, result)] == ["5"]
    assert server.violations == []
    assert_prefix_stable(server)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_streaming_gives_every_event_in_order(anyio_backend: str) -> None:
    with FakeDeepSeek([asks(Asks("add", {"a": 1, "b": 1})), says("Two.")]) as server:
        async with make(server).session() as session:
            events = [event async for event in session.stream("1 + 1?")]
            assert session.result.output == "Two."
    kinds = [event.type for event in events if event.stored]
    assert kinds == [
        "session.started", "run.started", "lane.opened", "message",
        "model.requested", "model.responded", "tool.started", "tool.finished",
        "model.requested", "model.responded", "session.finished",
    ][1:]  # fmt: skip
    numbers = [event.seq for event in events if event.seq is not None]
    assert numbers == list(range(2, len(numbers) + 2))
    deltas = [event for event in events if isinstance(event, ModelDelta)]
    assert "".join(each.text for each in deltas if each.kind == "content") == "Two."


async def test_read_only_calls_run_side_by_side_and_results_keep_the_order() -> None:
    arrived: list[int] = []
    everyone = anyio.Event()

    @tool(read_only=True)
    async def meet(number: int) -> str:
        """Wait for the others."""
        arrived.append(number)
        if len(arrived) == 3:
            everyone.set()
        await everyone.wait()
        return f"met {number}"

    calls = asks(*(Asks("meet", {"number": number}) for number in (1, 2, 3)))
    with FakeDeepSeek([calls, says("ok")]) as server, anyio.fail_after(20):
        agent = make(server, meet)
        result = await agent.run("Meet.")
    assert [each.content for each in results(agent, result)] == ["met 1", "met 2", "met 3"]


async def test_calls_that_touch_the_same_thing_run_in_the_models_order() -> None:
    trace: list[str] = []
    released = anyio.Event()

    def claims(arguments: dict[str, Any]) -> tuple[Claim, ...]:
        return (Claim(f"file:{arguments['path']}"),)

    @tool(claims=claims)
    async def write(path: str, text: str) -> str:
        """Write."""
        trace.append(f"{path}{text} begins")
        if (path, text) == ("a", "1"):
            await released.wait()  # until the call on the other file has gone ahead
        if path == "b":
            released.set()
        trace.append(f"{path}{text} ends")
        return text

    steps = [("a", "1"), ("a", "2"), ("b", "3")]
    calls = asks(*(Asks("write", {"path": path, "text": text}) for path, text in steps))
    with FakeDeepSeek([calls, says("ok")]) as server, anyio.fail_after(20):
        agent = make(server, write)
        result = await agent.run("Write.")
    assert trace.index("a1 ends") < trace.index("a2 begins")
    assert trace.index("b3 ends") < trace.index("a1 ends")
    assert [each.content for each in results(agent, result)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (Asks("ad", {"a": 1, "b": 2}), "Did you mean 'add'?"),
        (Asks("add", {"a": 1}), "missing argument 'b'"),
        (Asks("add", '{"a": 1, "b": '), "not valid JSON"),
        (Asks("add", "[1, 2]"), "not executed"),
        (Asks("fail", {}), "ZeroDivisionError"),
        (Asks("explain", {}), "ERROR: the moon is not in reach"),
    ],
)
async def test_bad_calls_become_results_that_help(call: Asks, words: str) -> None:
    @tool
    def fail() -> float:
        """Fail."""
        return 1 / 0

    @tool
    def explain() -> str:
        """Explain."""
        raise ToolError("the moon is not in reach")

    with FakeDeepSeek([asks(call), says("I see.")]) as server:
        agent = make(server, add, fail, explain)
        result = await agent.run("Try.")
    (finished,) = results(agent, result)
    assert words in finished.content
    assert finished.status in ("invalid", "failed")
    assert result.ok


async def test_the_model_that_never_calls_right_is_a_typed_failure() -> None:
    with FakeDeepSeek(lambda _request: asks(Asks("nothing", {}))) as server:
        result = await make(server).run("Go.")
    assert (result.status, result.exit_code) == ("failed", 1)
    assert "could not be used" in result.output
    assert len(server.requests) == 5


async def test_empty_answers_are_nudged_once_and_then_a_failure() -> None:
    with FakeDeepSeek([Reply(content=""), says("Here.")]) as server:
        assert (await make(server).run("Go.")).output == "Here."
    with FakeDeepSeek(lambda _request: Reply(content="  ")) as server:
        result = await make(server, ladder=Ladder.single("deepseek-flash")).run("Go.")
    assert (result.status, result.exit_code, len(server.requests)) == ("failed", 1, 2)


@pytest.mark.parametrize("value", ["[" * 300 + "]" * 300, "1e999"], ids=["deep", "infinite"])
async def test_arguments_that_cannot_be_kept_are_the_models_to_mend(value: str) -> None:
    @tool
    async def take(value: Any) -> str:
        """Take anything."""
        return "took"

    script = [asks(Asks("take", f'{{"value": {value}}}')), says("ok")]
    with FakeDeepSeek(script) as server:
        agent = make(server, take)
        result = await agent.run("Go.")
    assert result.ok
    assert [each.status for each in results(agent, result)] == ["invalid"]


async def test_data_of_a_tool_that_no_log_can_hold_ends_nothing() -> None:
    @tool
    async def loop() -> ToolResult:
        """Give data that holds itself."""
        data: dict[str, Any] = {}
        data["self"] = data
        return ToolResult("Here.", data=data)

    with FakeDeepSeek([asks(Asks("loop", {})), says("ok")]) as server:
        agent = make(server, loop)
        result = await agent.run("Go.")
    assert result.ok
    assert [(each.status, each.content) for each in results(agent, result)] == [("done", "Here.")]


@pytest.mark.parametrize("text", ["I will now", ""])
async def test_what_the_providers_filter_stopped_is_never_the_end(text: str) -> None:
    filtered = Reply(content=text, finish_reason="content_filter")
    with FakeDeepSeek([filtered, says("In other words.")]) as server:
        result = await make(server).run("Go.")
        assert (result.status, result.output) == ("finished", "In other words.")
        assert "content filter" in str(server.requests[1].body["messages"])
    with FakeDeepSeek(lambda _request: filtered) as server:
        result = await make(server, ladder=Ladder.single("deepseek-flash")).run("Go.")
    assert (result.status, result.exit_code, len(server.requests)) == ("failed", 1, 2)
    assert "content filter" in result.output


async def test_a_model_that_never_stops_meets_the_turn_limit() -> None:
    with FakeDeepSeek(lambda _request: asks(Asks("add", {"a": 1, "b": 1}))) as server:
        result = await make(server, limits=Limits(turns=7)).run("Go.")
    assert (result.status, result.exit_code, result.turns) == ("limit", 3, 7)
    assert "--max-turns" in result.output


async def test_money_stops_before_it_is_spent() -> None:
    with FakeDeepSeek(lambda _request: asks(Asks("add", {"a": 1, "b": 1}))) as server:
        one = Ladder.single("deepseek-flash")
        result = await make(server, limits=Limits(cost_usd=0.002), ladder=one).run("Go.")
    assert (result.status, result.exit_code) == ("limit", 3)
    assert 0 < result.cost_usd <= 0.002
    asked = [json.loads(request)["max_tokens"] for request in bodies(server)]
    assert max(asked) < 5000, "the answer's limit is lowered to what the money can pay"


async def test_the_deadline_stops_a_tool_in_the_middle_and_leaves_a_valid_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadlines: list[anyio.CancelScope] = []
    move_on_after = anyio.move_on_after

    def seen(seconds: float | None, **more: Any) -> anyio.CancelScope:
        scope = move_on_after(seconds, **more)
        if seconds is not None and seconds > 3_000:
            deadlines.append(scope)
        return scope

    monkeypatch.setattr(anyio, "move_on_after", seen)

    @tool
    async def hang() -> str:
        """Hang; the deadline comes just now."""
        deadlines[-1].deadline = anyio.current_time()
        await anyio.sleep_forever()
        return ""

    with FakeDeepSeek([asks(Asks("hang", {})), says("ok")]) as server:
        agent = make(server, hang, limits=Limits(deadline=3_600))
        result = await agent.run("Go.")
        assert (result.status, result.exit_code) == ("limit", 3)
        (finished,) = results(agent, result)
        assert finished.status == "cancelled"
        more = make(server, hang, store=agent.store, limits=Limits(deadline=60))
        async with more.session(result.session_id, resume=True) as session:
            assert (await session.run()).ok
    assert server.violations == []
    assert_prefix_stable(server)


async def test_steering_is_read_before_the_next_answer() -> None:
    session: Session

    @tool
    async def look() -> str:
        """Look."""
        await session.steer("Leave the public API alone.")
        return "seen"

    with FakeDeepSeek([asks(Asks("look", {})), says("ok")]) as server:
        async with make(server, look).session() as session:
            await session.run("Go.")
    last = json.loads(bodies(server)[-1])["messages"]
    assert last[-1] == {"role": "user", "content": "Leave the public API alone."}
    assert [each["role"] for each in last[-3:]] == ["assistant", "tool", "user"]


async def test_a_word_during_the_last_answer_is_read_before_the_end() -> None:
    heard: list[bool] = []

    async def after_model(_: Event) -> None:
        heard.append(session.listens)
        if len(heard) == 1:
            await session.steer("In German, please.")

    with FakeDeepSeek([says("It is five."), says("Es ist fünf.")]) as server:
        agent = make(server, hooks=Hooks(after_model=after_model))
        async with agent.session() as session:
            assert not session.listens
            result = await session.run("2 + 3?")
            assert not session.listens
    assert (result.output, heard) == ("Es ist fünf.", [True, True])
    assert server.requests[1].body["messages"][-1]["content"] == "In German, please."
    assert server.violations == []


async def test_hooks_refuse_and_append_but_cannot_edit() -> None:
    seen: list[str] = []

    async def before_model(turn: int) -> str | None:
        return "Be brief." if turn == 1 else None

    async def before_tool(call: Call) -> Refuse | None:
        return Refuse("Not on Mondays.") if call.arguments["a"] == 13 else None

    async def after_tool(call: Call, finished: ToolFinished) -> str | None:
        seen.append(f"{call.tool}={finished.content}")
        return "(checked)"

    hooks = Hooks(before_model=before_model, before_tool=before_tool, after_tool=after_tool)
    calls = asks(Asks("add", {"a": 13, "b": 1}), Asks("add", {"a": 1, "b": 1}))
    with FakeDeepSeek([calls, says("ok")]) as server:
        agent = make(server, hooks=hooks)
        result = await agent.run("Go.")
    refused, done = results(agent, result)
    assert refused.status == "refused"
    assert "Not on Mondays." in refused.content
    assert done.content == "2\n\n(checked)"
    assert seen == ["add=2"]
    assert json.loads(bodies(server)[0])["messages"][-1]["content"] == "Be brief."


@pytest.mark.parametrize(
    ("approval", "answer", "status"),
    [
        ("auto", None, "done"),
        ("ask", True, "done"),
        ("ask", False, "refused"),
        ("read-only", True, "refused"),
    ],
)
async def test_approval(approval: Any, answer: bool | None, status: str) -> None:
    @tool
    def delete() -> str:
        """Delete."""
        return "gone"

    async def approve(_call: Call) -> bool:
        assert answer is not None
        return answer

    hooks = Hooks(approve=approve)
    with FakeDeepSeek([asks(Asks("delete", {})), says("ok")]) as server:
        agent = make(server, delete, hooks=hooks, approval=approval)
        result = await agent.run("Go.")
    assert [each.status for each in results(agent, result)] == [status]


async def test_a_cancelled_run_after_a_parked_one_has_its_end_in_the_log() -> None:
    stop: list[Callable[[], None]] = []

    async def before_model(_turn: int) -> None:
        stop.pop()()
        await anyio.sleep_forever()

    with FakeDeepSeek([]) as server:
        agent = make(server, hooks=Hooks(before_model=before_model))
        async with agent.session() as session:
            stop.append(session.park)
            with pytest.raises(SessionError, match="parked"):
                await session.run("Go.")
            assert session.state.finished is None
            stop.append(session.cancel)
            assert (await session.run("Again.")).status == "cancelled"


async def test_cancelling_in_mid_request_and_going_on() -> None:
    started = anyio.Event()

    async def after_model(_answer: Any) -> None:
        started.set()

    @tool
    async def hang() -> str:
        """Hang."""
        await anyio.sleep_forever()
        return ""

    with FakeDeepSeek([asks(Asks("hang", {})), says("ok")]) as server:
        agent = make(server, hang, hooks=Hooks(after_model=after_model))
        async with agent.session() as session, anyio.create_task_group() as tasks:

            async def stop() -> None:
                await started.wait()
                session.cancel()

            tasks.start_soon(stop)
            result = await session.run("Go.")
            assert (result.status, result.exit_code) == ("cancelled", 130)
            again = await session.run("Go on without it.")
            assert again.ok
    assert server.violations == []
    assert_prefix_stable(server)


async def test_leaving_a_stream_early_stops_the_run() -> None:
    with FakeDeepSeek(lambda _request: asks(Asks("add", {"a": 1, "b": 1}))) as server:
        agent = make(server)
        async with agent.session() as session:
            stream = session.stream("Go.")
            async for event in stream:
                if isinstance(event, ToolFinished):
                    break
            await stream.aclose()
        assert agent.store is not None
        last = read(agent.store, session.id)[-1]
    assert isinstance(last, SessionFinished)
    assert last.status == "cancelled"


async def test_a_log_cut_anywhere_can_be_resumed() -> None:
    """Take the store as a crash after any event would leave it: the session goes on, calls
    without results are told to the model, nothing runs twice by itself."""
    runs: list[int] = []

    @tool
    def act(number: int) -> str:
        """Act."""
        runs.append(number)
        return f"acted {number}"

    def model(request: dict[str, Any]) -> Reply:
        text = json.dumps(request["messages"])
        for number in (1, 2):
            if f'\\"number\\": {number}' not in text and f"acted {number}" not in text:
                return asks(Asks("act", {"number": number}), Asks("act", {"number": number + 10}))
        return says("done")

    with FakeDeepSeek(model) as server:
        agent = make(server, act)
        whole = await agent.run("Act.")
        assert agent.store is not None
        rows = agent.store.read(whole.session_id)
        assert runs == [1, 11, 2, 12]
        for cut in range(1, len(rows)):
            await _resume_cut(server, agent, whole.session_id, rows[:cut], act)
    assert server.violations == []


async def _resume_cut(
    server: FakeDeepSeek, agent: Agent, session_id: str, rows: Sequence[Row], act: Any
) -> None:
    store = MemoryStore()
    store.append(session_id, rows)
    first = len(server.requests)
    resumed = make(server, act, store=store)
    async with resumed.session(session_id, resume=True) as session:
        fresh = not session.state.lanes
        result = await session.run("Act." if fresh else "")
    assert result.ok, rows[-1]
    events = read(store, session_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    calls = [event.call_id for event in events if isinstance(event, ToolFinished)]
    assert len(calls) == len(set(calls))
    begun = {e.call_id for e in events[: len(rows)] if isinstance(e, ToolStarted)}
    done = {e.call_id for e in events[: len(rows)] if isinstance(e, ToolFinished)}
    told = {
        e.call_id
        for e in events[len(rows) :]
        if isinstance(e, ToolFinished) and e.status == "unknown"
    }
    assert told == begun - done
    before = [event for event in events[: len(rows)] if isinstance(event, ModelRequested)]
    if before:  # what goes out after the crash extends what went out before it
        assert_prefix_stable([sent_before(server, before[-1]), *bodies(server)[first:]])


def sent_before(server: FakeDeepSeek, event: ModelRequested) -> bytes:
    """The body of the first, whole run that this event announced."""
    return next(body for body in bodies(server) if len(body) == event.size)


async def test_sessions_are_named_once_and_found_again() -> None:
    with FakeDeepSeek([says("one"), says("two")]) as server:
        agent = make(server)
        async with agent.session("mine") as session:
            assert (await session.run("First.")).session_id == "mine"
        with pytest.raises(SessionError, match="exists already"):
            async with agent.session("mine"):
                pass
        with pytest.raises(SessionError, match="there is no session"):
            async with agent.session("other", resume=True):
                pass
        async with agent.session("mine", resume=True) as session:
            result = await session.run("Second.")
    assert result.output == "two"
    assert result.turns == 2
    assert_prefix_stable(server)


async def test_misuse_is_refused_with_words() -> None:
    with FakeDeepSeek([says("ok")]) as server:
        with pytest.raises(UsageError, match="task is empty"):
            await make(server).run("  ")
        with pytest.raises(UsageError, match="sandbox"):
            await make(server).run("Go.", checks=["true"])
        with pytest.raises(UsageError, match="two tools"):
            make(server, add, add)
    with pytest.raises(UsageError, match="DEEPSEEK_API_KEY"):
        await Agent("keyless", store=MemoryStore()).run("Go.")
    with pytest.raises(UsageError, match="above 0"):
        Limits(turns=0)
    with pytest.raises(UsageError, match="flash-pro"):
        Ladder.preset("gold")


async def test_tools_remember_across_a_resume() -> None:
    @tool
    def note(context: ToolContext, text: str) -> str:
        """Note."""
        context.record("seen", {"text": text})
        return ", ".join(each["text"] for each in context.facts("seen"))

    script = [asks(Asks("note", {"text": "a"})), says("ok")]
    with FakeDeepSeek([*script, asks(Asks("note", {"text": "b"})), says("ok")]) as server:
        agent = make(server, note)
        first = await agent.run("Go.")
        async with agent.session(first.session_id, resume=True) as session:
            second = await session.run("Again.")
    assert [each.content for each in results(agent, second)] == ["a", "a, b"]


def bodies(server: FakeDeepSeek) -> list[bytes]:
    return [request.raw for request in server.requests]


def as_kinds(events: Sequence[Event]) -> list[str]:
    return [event.type for event in events]
