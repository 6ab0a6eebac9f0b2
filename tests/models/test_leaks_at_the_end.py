"""A call written as text never ends a run, whether the agent has tools or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentkit import Agent, Result, tool
from agentkit.stores.memory import MemoryStore
from agentkit.testing import FakeDeepSeek, Reply

pytestmark = pytest.mark.anyio
Start = Callable[..., FakeDeepSeek]

BROKEN = '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="look">\n<｜DSML｜parameter name="path"'
READABLE = (
    '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="look">\n'
    '<｜DSML｜parameter name="path" string="true">a</｜DSML｜parameter>\n'
    "</｜DSML｜invoke>\n</｜DSML｜tool_calls>"
)
TAGGED = '<tool_call>\n{"name": "look", "arguments": {"path": "a"}}\n'
LEAKS = {"broken": BROKEN, "readable": READABLE, "tagged": TAGGED, "behind words": "Hm.\n" + BROKEN}


@tool(read_only=True)
def look(path: str) -> str:
    """Show a file."""
    return f"all of {path}"


async def ask(server: FakeDeepSeek, tools: list[Any]) -> Result:
    agent = Agent("a", tools=tools, base_url=server.base_url, api_key="k", store=MemoryStore())
    return await agent.run("Tell me about it.")


@pytest.mark.parametrize("leak", LEAKS)
@pytest.mark.parametrize("tools", [[], [look]], ids=["without tools", "with tools"])
async def test_it_is_asked_again(fake_deepseek: Start, leak: str, tools: list[Any]) -> None:
    server = fake_deepseek([Reply(LEAKS[leak]), Reply("In words: all is well.")])
    result = await ask(server, tools)
    assert (result.status, result.output) == ("finished", "In words: all is well.")
    assert len(server.requests) == 2
    told = server.requests[1].body["messages"][-1]["content"]
    assert ("answer in words" in told) is (not tools)
    assert server.violations == []


FOR_EVER = [(leak, tools) for leak in LEAKS for tools in ([], [look])]
FOR_EVER.remove(("readable", [look]))  # these are calls, and are executed


@pytest.mark.parametrize(("leak", "tools"), FOR_EVER)
async def test_for_ever_it_is_no_success(fake_deepseek: Start, leak: str, tools: list[Any]) -> None:
    server = fake_deepseek([Reply(LEAKS[leak])] * 20)
    result = await ask(server, tools)
    assert result.status != "finished"
    assert not result.ok
    assert len(server.requests) < 20


@pytest.mark.parametrize("tools", [[], [look]], ids=["without tools", "with tools"])
@pytest.mark.parametrize(
    "text",
    [
        f"DeepSeek writes a call like this:\n```\n{READABLE}\n```\nand reads the result.",
        "The tag `<｜DSML｜tool_calls>` opens a block of calls.",
        "A <tool_call> tag opens a call in other models, and {} are its arguments.",
    ],
    ids=["fence", "inline", "words"],
)
async def test_who_writes_about_markup_and_quotes_it_is_done(
    fake_deepseek: Start, tools: list[Any], text: str
) -> None:
    server = fake_deepseek([Reply(text)])
    result = await ask(server, tools)
    assert (result.status, result.output) == ("finished", text)


async def test_who_forgot_to_quote_is_told_how(fake_deepseek: Start) -> None:
    unquoted = "A block of calls begins with <｜DSML｜tool_calls> and ends likewise."
    quoted = unquoted.replace("<｜DSML｜tool_calls>", "`<｜DSML｜tool_calls>`")

    def answer(request: dict[str, Any]) -> Reply:
        told = "code fence" in request["messages"][-1]["content"]
        return Reply(quoted if told else unquoted)

    result = await ask(fake_deepseek(answer), [])
    assert (result.status, result.output) == ("finished", quoted)
