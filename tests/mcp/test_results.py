"""What servers answer, as text; and what calls carry."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agentkit import ToolContext, UsageError
from agentkit.mcp import MCPServer
from tests.mcp.conftest import Bench, hostile

pytestmark = pytest.mark.anyio
FREE = {"type": "object", "additionalProperties": True}
PICTURE = base64.b64encode(b"\x89PNG and so on").decode()


@pytest.fixture
def pieces(tmp_path: Path) -> MCPServer:
    """A server whose tool ``pieces`` answers with the content that it is given."""
    listing = tmp_path / "tools.json"
    names = ("pieces", "meta")
    listing.write_text(json.dumps([{"name": name, "inputSchema": FREE} for name in names]))
    return hostile(f"tools={listing}")


@pytest.mark.parametrize(
    ("content", "more", "text"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], {}, "a\n\nb"),
        ([], {}, "(no output)"),
        ([], {"structuredContent": {"rows": [1, 2]}}, '{"rows": [1, 2]}'),
        ([{"type": "text", "text": "2 rows"}], {"structuredContent": {"rows": 2}}, "2 rows"),
        (
            [{"type": "image", "data": PICTURE, "mimeType": "image/png"}],
            {},
            "[image, image/png, 14 bytes: kept for the user, not shown]",
        ),
        (
            [{"type": "audio", "data": "no base64!", "mimeType": "audio/wav"}],
            {},
            "[audio, audio/wav: its data is damaged]",
        ),
        (
            [{"type": "resource", "resource": {"uri": "file:///a.txt", "text": "inside"}}],
            {},
            "[resource file:///a.txt]\ninside",
        ),
        (
            [{"type": "resource", "resource": {"uri": "file:///a.bin", "blob": PICTURE}}],
            {},
            "[resource file:///a.bin, type unknown, 14 bytes: kept for the user, not shown]",
        ),
        (
            [{"type": "resource_link", "uri": "db://x", "name": "x", "description": "The x."}],
            {},
            "[resource x at db://x: The x.]",
        ),
    ],
)
async def test_each_kind_of_content(
    bench: Bench, pieces: MCPServer, content: Any, more: Any, text: str
) -> None:
    async with bench.agent(pieces).session() as session:
        done = await bench.call(session, "bad__pieces", content=content, more=more)
    assert (done.status, done.content) == ("done", text)


async def test_bytes_are_kept_for_people(bench: Bench, pieces: MCPServer) -> None:
    picture = [{"type": "image", "data": PICTURE, "mimeType": "image/png"}]
    async with bench.agent(pieces).session("one") as session:
        done = await bench.call(session, "bad__pieces", content=picture)
        (kept,) = done.data["contents"]
        assert (kept["mime"], kept["bytes"]) == ("image/png", 14)
        assert bench.store.get_content(kept["name"]) == b"\x89PNG and so on"


async def test_an_error_is_a_failed_call(bench: Bench, pieces: MCPServer) -> None:
    async with bench.agent(pieces).session() as session:
        content = [{"type": "text", "text": "no such row"}]
        done = await bench.call(session, "bad__pieces", content=content, more={"isError": True})
    assert (done.status, done.content) == ("failed", "ERROR: no such row")


async def test_calls_carry_what_meta_gives(bench: Bench, pieces: MCPServer) -> None:
    def meta(context: ToolContext) -> Mapping[str, Any]:
        return {"example.org/session": context.session_id}

    server = MCPServer("bad", command=pieces.command, args=pieces.args, meta=meta)
    async with bench.agent(server).session("one") as session:
        done = await bench.call(session, "bad__meta")
    assert json.loads(done.content)["example.org/session"] == "one"


async def test_a_thousand_tools_of_more_are_taken(bench: Bench, tmp_path: Path) -> None:
    listing = tmp_path / "tools.json"
    tools = [
        {"name": f"tool{i:04}", "description": "x" * 900, "inputSchema": FREE} for i in range(1_100)
    ]
    listing.write_text(json.dumps(tools))
    async with bench.agent(hostile(f"tools={listing}")).session() as session:
        found = await bench.call(session, "mcp_tools", search="tool0999")
        assert found.content.startswith("bad__tool0999: ")
        kept = bench.kept(session.id)
    assert len(kept["tools"]) == 1_000
    assert any("100 more tools" in note for note in kept["notes"])


async def test_an_undo_and_a_fork_keep_the_tools(bench: Bench) -> None:
    agent = bench.agent(hostile())
    async with agent.session() as session:
        await bench.call(session, "bad__echo", text="one")
        made = await session.fork()
        await bench.call(session, "bad__echo", text="two")
        await session.undo(files=False)
        assert session.kept_head == []
        assert (await bench.call(session, "bad__echo", text="three")).content == "three"
    async with agent.session(made.session_id, resume=True) as fork:
        assert fork.kept_head == []
        assert (await bench.call(fork, "bad__echo", text="four")).content == "four"
    heads = {json.dumps(json.loads(each.raw)["tools"]) for each in bench.server.requests}
    assert len(heads) == 1


def test_a_subagent_with_servers_is_refused(bench: Bench) -> None:
    with pytest.raises(UsageError, match="has MCP servers, which subagents cannot have"):
        bench.agent(hostile()).as_tool()
