"""No request breaks its prefix unnoticed, and each miss is put down to whoever made it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agentkit import Agent, UsageError, tool
from agentkit.cli import cache
from agentkit.errors import PrefixChanged
from agentkit.events import ModelResponded, PrefixBroken
from agentkit.hits import account
from agentkit.hooks import Hooks
from agentkit.log import read
from agentkit.models.catalogue import Catalogue
from agentkit.models.types import Usage
from agentkit.stores import Row
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable
from agentkit.testing.cache import Cache
from agentkit.units import Units, plausible

pytestmark = pytest.mark.anyio
CATALOGUE = Catalogue.load()


@tool(read_only=True)
def page(number: int) -> str:
    """Read a page."""
    return f"page {number}: " + f"token{number} and more words of it, " * 60


def model(pages: int) -> Any:
    def answer(request: dict[str, Any]) -> Reply:
        last = request["messages"][-1]
        done = sum(each["role"] == "tool" for each in request["messages"])
        if last["role"] == "user" or done % pages:
            return Reply(reasoning="next", calls=[Call("page", {"number": done})])
        return Reply(content="All read.", reasoning="well")

    return answer


def make(server: FakeDeepSeek, store: MemoryStore, **settings: Any) -> Agent:
    settings.setdefault("tools", [page])
    return Agent("reader", base_url=server.base_url, api_key="k", store=store, **settings)


async def test_an_undisturbed_session_hits_what_was_expected() -> None:
    store = MemoryStore()
    with FakeDeepSeek(model(6)) as server:
        async with make(server, store).session("s") as session:
            await session.run("Read.")
            await session.run("Again.")
    events = read(store, "s")
    found = account(events, CATALOGUE)
    assert (found.total.breaks, found.total.missed, found.total.uncounted) == (0, 0, 0)
    assert found.total.requests == 14
    assert found.total.expected_ratio == pytest.approx(found.total.ratio, abs=0.02)
    first, *others = [each for each in events if isinstance(each, ModelResponded)]
    assert first.expected_hits == 0
    assert all(each.expected_hits for each in others)
    error = found.estimate_error
    assert error is not None
    assert error[1] < 0.5
    assert "no prefix was broken; the provider missed nothing" in "".join(
        line.text for line in cache.told(found)
    )


async def test_what_the_provider_forgot_is_the_providers_miss() -> None:
    store = MemoryStore()
    with FakeDeepSeek(model(4)) as server:
        async with make(server, store).session("s") as session:
            await session.run("Read.")
            server._provider._cache = Cache()  # pyright: ignore[reportPrivateUsage] - it forgets
            await session.run("Again.")
    found = account(read(store, "s"), CATALOGUE).total
    assert found.missed > 1_000
    assert 0 < found.missed_usd == pytest.approx(found.missed * 0.147e-6, rel=1.1)
    assert (found.breaks, found.broken_usd) == (0, 0.0)
    assert "the provider missed" in "".join(
        line.text for line in cache.told(account(read(store, "s"), CATALOGUE))
    )


def edit(store: MemoryStore, kind: str, **changes: Any) -> None:
    """Change a stored event behind our back."""
    log: list[Row] = store.read("s")
    index = next(at for at, row in enumerate(log) if row.type == kind)
    data = json.loads(log[index].data) | changes
    store.delete("s")
    log[index] = replace(log[index], data=json.dumps(data))
    store.append("s", [Row(r.seq, r.time, r.type, r.lane, r.data) for r in log])


async def test_a_history_that_is_not_what_was_sent_is_refused_or_priced() -> None:
    store = MemoryStore()
    with FakeDeepSeek(model(3)) as server:
        async with make(server, store).session("s") as session:
            await session.run("Read.")
        edit(store, "tool.finished", content="something else")
        sent = len(server.requests)
        async with make(server, store).session("s", resume=True) as session:
            with pytest.raises(PrefixChanged, match=r"messages 2 to 3: .*\$0\.000") as refused:
                await session.run("Go on.")
        assert refused.value.exit_code == 2
        assert len(server.requests) == sent, "nothing was sent"
        async with make(server, store).session("s", resume=True, cold=True) as session:
            assert (await session.run("Go on.")).ok
        async with make(server, store).session("s", resume=True) as session:
            assert (await session.run("And on.")).ok, "the break was accepted once"
    broken = [each for each in read(store, "s") if isinstance(each, PrefixBroken)]
    assert [each.region for each in broken] == ["messages 2 to 3"]
    assert broken[0].price_usd > 0
    found = account(read(store, "s"), CATALOGUE).total
    assert (found.breaks, found.missed) == (1, 0), "our miss, not the provider's"
    assert found.broken_usd == broken[0].price_usd


async def test_another_head_in_the_log_is_a_break_of_the_head() -> None:
    store = MemoryStore()
    with FakeDeepSeek(model(3)) as server:
        async with make(server, store).session("s") as session:
            await session.run("Read.")
        edit(store, "lane.opened", system="You are another.")
        async with make(server, store).session("s", resume=True) as session:
            with pytest.raises(PrefixChanged, match="head: it is encoded"):
                await session.run("Go on.")


@tool(read_only=True)
def extra() -> str:
    """Another tool."""
    return "more"


async def test_a_session_keeps_its_head_until_the_caller_wants_another() -> None:
    store = MemoryStore()
    with FakeDeepSeek(model(3)) as server:
        async with make(server, store).session("s") as session:
            await session.run("Read.")
            assert session.kept_head == []
        changed = make(server, store, tools=[page, extra], instructions="You read well.")
        async with changed.session("s", resume=True) as session:
            assert session.kept_head == ["system", "tools"]
            assert (await session.run("Go on.")).ok
        assert_prefix_stable(server)
        sent = len(server.requests)
        async with changed.session("s", resume=True, cold=True) as session:
            assert session.kept_head == []
            assert (await session.run("And on.")).ok
    first, *others = server.requests[sent:]
    assert first.usage.hit_ratio < 0.2
    assert others[-1].usage.hit_ratio > 0.8
    assert [each["function"]["name"] for each in first.body["tools"]] == ["extra", "page"]
    assert first.body["messages"][1:4] == server.requests[sent - 1].body["messages"][1:4]
    (broken,) = [each for each in read(store, "s") if isinstance(each, PrefixBroken)]
    assert broken.region == "system, tools"
    found = account(read(store, "s"), CATALOGUE).total
    assert (found.missed, found.breaks) == (0, 1)


@pytest.mark.parametrize("fault", ["no-usage", "bad-usage"])
async def test_a_provider_that_counts_nothing_is_not_believed_to_have_counted(fault: str) -> None:
    store = MemoryStore()
    faults = dict.fromkeys(range(1, 99), fault)
    with FakeDeepSeek(model(4), faults=faults) as server:
        async with make(server, store).session("s") as session:
            assert (await session.run("Read.")).ok
            state = session.state
            assert state.prompt_tokens("main") > 1_500, "estimated, as nothing was counted"
    found = account(read(store, "s"), CATALOGUE)
    assert (found.total.requests, found.total.uncounted) == (5, 5)
    assert "nothing is known" in "".join(line.text for line in cache.told(found))


def test_a_count_far_from_our_own_is_nonsense() -> None:
    def counted(tokens: int) -> Usage:
        return Usage(prompt_tokens=tokens)

    assert plausible(counted(100_000), 90_000)
    assert plausible(counted(40), 1_100), "short prompts may be anything"
    assert not plausible(counted(7), 90_000)
    assert not plausible(counted(9_000_000), 90_000)
    assert not plausible(Usage(reported=False), 10)


def test_units_know_what_must_hit_and_what_should() -> None:
    units = Units()
    assert units.expected(10**9) == (0, 0)
    units.store(1_000, 300, sure=True)
    units.store(1_500, 400, sure=False)
    units.store(9_000, 2_000, sure=True)
    assert units.expected(999) == (0, 0)
    assert units.expected(1_200) == (256, 256)
    assert units.expected(2_000) == (256, 384)
    assert units.expected(10_000) == (1_920, 1_920)
    other = Units()
    other.inherit(units, 1_500)
    assert other.expected(10_000) == (256, 384)
    units.forget()
    assert units.expected(10_000) == (0, 0)


async def rewrites(_turn: int) -> Any:
    return [{"role": "user", "content": "forget all that"}]


async def replaces(_call: Any, finished: Any) -> Any:
    return finished


@pytest.mark.parametrize(
    "hooks", [Hooks(before_model=rewrites), Hooks(after_tool=replaces)], ids=["model", "tool"]
)
async def test_a_hook_that_would_rewrite_history_is_refused_with_the_reason(hooks: Hooks) -> None:
    store = MemoryStore()
    with FakeDeepSeek(model(2)) as server:
        with pytest.raises(UsageError, match="what was sent to the model is never edited"):
            await make(server, store, hooks=hooks).run("Read.")
        (info,) = store.sessions()
        async with make(server, store).session(info.id, resume=True) as session:
            assert (await session.run()).ok, "the history is as it was"


async def test_a_hook_cannot_change_a_call() -> None:
    async def tampers(call: Any) -> None:
        call.arguments["number"] = 99

    with FakeDeepSeek(model(2)) as server:
        agent = make(server, MemoryStore(), hooks=Hooks(before_tool=tampers))
        with pytest.raises(TypeError, match="does not support item assignment"):
            await agent.run("Read.")
