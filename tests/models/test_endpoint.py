"""The endpoint against the fake provider over HTTP: each fault ends in its own typed error."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from agentkit.errors import (
    AuthenticationFailed,
    BalanceEmpty,
    ConcurrencyLimited,
    ContextOverflow,
    ModelError,
    ModelUnknown,
    Overloaded,
    RateLimited,
    ServerFault,
    Stalled,
    StreamCut,
    Unreachable,
    UsageError,
)
from agentkit.ladder import FLASH
from agentkit.models import endpoint as endpoint_module
from agentkit.models import wire
from agentkit.models.endpoint import connect
from agentkit.models.types import Answer, Delta
from agentkit.testing import Call, FakeDeepSeek, Reply

STEP = Reply("On it.", "First look. " * 20, [Call("bash", {"command": "ls\n-l", "wait": 3})])
KEY = "sk-0123456789abcdef"

Start = Callable[..., FakeDeepSeek]


def body(*, stream: bool, text: str = "hi") -> bytes:
    schema = {"type": "object", "properties": {"command": {"type": "string"}}}
    head = wire.head(FLASH, system="s", tools=[wire.tool_entry("bash", "", schema)])
    tail = wire.tail(max_tokens=100, stream=stream, dialect="deepseek")
    return wire.body(head, [wire.user(text)], tail)


async def ask(server: FakeDeepSeek, *, stream: bool = True, **options: Any) -> Answer:
    endpoint = connect(server.base_url, KEY)
    try:
        return await endpoint.ask(body(stream=stream), stream=stream, **options)
    finally:
        await endpoint.aclose()


both = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@both
@backends
async def test_an_answer_comes_whole(fake_deepseek: Start, stream: bool) -> None:
    server = fake_deepseek([STEP])
    answer = await ask(server, stream=stream)
    assert (answer.content, answer.reasoning) == (STEP.content, STEP.reasoning)
    assert [(call.name, call.arguments) for call in answer.calls] == [("bash", STEP.calls[0].text)]
    assert answer.finish_reason == "tool_calls"
    assert answer.usage == server.requests[0].usage
    assert answer.served_model == "deepseek-flash"
    assert answer.fingerprint
    assert server.violations == []


@both
@backends
@pytest.mark.parametrize("size", [131_072, 1_000_000])
async def test_a_long_body_arrives_as_it_was_sent(
    fake_deepseek: Start, stream: bool, size: int
) -> None:
    server = fake_deepseek([STEP, "Again."])
    sent = body(stream=stream, text="x" * size)
    endpoint = connect(server.base_url, KEY)
    try:
        await endpoint.ask(sent, stream=stream)
        assert (await endpoint.ask(sent, stream=stream)).content == "Again."
    finally:
        await endpoint.aclose()
    assert [request.raw for request in server.requests] == [sent, sent]
    assert server.violations == []


@backends
async def test_a_long_body_that_is_refused_unread_is_the_refusal(fake_deepseek: Start) -> None:
    server = fake_deepseek([STEP], faults={1: "401"})
    endpoint = connect(server.base_url, KEY)
    try:
        with pytest.raises(AuthenticationFailed):
            await endpoint.ask(body(stream=False, text="x" * 5_000_000), stream=False)
    finally:
        await endpoint.aclose()


@backends
async def test_deltas_add_up_to_the_answer(fake_deepseek: Start) -> None:
    seen: list[Delta] = []
    answer = await ask(fake_deepseek([STEP], delay=0.001), on_delta=seen.append)

    def joined(kind: str) -> str:
        return "".join(delta.text for delta in seen if delta.kind == kind)

    assert joined("reasoning") == answer.reasoning
    assert joined("content") == answer.content
    assert joined("call") == "bash" + answer.calls[0].arguments


FAULTS: list[tuple[str, type[ModelError]]] = [
    ("429", RateLimited),
    ("429-balance", ConcurrencyLimited),
    ("500", ServerFault),
    ("502", ServerFault),
    ("503", Overloaded),
    ("400-reasoning", ServerFault),
    ("400-context", ContextOverflow),
    ("400-model", ModelUnknown),
    ("401", AuthenticationFailed),
    ("402", BalanceEmpty),
    ("reset", Unreachable),
    ("reset-reasoning", StreamCut),
    ("reset-arguments", StreamCut),
    ("no-finish", StreamCut),
    ("garbage", StreamCut),
    ("error-event", ServerFault),
    ("insufficient", Overloaded),
    ("aborted", Overloaded),
    ("stall", Stalled),
    ("stall-middle", Stalled),
]


@both
@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[fault for fault, _ in FAULTS])
async def test_a_fault_becomes_its_error_and_the_same_bytes_then_succeed(
    fake_deepseek: Start, fault: str, kind: type[ModelError], stream: bool
) -> None:
    server = fake_deepseek([STEP], faults={1: fault})
    with pytest.raises(kind) as caught:
        await ask(server, stream=stream, idle_timeout=0.3)
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    assert KEY not in repr(caught.value)
    assert (await ask(server, stream=stream)).calls
    assert server.requests[0].raw == server.requests[1].raw


@backends
async def test_keep_alives_for_ever_before_an_answer_in_one_piece_are_a_stall(
    fake_deepseek: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "_WHOLE", 0.3)
    server = fake_deepseek([STEP], faults={1: "keep-alive:600"})
    with pytest.raises(Stalled, match="only keep-alives"):
        await ask(server, stream=False, idle_timeout=60.0)


HARMLESS = ["usage-late", "no-done", "keep-alive:0.7"]


@both
@pytest.mark.parametrize("fault", HARMLESS)
async def test_harmless_oddities_change_nothing(
    fake_deepseek: Start, fault: str, stream: bool
) -> None:
    answer = await ask(fake_deepseek([STEP], faults={1: fault}), stream=stream, idle_timeout=0.4)
    assert answer.calls
    assert answer.usage.prompt_tokens > 0


@both
@pytest.mark.parametrize("fault", ["no-usage", "bad-usage"])
async def test_usage_that_is_missing_or_nonsense_is_marked(
    fake_deepseek: Start, fault: str, stream: bool
) -> None:
    answer = await ask(fake_deepseek([STEP], faults={1: fault}), stream=stream)
    assert answer.usage.reported is False
    assert answer.usage.prompt_tokens == 0


@both
async def test_leaked_markup_becomes_the_call_it_was(fake_deepseek: Start, stream: bool) -> None:
    answer = await ask(fake_deepseek([STEP], faults={1: "leak"}), stream=stream)
    assert answer.content == "On it."
    (call,) = answer.calls
    assert call.name == "bash"
    assert '"command": "ls\\n-l"' in call.arguments
    assert '"wait": 3' in call.arguments
    assert answer.finish_reason == "tool_calls"
    assert "leaked" in answer.notes[0]


async def test_repeated_ids_are_made_different(fake_deepseek: Start) -> None:
    twice = Reply(calls=[Call("bash", {}), Call("bash", {})])
    answer = await ask(fake_deepseek([twice], faults={1: "same-ids"}))
    assert len({call.id for call in answer.calls}) == 2
    assert answer.notes


async def test_a_stated_limit_of_concurrency_is_read(fake_deepseek: Start) -> None:
    server = fake_deepseek([STEP], faults={1: "429-balance"})
    with pytest.raises(ConcurrencyLimited) as caught:
        await ask(server)
    assert caught.value.concurrency == 25


async def test_retry_after_is_read(fake_deepseek: Start) -> None:
    with pytest.raises(RateLimited) as caught:
        await ask(fake_deepseek([STEP], faults={1: "429"}))
    assert caught.value.retry_after == 1.0


async def test_a_refused_connection_is_unreachable() -> None:
    server = FakeDeepSeek([]).start()
    server.close()
    with pytest.raises(Unreachable, match="no answer from"):
        await ask(server)


async def test_a_wrong_key_is_told_without_the_key(fake_deepseek: Start) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        await ask(fake_deepseek([STEP], api_key="another"))
    assert KEY not in str(caught.value)


@backends
async def test_cancelling_frees_the_connection(fake_deepseek: Start) -> None:
    server = fake_deepseek([STEP, STEP], faults={1: "stall"})
    endpoint = connect(server.base_url, KEY)
    with anyio.move_on_after(0.2) as scope:
        await endpoint.ask(body(stream=True), stream=True)
    assert scope.cancelled_caught
    assert (await endpoint.ask(body(stream=True), stream=True)).calls
    await endpoint.aclose()


@backends
async def test_many_sessions_share_one_client(fake_deepseek: Start) -> None:

    def echo(request: dict[str, Any]) -> str:
        return request["messages"][-1]["content"]

    server = fake_deepseek(echo)
    answers: dict[int, str] = {}

    async def one(number: int) -> None:
        endpoint = connect(server.base_url, KEY)
        sent = body(stream=False, text=f"session {number}")
        answers[number] = (await endpoint.ask(sent, stream=False)).content
        await endpoint.aclose()

    async with anyio.create_task_group() as group:
        for number in range(60):
            group.start_soon(one, number)
    assert answers == {number: f"session {number}" for number in range(60)}


async def test_models_and_balance(fake_deepseek: Start) -> None:
    endpoint = connect(fake_deepseek([], balance=7.5).base_url, KEY)
    assert await endpoint.models() == ["deepseek-flash", "deepseek-v4-pro"]
    assert (await endpoint.balance())["balance_infos"][0]["total_balance"] == "7.50"
    await endpoint.aclose()


def test_an_address_or_key_that_cannot_work_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="http"):
        connect("api.deepseek.com")
    with pytest.raises(UsageError, match="key"):
        connect("", "sk-\u200b1")
    assert "sk-1" not in repr(connect("", "sk-1"))


async def test_a_stream_costs_microseconds_per_delta(fake_deepseek: Start) -> None:
    long = Reply("word " * 2000)  # 417 deltas
    server = fake_deepseek([long, long])
    endpoint = connect(server.base_url, KEY)
    await endpoint.ask(body(stream=True), stream=True)
    began = time.thread_time()
    await endpoint.ask(body(stream=True), stream=True)
    assert time.thread_time() - began < 0.04  # some 8 ms here; the SDK's own parsing takes 36
    await endpoint.aclose()
