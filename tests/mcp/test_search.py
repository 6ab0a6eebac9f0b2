"""Large sets of tools: one tool of a fixed shape, which searches and calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentkit.events import LaneOpened
from agentkit.mcp.listing import Offered
from agentkit.mcp.schemas import usable
from agentkit.mcp.search import crowded
from agentkit.models.tokens import estimate_tokens
from agentkit.testing import assert_prefix_stable
from tests.mcp.conftest import Bench, hostile

pytestmark = pytest.mark.anyio

VERBS = ("list", "get", "create", "close")
THINGS = (
    "issue",
    "branch",
    "release",
    "label",
    "milestone",
    "workflow",
    "secret",
    "runner",
    "gist",
)


@pytest.fixture
def many(tmp_path: Path) -> str:
    """The option that makes the server list 37 tools; ``echo`` is one of them."""
    tools: list[dict[str, Any]] = [
        {
            "name": f"{verb}_{thing}",
            "description": f"{verb.capitalize()} a {thing} of the repository.",
            "inputSchema": {
                "type": "object",
                "properties": {"number": {"type": "integer"}},
                "required": ["number"],
            },
        }
        for verb in VERBS
        for thing in THINGS
    ]
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    tools.append({"name": "echo", "description": "Repeat a text.", "inputSchema": text})
    path = tmp_path / "many.json"
    path.write_text(json.dumps(tools))
    return f"tools={path}"


def opened(bench: Bench, session_id: str) -> LaneOpened:
    return next(each for each in bench.events(session_id) if isinstance(each, LaneOpened))


async def test_many_tools_become_one(bench: Bench, many: str) -> None:
    agent = bench.agent(hostile(many))
    async with agent.session("one") as session:
        found = await bench.call(session, "mcp_tools", search="close issue")
        assert found.content.startswith("bad__close_issue: Close a issue of the repository.")
        assert '"number": {"type": "integer"}' in found.content
        assert len(found.content) < 5_000
        done = await bench.call(
            session, "mcp_tools", call="bad__echo", arguments={"text": "through"}
        )
        assert (done.status, done.content) == ("done", "through")
        as_text = '{"text": "as a text"}'
        done = await bench.call(session, "mcp_tools", call="bad__echo", arguments=as_text)
        assert done.content == "as a text"
    async with agent.session("one", resume=True) as session:
        done = await bench.call(session, "mcp_tools", call="bad__echo", arguments={"text": "on"})
        assert done.content == "on"
    head = opened(bench, "one").tools
    assert [each["function"]["name"] for each in head] == ["mcp_tools"]
    assert estimate_tokens(json.dumps(head)) < 250
    assert len(bench.kept("one")["tools"]) == 37
    assert_prefix_stable(bench.server)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "give `search`, or `call`"),
        ({"search": "  "}, "give `search`, or `call`"),
        ({"call": "bad__eco"}, "Did you mean 'bad__echo'?"),
        ({"call": "bad__echo", "arguments": {"txt": 1}}, '"required": ["text"]'),
        ({"call": "bad__echo", "arguments": "{"}, "is not of type 'object'"),
        ({"find": "echo"}, "do not fit"),
    ],
)
async def test_what_cannot_be_done_is_explained(
    bench: Bench, many: str, arguments: dict[str, Any], words: str
) -> None:
    async with bench.agent(hostile(many)).session() as session:
        done = await bench.call(session, "mcp_tools", **arguments)
    assert done.status == "invalid"
    assert words in done.content


async def test_nothing_found_names_what_there_is(bench: Bench, many: str) -> None:
    async with bench.agent(hostile(many)).session() as session:
        done = await bench.call(session, "mcp_tools", search="xylophone")
    assert "Nothing fits 'xylophone'. There are: bad__close_branch" in done.content


async def test_a_hidden_call_needs_the_same_yes(bench: Bench, many: str) -> None:
    server = hostile(many, read_only=["get_issue"])
    async with bench.agent(server, approval="read-only").session() as session:
        found = await bench.call(session, "mcp_tools", search="issue")
        assert found.status == "done"
        arguments = {"number": 1}
        fine = await bench.call(session, "mcp_tools", call="bad__get_issue", arguments=arguments)
        assert "Unknown tool" in fine.content  # it reached the server
        no = await bench.call(session, "mcp_tools", call="bad__close_issue", arguments=arguments)
        assert no.status == "refused"


async def test_the_user_decides_for_a_server(bench: Bench, many: str) -> None:
    servers = (hostile(many, search=False), hostile(name="small", search=True))
    async with bench.agent(*servers).session("one") as session:
        done = await bench.call(session, "mcp_tools", search="pid")
        assert "small__pid" in done.content
    names = [each["function"]["name"] for each in opened(bench, "one").tools]
    assert len(names) == 38
    assert "mcp_tools" in names


def test_few_long_tools_are_crowded_too() -> None:
    parameters, _ = usable({"type": "object", "properties": {"a": {"type": "string"}}})
    tools = [Offered(f"s__{i}", "s", str(i), "word " * 400, parameters) for i in range(20)]
    assert crowded(tools[:2], {"s": None}) == set()
    assert crowded(tools, {"s": None}) == {each.name for each in tools}
