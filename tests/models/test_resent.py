"""A try after a fault sends the very bytes of the one before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from agentkit import Agent, Ladder, Limits, Session
from agentkit.errors import ModelError
from agentkit.events import ModelAdvised, ModelRequested
from agentkit.log import read
from agentkit.models.retry import RetryPolicy
from agentkit.models.types import Usage
from agentkit.request import ask_aside
from agentkit.stores.memory import MemoryStore
from agentkit.testing import FakeDeepSeek, Reply

pytestmark = pytest.mark.anyio
Start = Callable[..., FakeDeepSeek]


class Meanwhile(RetryPolicy):
    """Does something in place of waiting, so that the world is another at the next try."""

    happens: Callable[[], None] = staticmethod(lambda: None)

    def wait(self, error: ModelError, attempt: int, waited: float, rng: Random) -> float | None:
        self.happens()
        return None if super().wait(error, attempt, waited, rng) is None else 0.0


def make(server: FakeDeepSeek, store: MemoryStore, retry: RetryPolicy, usd: float | None) -> Agent:
    return Agent(
        "a",
        base_url=server.base_url,
        api_key="k",
        store=store,
        retry=retry,
        ladder=Ladder.preset("flash"),
        limits=Limits(cost_usd=usd),
    )


def spend(session: Session, usd: float) -> None:
    """A lane beside this one is answered, and paid for."""
    run: Any = session._run  # pyright: ignore[reportPrivateUsage]
    run.append(ModelAdvised(content="", usage=Usage(prompt_tokens=1), cost_usd=usd))


async def resent(server: FakeDeepSeek, usd: float | None, spent: float) -> list[ModelRequested]:
    """Every 503 is followed by a payment somewhere else."""
    store, retry = MemoryStore(), Meanwhile()
    async with make(server, store, retry, usd).session("s") as session:
        object.__setattr__(retry, "happens", lambda: spend(session, spent))
        assert (await session.run("Say yes.")).output == "Yes."
    return [event for event in read(store, "s") if isinstance(event, ModelRequested)]


@pytest.mark.parametrize("usd", [None, 1.0], ids=["without a limit", "with enough money"])
async def test_bytes_stay_the_same_while_money_is_spent(
    fake_deepseek: Start, usd: float | None
) -> None:
    server = fake_deepseek([Reply("Yes.")], faults={1: "503*3"})
    asked = await resent(server, usd, spent=0.001)
    assert len({request.raw for request in server.requests}) == 1
    assert len(server.requests) == 4
    assert [event.attempt for event in asked] == [1, 2, 3, 4]


async def test_a_limit_that_can_no_longer_be_paid_is_lowered_and_nothing_else_changes(
    fake_deepseek: Start,
) -> None:
    server = fake_deepseek([Reply("Yes.")], faults={1: "503*2"})
    asked = await resent(server, 0.045, spent=0.01)
    limits = [event.max_tokens for event in asked]
    assert limits[0] > limits[1] > limits[2]
    bodies = [request.body for request in server.requests]
    assert [body.pop("max_tokens") for body in bodies] == limits
    assert bodies[0] == bodies[1] == bodies[2]
    assert server.violations == []


async def test_a_cheaper_hour_does_not_raise_the_limit_of_a_body_that_was_sent(
    fake_deepseek: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter([2, *[12] * 20])  # peak, then off-peak, on a Tuesday

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 11, 24, next(hours), tzinfo=tz or UTC)

    monkeypatch.setattr("agentkit.request.datetime", Clock)
    server = fake_deepseek([Reply("Yes.")], faults={1: "503*3"})
    asked = await resent(server, 0.045, spent=0.0)
    assert 30_000 < asked[0].max_tokens < 40_000, "what the peak price leaves"
    assert len({request.raw for request in server.requests}) == 1


async def test_a_question_aside_is_sent_again_as_it_was(fake_deepseek: Start) -> None:
    server = fake_deepseek([Reply("Yes."), Reply("Aside.")], faults={2: "500*2"})
    store = MemoryStore()
    async with make(server, store, Meanwhile(), None).session("s") as session:
        await session.run("Say yes.")
        run: Any = session._run  # pyright: ignore[reportPrivateUsage]
        assert (await ask_aside(run, "And?", 500)).content == "Aside."
    assert len({request.raw for request in server.requests[1:]}) == 1
    assert len(server.requests) == 4
