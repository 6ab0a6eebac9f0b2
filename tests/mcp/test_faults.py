"""Servers that die, hang, flood and lie: each is bounded, and the model is told."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp_types import TextContent

from agentkit.events import ToolOutput
from agentkit.mcp import MCPServer
from agentkit.mcp.connection import Connection
from agentkit.testing import Call, Reply
from tests.mcp.conftest import Bench, hostile

pytestmark = pytest.mark.anyio


async def test_a_server_that_dies_is_a_tool_error_and_starts_again(bench: Bench) -> None:
    async with bench.agent(hostile()).session() as session:
        first = await bench.call(session, "bad__pid")
        died = await bench.call(session, "bad__die")
        assert died.status == "failed"
        assert "broke during the call" in died.content
        assert "may have had effects" in died.content
        assert "Segmentation fault, sort of" in died.content
        second = await bench.call(session, "bad__pid")
    assert first.content != second.content
    for each in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(int(each.content), 0)


async def test_one_that_died_between_calls_is_started_again_for_the_next() -> None:
    async with anyio.create_task_group() as tasks:
        connection = Connection(hostile(), tasks)
        first = await pid(connection)
        os.kill(first, 9)
        with anyio.fail_after(60):
            while connection.is_alive:  # noqa: ASYNC110 - the system tells of it in its time
                await anyio.sleep(0.01)
        assert await pid(connection) != first
        await connection.aclose()


async def pid(connection: Connection) -> int:
    def quiet(_: str) -> None: ...

    answer = await connection.call("pid", {}, progress=quiet)
    assert isinstance(answer.content[0], TextContent)
    return int(answer.content[0].text)


async def test_a_silent_call_is_given_up_and_cancelled_there(bench: Bench, tmp_path: Path) -> None:
    seen = tmp_path / "cancelled"
    server = hostile(f"cancel={seen}", timeout=2)
    async with bench.agent(server).session() as session:
        before = (await bench.call(session, "bad__pid")).content
        hung = await bench.call(session, "bad__hang")
        assert hung.status == "failed"
        assert "did not answer within 2 s; the call was cancelled there" in hung.content
        assert (await bench.call(session, "bad__pid")).content == before  # it only was slow
        assert "notifications/cancelled" in seen.read_text()
        for _ in range(2):
            hung = await bench.call(session, "bad__hang")
        assert "started anew" in hung.content
        assert (await bench.call(session, "bad__pid")).content != before


async def test_cancelling_the_run_reaches_the_server(bench: Bench, tmp_path: Path) -> None:
    seen = tmp_path / "cancelled"
    async with bench.agent(hostile(f"cancel={seen}")).session() as session:
        bench.replies.append(Reply(reasoning="hm", calls=[Call("bad__hang", {})]))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.run, "Hang.")
            with anyio.fail_after(60):
                while not seen.exists():  # noqa: ASYNC110 - the server writes it
                    await anyio.sleep(0.01)
            session.cancel()
        assert bench.results(session.id)[-1].status == "cancelled"
        done = await bench.call(session, "bad__echo", text="still there")
        assert done.content == "still there"
        assert "notifications/cancelled" in seen.read_text()


async def test_progress_is_shown_and_is_no_silence(bench: Bench) -> None:
    async with bench.agent(hostile(timeout=2)).session() as session:
        bench.replies += [
            Reply(reasoning="hm", calls=[Call("bad__progress", {})]),
            Reply(reasoning="hm", content="Done."),
        ]
        shown = [
            event.text async for event in session.stream("Go.") if isinstance(event, ToolOutput)
        ]
        assert bench.results(session.id)[-1].content == "done in steps"
    assert "[1 of 3] step 1\n" in shown


@pytest.mark.parametrize("tool", ["flood", "drip"])
async def test_a_flood_is_stopped(bench: Bench, tool: str) -> None:
    async with bench.agent(hostile()).session() as session:
        done = await bench.call(session, f"bad__{tool}")
        assert done.status == "failed"
        assert "it sent more than" in done.content
        assert len(done.content) < 5_000
        assert (await bench.call(session, "bad__echo", text="alive")).content == "alive"


async def test_noise_on_either_stream_does_no_harm(bench: Bench) -> None:
    async with bench.agent(hostile("chatty", "greets")).session() as session:
        assert (await bench.call(session, "bad__echo", text="heard")).content == "heard"
        assert (await bench.call(session, "bad__junk")).content == "after junk"


async def test_an_answer_of_the_wrong_shape_is_an_error(bench: Bench) -> None:
    async with bench.agent(hostile()).session() as session:
        done = await bench.call(session, "bad__wrong")
        assert done.status == "failed"
        assert "valid" in done.content
        assert (await bench.call(session, "bad__echo", text="on")).content == "on"


async def test_a_program_that_never_starts_is_tried_again_after_a_pause(
    bench: Bench, tmp_path: Path
) -> None:
    async with bench.agent(hostile()).session("one") as session:
        await bench.call(session, "bad__echo", text="x")
    count = tmp_path / "starts"
    broken = MCPServer("bad", command="/bin/sh", args=["-c", f"echo >> {count}; exit 1"])
    async with bench.agent(broken).session("one", resume=True) as session:
        for _ in range(2):
            done = await bench.call(session, "bad__echo", text="x")
            assert done.status == "failed"
            assert "'bad'" in done.content
    assert count.read_text() == "\n\n"


LIES: list[dict[str, Any]] = [
    {"name": "a.b/c d", "description": "odd name", "inputSchema": {"type": "object"}},
    {"name": "twice", "description": "first", "inputSchema": {"type": "object"}},
    {"name": "twice", "description": "second", "inputSchema": {"type": "object"}},
    {"name": "x" * 300, "inputSchema": {"type": "object"}},
    {"name": "endless", "description": "word " * 100_000, "inputSchema": {"type": "object"}},
    {"name": "nonsense", "inputSchema": {"type": "object", "properties": {"a": {"type": "no"}}}},
    {"name": "nowhere", "inputSchema": {"type": "object", "properties": {"a": {"$ref": "#/x"}}}},
    {
        "name": "itself",
        "inputSchema": {
            "type": "object",
            "properties": {"tree": {"$ref": "#/$defs/T"}},
            "$defs": {
                "T": {
                    "type": "object",
                    "properties": {"sub": {"type": "array", "items": {"$ref": "#/$defs/T"}}},
                }
            },
        },
    },
    {
        "name": "bomb",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/d0"}},
            "$defs": {
                f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]}
                for i in range(40)
            }
            | {"d40": {"type": "string"}},
        },
    },
    {
        "name": "wordy",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "word " * 10_000}},
        },
    },
    {
        "name": "slow_pattern",
        "inputSchema": {
            "type": "object",
            "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}},
        },
    },
]


async def test_lies_about_tools_are_bounded_and_noted(bench: Bench, tmp_path: Path) -> None:
    listing = tmp_path / "tools.json"
    listing.write_text(json.dumps(LIES))
    async with bench.agent(hostile(f"tools={listing}")).session() as session:
        done = await bench.call(session, "bad__slow_pattern", a="a" * 60 + "!")  # ends at once
        assert "Unknown tool: slow_pattern" in done.content
        kept = bench.kept(session.id)
    tools = {each["theirs"]: each for each in kept["tools"]}
    assert len(tools) == len(LIES) - 1
    assert tools["twice"]["description"] == "first"
    assert all(len(each["name"]) <= 64 and each["name"].isascii() for each in tools.values())
    assert tools["a.b/c d"]["name"].startswith("bad__a_b_c_d_")
    assert len(tools["endless"]["description"]) < 2_100
    for name in ("nonsense", "nowhere", "bomb"):
        assert tools[name]["parameters"]["additionalProperties"] is True
        assert "schema" in tools[name]["description"]
    tree = tools["itself"]["parameters"]["properties"]["tree"]
    assert tree["properties"]["sub"]["items"] == {"description": "(as above, nested)"}
    assert "description" not in tools["wordy"]["parameters"]["properties"]["a"]
    assert any("listed twice" in note for note in kept["notes"])
    assert len(json.dumps(kept)) < 30_000


async def test_a_list_that_is_no_list_is_told(bench: Bench, tmp_path: Path) -> None:
    listing = tmp_path / "tools.json"
    listing.write_text(json.dumps([{"name": "a", "inputSchema": "none"}]))
    with pytest.raises(Exception, match="did not list its tools"):
        async with bench.agent(hostile(f"tools={listing}")).session():
            pass
