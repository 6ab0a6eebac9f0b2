"""A real llama.cpp server with a real small model and DeepSeek V4's chat template.

``make local-llm`` installs and runs this. The model knows next to nothing, so no test looks at
its words: what is looked at are protocol, usage, errors, rendering and the prefix cache.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit import Agent, tool
from agentkit.errors import ContextOverflow, ModelError, Overloaded, ServerFault, Unreachable
from agentkit.events import ModelResponded, ToolFinished
from agentkit.ladder import Dialect, Ladder
from agentkit.log import read
from agentkit.models import wire
from agentkit.models.endpoint import Endpoint, connect
from agentkit.models.types import Answer, Delta, ToolCall
from agentkit.stores.memory import MemoryStore

from .engine import RUNG, Engine, Relay

pytestmark = pytest.mark.local_llm


@asynccontextmanager
async def at(engine: Engine) -> AsyncGenerator[Endpoint, None]:
    endpoint = connect(engine.base_url, "none")
    try:
        yield endpoint
    finally:
        await endpoint.aclose()


def body(*fragments: bytes, stream: bool = False, max_tokens: int = 8) -> bytes:
    head = wire.head(RUNG, system="You are helpful.", tools=[])
    tail = wire.tail(max_tokens=max_tokens, stream=stream, dialect=RUNG.speaks)
    return wire.body(head, fragments, tail)


async def test_while_it_loads_it_is_overloaded_and_then_it_answers() -> None:
    engine = Engine.start()
    seen: list[type[ModelError]] = []
    answer: Answer | None = None
    try:
        async with at(engine) as endpoint:
            with anyio.fail_after(60):
                while answer is None:
                    try:
                        answer = await endpoint.ask(body(wire.user("Hi.")), stream=False)
                    except (Unreachable, Overloaded) as error:
                        seen.append(type(error))
                        await anyio.sleep(0.002)
    finally:
        engine.close()
    assert seen[-1] is Overloaded  # 503 "Loading model"
    assert answer.usage.reported


async def test_a_streamed_answer_is_the_same_answer_with_the_same_usage(engine: Engine) -> None:
    shown: list[Delta] = []
    async with at(engine) as endpoint:
        asked = wire.user("Count to ten.")
        whole = await endpoint.ask(body(asked), stream=False)
        streamed = await endpoint.ask(body(asked, stream=True), stream=True, on_delta=shown.append)
    assert whole.usage.prompt_tokens == streamed.usage.prompt_tokens > 0
    assert whole.usage.completion_tokens == streamed.usage.completion_tokens == 8
    assert streamed.finish_reason == "length"
    assert streamed.usage.hit_tokens >= streamed.usage.prompt_tokens - 2  # asked just before
    for kind, text in (("reasoning", streamed.reasoning), ("content", streamed.content)):
        assert "".join(delta.text for delta in shown if delta.kind == kind) == text
    assert streamed.reasoning + streamed.content
    assert streamed.served_model == "local"
    assert streamed.fingerprint


async def test_it_says_what_it_serves(engine: Engine) -> None:
    async with at(engine) as endpoint:
        assert await endpoint.models() == ["local"]


async def test_a_history_that_is_too_long_is_an_overflow(engine: Engine) -> None:
    async with at(engine) as endpoint:
        with pytest.raises(ContextOverflow) as caught:
            await endpoint.ask(body(wire.user("word " * 9000)), stream=False)
    assert caught.value.status == 400


@pytest.mark.parametrize(("dialect", "fails"), [("deepseek", True), ("llama.cpp", False)])
async def test_a_broken_call_in_the_history(engine: Engine, dialect: Dialect, fails: bool) -> None:
    """The engine fails on it (status 500); our dialect for it does not send one."""
    call = ToolCall("c1", "bash", '{"command": "ls')
    said = wire.assistant("", "Hm.", [call], dialect=dialect)
    request = body(wire.user("Look."), said, wire.tool_result("c1", "ERROR: not JSON"))
    async with at(engine) as endpoint:
        if fails:
            with pytest.raises(ServerFault):
                await endpoint.ask(request, stream=False)
        else:
            assert (await endpoint.ask(request, stream=False)).usage.prompt_tokens


async def test_a_cancelled_request_stops_the_engine(engine: Engine) -> None:
    long = body(wire.user("Tell a story without an end."), stream=True, max_tokens=4000)
    async with at(engine) as endpoint:
        with anyio.CancelScope() as scope:
            await endpoint.ask(long, stream=True, on_delta=lambda _: scope.cancel())
        assert scope.cancelled_caught
        with anyio.fail_after(30):
            while await anyio.to_thread.run_sync(engine.busy):  # noqa: ASYNC110 - another process
                await anyio.sleep(0.01)
        again = await endpoint.ask(body(wire.user("Hi.")), stream=False)
    assert again.usage.reported


@tool(read_only=True)
def look(path: str) -> str:
    """Show a file."""
    return f"{path}: " + "a line of the file\n" * 3


@tool
def edit(path: str, text: str) -> str:
    """Write a file."""
    if "/" in path:
        raise ValueError("only names here")
    return f"wrote {len(text)} characters"


def call(number: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


# No turn without reasoning: this model's vocabulary has no token for <think>, so in an empty
# <think></think> the last character of the prompt before becomes part of a longer token.
MESSAGES: list[dict[str, Any]] = [
    {
        "content": "Two files first.",
        "reasoning_content": "I should see both.",
        "tool_calls": [call(0, "look", '{"path": "a.py"}'), call(1, "look", '{"path": "b.py"}')],
    },
    {
        "content": "",
        "reasoning_content": "Now the change.",
        "tool_calls": [call(2, "edit", '{"path": "x/a.py", "text": "1"}')],
    },
    {
        "content": "",
        "reasoning_content": "Without the folder.",
        "tool_calls": [call(3, "edit", '{"path": "a.py", "text": "cut')],
    },
    {
        "content": "",
        "reasoning_content": "Once more.",
        "tool_calls": [call(4, "edit", '{"path": "a.py", "text": "x = 1\\n",}')],
    },
    {"content": "It is done.", "reasoning_content": "All is written."},
    {"content": "You are welcome.", "reasoning_content": "Thanks."},
]


async def test_each_turn_of_a_session_is_served_from_the_cache_up_to_the_turn_before(
    engine: Engine,
) -> None:
    """Tools, parallel calls, a failing one, a truncated one, a repaired one, a second message."""
    store = MemoryStore()
    relay = Relay(engine, MESSAGES)
    with relay as url:
        agent = Agent(
            "worker",
            instructions="You are a careful worker of the small engine.",
            tools=[look, edit],
            ladder=Ladder("local", (RUNG,)),
            base_url=url,
            api_key="none",
            store=store,
        )
        async with agent.session("s") as session:
            assert (await session.run("Mend a.py.")).output == "It is done."
        async with agent.session("s", resume=True) as session:
            assert (await session.run("Thank you.")).ok
    events = read(store, "s")
    usages = [event.usage for event in events if isinstance(event, ModelResponded)]
    statuses = [event.status for event in events if isinstance(event, ToolFinished)]
    assert statuses == ["done", "done", "failed", "invalid", "done"]
    assert len(usages) == len(relay.bodies) == len(MESSAGES)
    for before, after in pairwise(usages):
        print(f"prompt {before.prompt_tokens} -> {after.prompt_tokens}, cached {after.hit_tokens}")
        assert after.hit_tokens >= before.prompt_tokens
    prompts = [engine.rendered(each) for each in relay.bodies]
    for before, after in pairwise(prompts):
        assert after.startswith(before)


async def test_thinking_and_effort_reach_the_prompt_as_the_profile_says(engine: Engine) -> None:
    def prompt(**changes: Any) -> str:
        rung = replace(RUNG, **changes)
        head = wire.head(rung, system="s", tools=[])
        tail = wire.tail(max_tokens=8, stream=False, dialect=rung.speaks)
        return engine.rendered(wire.body(head, [wire.user("q")], tail))

    assert prompt().endswith("<think>")
    assert prompt(thinking=False).endswith("</think>")
    assert len(prompt(effort="max")) > len(prompt(effort="high"))


words = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["", " ", "</think>", "<｜User｜>", "<|im_end|>", "<｜DSML｜tool_calls>", "ERROR: no"]
)
argument_texts = st.one_of(
    st.dictionaries(st.sampled_from(["path", "text"]), words, max_size=2).map(json.dumps),
    st.sampled_from(['{"path": "cut', "[1]", "", "null", '{"path": "a",}']),
)


names = st.sampled_from(["look", "no"])


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """The bodies of a lane, one request after the other."""
    rung = replace(RUNG, effort=draw(st.sampled_from(["low", "high", "max"])))
    tools = [wire.tool_entry(each.name, each.description, each.parameters) for each in (edit, look)]
    head = wire.head(rung, system="s", tools=tools)
    tail = wire.tail(max_tokens=8, stream=False, dialect=rung.speaks)
    fragments = [wire.user(draw(words))]
    out: list[bytes] = []
    for turn in range(draw(st.integers(2, 4))):
        out.append(wire.body(head, fragments, tail))
        calls = [
            ToolCall(f"c{turn}_{number}", draw(names), draw(argument_texts))
            for number in range(draw(st.integers(0, 2)))
        ]
        fragments.append(wire.assistant(draw(words), draw(words), calls, dialect=rung.speaks))
        fragments += [wire.tool_result(each.id, draw(words)) for each in calls]
        if not calls or draw(st.booleans()):
            fragments.append(wire.user(draw(words)))
    return out


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_the_engines_own_rendering_of_each_request_extends_the_one_before(
    engine: Engine, sent: list[bytes]
) -> None:
    before = ""
    for each in sent:
        after = engine.rendered(each)
        assert after.startswith(before)
        before = after
