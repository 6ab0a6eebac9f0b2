"""Requests in flight follow the number that a 429 states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from agentkit import Agent
from agentkit.events import ModelFailed
from agentkit.ladder import Ladder
from agentkit.log import read
from agentkit.models import concurrency
from agentkit.models.concurrency import Limiter, limiter
from agentkit.models.retry import RetryPolicy
from agentkit.stores.memory import MemoryStore
from agentkit.testing import FakeDeepSeek

Start = Callable[..., FakeDeepSeek]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_many_sessions_settle_at_the_stated_limit(fake_deepseek: Start) -> None:
    turns, sessions, allowed = 4, 12, 3
    server = fake_deepseek(
        [{"calls": [{"name": "look", "arguments": {}}]}] * (turns - 1) + ["Done."],
        per_conversation=True,
        concurrency=allowed,
        delay=0.003,
    )

    def look() -> str:
        """Look."""
        return "seen"

    store = MemoryStore()
    agent = Agent(
        "a",
        tools=[look],
        ladder=Ladder.preset("flash"),
        base_url=server.base_url,
        api_key="k",
        store=store,
        retry=RetryPolicy(base=0.01),
    )
    statuses: list[str] = []

    async def one(number: int) -> None:
        async with agent.session(f"s{number}") as session:
            async for _ in session.stream(f"Job {number}."):
                pass
            statuses.append(session.state.finished.status if session.state.finished else "")

    async with anyio.create_task_group() as tasks:
        for number in range(sessions):
            tasks.start_soon(one, number)
    refused = [request for request in server.requests if request.status == 429]
    assert statuses == ["finished"] * sessions
    assert 0 < len(refused) <= sessions - allowed  # the first crowd, and never again
    assert len(server.requests) - len(refused) == turns * sessions
    logged = [
        event
        for number in range(sessions)
        for event in read(store, f"s{number}")
        if isinstance(event, ModelFailed)
    ]
    assert {event.error for event in logged} == {"ConcurrencyLimited"}
    assert len(logged) == len(refused)  # each one an event
    assert limiter(server.base_url, "k").limit == allowed


async def test_places_are_given_in_the_order_of_coming_and_survive_cancellation() -> None:
    limits = Limiter()
    limits.lower(1)
    order: list[int] = []
    inside, go = anyio.Event(), anyio.Event()

    async def first() -> None:
        async with limits.slot():
            inside.set()
            await go.wait()

    async def one(number: int, scope: anyio.CancelScope) -> None:
        with scope:
            async with limits.slot():
                order.append(number)

    scopes = [anyio.CancelScope() for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await inside.wait()
        for number, scope in enumerate(scopes):
            tasks.start_soon(one, number, scope)
            await anyio.wait_all_tasks_blocked()
        scopes[1].cancel()
        await anyio.wait_all_tasks_blocked()
        go.set()
    assert order == [0, 2, 3]
    assert limits.in_flight == 0


async def test_a_few_more_are_tried_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limiter()
    limits.lower(8)
    monkeypatch.setattr(concurrency, "PATIENCE", -1.0)
    async with limits.slot():
        assert limits.limit == 10
    limits.lower(3)
    assert limits.limit == 3


async def test_endpoints_do_not_limit_each_other() -> None:
    limiter("http://a", "k").lower(1)
    assert limiter("http://a", "k").limit == 1
    assert limiter("http://a", "other").limit is None
    assert limiter("http://b", "k").limit is None
