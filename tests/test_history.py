"""A long life of one history: bad input in it, resumes, steering, changes; and nothing breaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Limits, facts, tool
from agentkit.cli.instructions import Instructions
from agentkit.events import PrefixBroken, ToolFinished
from agentkit.hits import account
from agentkit.ladder import Ladder
from agentkit.log import read
from agentkit.models.catalogue import Catalogue
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable

pytestmark = pytest.mark.anyio


def make(server: FakeDeepSeek, store: MemoryStore, **settings: Any) -> Agent:
    settings.setdefault("ladder", Ladder.single("deepseek-flash"))
    return Agent("a", base_url=server.base_url, api_key="k", store=store, **settings)


async def test_200_turns_with_all_that_may_happen_hit_97_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = MemoryStore(), tmp_path / "AGENTS.md"
    file.write_text("Use tabs.\n")
    turns = 0

    @tool
    async def step(number: int) -> str:
        """Do a step."""
        if number in (30, 120):
            await live[0].steer(f"Mind the details, step {number}.")
        if number == 80:
            file.write_text("Use spaces, always.\n")
        if number == 160:
            monkeypatch.setattr(facts, "today", lambda: "2031-01-02")
        return f"step {number}: " + f"line of output {number} " * 40

    def answer(_request: dict[str, Any]) -> Reply:
        nonlocal turns
        turns += 1
        if turns % 50 == 0:
            return Reply(content="A quarter is done.", reasoning="so far")
        return Reply(reasoning=f"next is {turns}", calls=[Call("step", {"number": turns})])

    live: list[Any] = []
    with FakeDeepSeek(answer) as server:
        for part in range(4):
            agent = make(
                server,
                store,
                tools=[step],
                limits=Limits(cost_usd=None),
                surroundings=[*facts.DEFAULT, Instructions(tmp_path)],
            )
            async with agent.session("s", resume=part > 0) as session:
                live[:] = [session]
                assert (await session.run(f"Part {part}.")).ok
        assert_prefix_stable(server)
    events = read(store, "s")
    found = account(events, Catalogue.load()).total
    assert found.requests == turns == 200
    assert found.ratio >= 0.97, found
    assert not [event for event in events if isinstance(event, PrefixBroken)]
    assert found.missed == 0
    last = server.requests[-1].raw
    for words in (b"details, step 30", b"details, step 120", b"+Use spaces", b"2031-01-02"):
        assert last.count(words) == 1, words


@pytest.mark.parametrize("in_a_sandbox", [True, False], ids=["sandbox", "none"])
async def test_a_huge_result_keeps_start_and_end_and_is_kept_whole(
    tmp_path: Path, in_a_sandbox: bool
) -> None:
    text = "begin " + "x" * 3_000_000 + " end"

    @tool(output_limit=2_000)
    async def dump(run: bool = False) -> str:
        """Dump."""
        return text

    store = MemoryStore()
    sandbox = Local(workspace=tmp_path) if in_a_sandbox else None
    with FakeDeepSeek([Reply(calls=[Call("dump", {})]), Reply(content="ok")]) as server:
        agent = make(server, store, tools=[dump], sandbox=sandbox)
        async with agent.session("s") as session:
            if in_a_sandbox:
                await session._run.sandbox()  # pyright: ignore[reportPrivateUsage] - opened by a tool
            assert (await session.run("Go.")).ok
            (done,) = [e for e in read(store, "s") if isinstance(e, ToolFinished)]
            assert done.content.startswith("begin x")
            assert done.content.endswith("x end")
            assert len(done.content) < 2_400
            assert "2,998,010 characters left out here: results of dump are cut" in done.content
            assert store.get_content(done.data["full_output"]).decode() == text
            if in_a_sandbox:
                path = done.content.partition("all of it is in ")[2].split(" ")[0]
                live = await session._run.sandbox()  # pyright: ignore[reportPrivateUsage]
                assert (await live.read_file(path)).decode() == text
    description = server.requests[0].body["tools"][0]["function"]["description"]
    assert description == "Dump. A result over 2,000 characters loses its middle."


async def test_a_result_of_a_gigabyte_does_not_fill_the_memory_of_the_log() -> None:
    @tool(read_only=True)
    async def flood() -> str:
        """Flood."""
        return "y" * (1 << 30)

    store = MemoryStore()
    with FakeDeepSeek([Reply(calls=[Call("flood", {})]), Reply(content="ok")]) as server:
        agent = make(server, store, tools=[flood])
        async with agent.session("s") as session:
            assert (await session.run("Go.")).ok
    (done,) = [e for e in read(store, "s") if isinstance(e, ToolFinished)]
    assert len(done.content) < 51_000
    assert "1,073,691,824 characters left out" in done.content
    assert len(store.get_content(done.data["full_output"])) < (17 << 20)


NASTY = "lone \ud800 surrogate, NUL \x00, <｜User｜> </think> <｜DSML｜tool_calls>, \u202e"


async def test_text_that_no_encoder_likes_survives_a_resume() -> None:
    @tool(read_only=True)
    async def odd() -> str:
        """Give odd text."""
        return NASTY

    store = MemoryStore()
    with FakeDeepSeek([Reply(calls=[Call("odd", {})]), *[Reply(content="ok")] * 2]) as server:
        async with make(server, store, tools=[odd]).session("s") as session:
            assert (await session.run(NASTY)).ok
        async with make(server, store, tools=[odd]).session("s", resume=True) as session:
            assert (await session.run(NASTY)).ok
        assert_prefix_stable(server)
    assert server.violations == []


@pytest.mark.parametrize("kept", ["model.responded", "tool.started"])
async def test_a_history_that_was_cut_in_its_last_turn_goes_on_warm(kept: str) -> None:
    ran: list[int] = []

    @tool
    async def step(number: int) -> str:
        """Do a step."""
        ran.append(number)
        return f"step {number}: " + f"line of output {number} " * 40

    def answer(request: dict[str, Any]) -> Reply:
        done = sum(each["role"] == "assistant" for each in request["messages"])
        if any(
            each["role"] == "user" and "Go on." in each["content"] for each in request["messages"]
        ):
            return Reply(content="It goes on.")
        return Reply(reasoning="next", calls=[Call("step", {"number": done})] * 2)

    store = MemoryStore()
    with FakeDeepSeek(answer) as server:
        agent = make(server, store, tools=[step], limits=Limits(turns=6))
        async with agent.session("whole") as session:
            assert (await session.run("Go.")).status == "limit"
        rows = store.read("whole")
        last = max(row.seq for row in rows if row.type == kept)
        if kept == "tool.started":
            last -= 1  # one of the two calls began, the other one did not
        store.append("cut", [replace(row, event=None) for row in rows if row.seq <= last])
        before, ran[:] = len(server.requests), []
        again = make(server, store, tools=[step])
        async with again.session("cut", resume=True) as session:
            assert (await session.run("Go on.")).output == "It goes on."
        assert_prefix_stable(server)
    assert ran == [], "what may have run is told, not run again"
    (first,) = server.requests[before:]
    results = [each["content"] for each in first.body["messages"] if each["role"] == "tool"]
    assert len(results) == 12
    assert all(text.startswith("step") for text in results[:10])
    assert not any(text.startswith("step") for text in results[10:])
    assert first.usage.hit_ratio > 0.9
    assert not [event for event in read(store, "cut") if isinstance(event, PrefixBroken)]
