"""A bill reckoned from a session's log alone equals the provider's own, to the last digit."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agentkit import Agent, tool
from agentkit.events import Event, LaneOpened, ModelResponded, from_dict, to_dict
from agentkit.ladder import Ladder
from agentkit.log import read
from agentkit.models.billing import bill
from agentkit.models.catalogue import Catalogue
from agentkit.models.retry import RetryPolicy
from agentkit.models.types import Usage
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply

Start = Callable[..., FakeDeepSeek]


@tool(read_only=True)
def look(path: str) -> str:
    """Show a file."""
    return f"{path}\n" * 300


STEPS = [
    *[
        Reply(f"Step {n}.", f"Thought {n}. " * n, [Call("look", {"path": f"{n}"})])
        for n in range(9)
    ],
    "Done.",
    "Once more.",
]


@pytest.mark.parametrize("model", ["deepseek-flash", "deepseek-v4-pro", "deepseek-v4-flash"])
async def test_it_equals_the_fake_servers_own(fake_deepseek: Start, model: str) -> None:
    faults = {2: "503*2", 5: "length", 7: "429-bare", 9: "empty", 11: "reset", 12: "leak"}
    server = fake_deepseek(STEPS, faults=faults)
    store = MemoryStore()
    agent = Agent(
        "a",
        tools=[look],
        ladder=Ladder.single(model),
        base_url=server.base_url,
        api_key="k",
        store=store,
        retry=RetryPolicy(base=0.001),
    )
    async with agent.session("s") as session:
        first = await session.run("Look.")
    async with agent.session("s", resume=True) as session:
        result = await session.run("Again.")
    assert (first.output, result.output) == ("Done.", "Once more.")
    # as a stranger reads it: from the log's JSON
    events = [from_dict(to_dict(event)) for event in read(store, "s")]
    reckoned = bill(events)
    assert reckoned.usd == server.bill.usd > 0
    assert reckoned.usage == server.bill.usage
    assert [item.cost_usd for item in reckoned.items] == [row[3] for row in server.bill.entries]
    assert result.cost_usd == pytest.approx(reckoned.usd, rel=1e-14)
    assert reckoned.priced


def answered(at: str, usage: Usage) -> list[Event]:
    rung = {"model": "deepseek-flash"}
    return [
        LaneOpened(rung=rung, system="s", time=at, seq=1),
        ModelResponded(model="deepseek-flash", usage=usage, time=at, seq=2),
    ]


def test_an_old_session_is_billed_at_the_prices_of_its_hour() -> None:
    usage = Usage(1_000_000, 900_000, 100_000, 50_000)
    quiet = bill(answered("2026-11-23T12:00:00.000Z", usage)).usd
    assert quiet == pytest.approx(0.9 * 0.003 + 0.1 * 0.15 + 0.05 * 0.60)
    assert bill(answered("2026-11-23T07:00:00.000Z", usage)).usd == pytest.approx(2 * quiet)
    launch = bill(answered("2026-04-25T00:00:00.000Z", usage)).usd
    assert launch == pytest.approx(0.9 * 0.028 + 0.1 * 0.14 + 0.05 * 0.28)


def test_a_model_without_a_price_makes_the_bill_say_so() -> None:
    events: list[Any] = answered("2026-11-23T12:00:00.000Z", Usage(10, 0, 10, 10))
    unknown = bill(
        [events[0], ModelResponded(model="own", usage=Usage(1, 0, 1, 1), time="2026-11-23")]
    )
    assert (unknown.usd, unknown.priced) == (0.0, False)
    mine = Catalogue.load({"own": {"hit": 1, "miss": 1, "output": 1}})
    event = ModelResponded(model="own", usage=Usage(1, 0, 1, 1), time="2026-11-23T00:00:00Z")
    assert bill([event], mine).usd == pytest.approx(2e-6)
    assert math.isclose(
        bill([event], mine).items[0].time.timestamp(),
        datetime(2026, 11, 23, tzinfo=UTC).timestamp(),
    )
