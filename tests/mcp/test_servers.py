"""Official servers over stdio: their tools, their freezing in the log, resumes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

import agentkit.mcp
from agentkit import UsageError
from agentkit.errors import ToolServerError
from agentkit.events import LaneOpened
from agentkit.mcp import MCPServer
from agentkit.testing import assert_prefix_stable
from tests.mcp.conftest import PROGRAMS, Bench, hostile

pytestmark = pytest.mark.anyio
TIME = MCPServer("time", command=str(PROGRAMS / "mcp-server-time"))
GIT = MCPServer("git", command=str(PROGRAMS / "mcp-server-git"), read_only=["git_log"])


def heads(bench: Bench) -> set[str]:
    """The heads of all requests so far: tools and system message."""
    bodies = [json.loads(each.raw) for each in bench.server.requests]
    return {json.dumps([body["tools"], body["messages"][0]]) for body in bodies}


async def test_official_servers_work(bench: Bench, tmp_path: Path) -> None:
    await anyio.run_process(["git", "init", "-q", str(tmp_path)])
    (tmp_path / "new.txt").write_text("new")
    async with bench.agent(TIME, GIT).session() as session:
        done = await bench.call(session, "git__git_status", repo_path=str(tmp_path))
        assert done.status == "done"
        assert "new.txt" in done.content
        await bench.call(session, "git__git_add", repo_path=str(tmp_path), files=["new.txt"])
        seen = await anyio.run_process(["git", "-C", str(tmp_path), "status", "--short"])
        assert seen.stdout == b"A  new.txt\n"
        done = await bench.call(session, "time__get_current_time", timezone="Nowhere/Land")
        assert done.status == "failed"
        assert "Nowhere" in done.content
        refused = await bench.call(session, "git__git_status", path="/")
        assert refused.status == "invalid"
        assert "repo_path" in refused.content
    assert_prefix_stable(bench.server)


async def test_tools_are_sorted_closed_and_prefixed(bench: Bench) -> None:
    async with bench.agent(TIME, GIT).session() as session:
        await bench.call(session, "time__get_current_time", timezone="UTC")
        opened = next(each for each in bench.events(session.id) if isinstance(each, LaneOpened))
    names = [each["function"]["name"] for each in opened.tools]
    assert names == sorted(names)
    assert {name.split("__")[0] for name in names} == {"time", "git"}
    for each in opened.tools:
        parameters = each["function"]["parameters"]
        assert parameters["additionalProperties"] is False
        assert "$ref" not in json.dumps(parameters)
        assert next(iter(parameters)) == "type"


async def test_a_resume_has_the_same_bytes_whatever_the_server_says_now(
    bench: Bench, tmp_path: Path
) -> None:
    listing = tmp_path / "tools.json"

    def offer(*names: str, schema: dict[str, Any]) -> None:
        listing.write_text(json.dumps([{"name": name, "inputSchema": schema} for name in names]))

    offer("echo", "pid", schema={"type": "object", "properties": {"text": {"type": "string"}}})
    agent = bench.agent(hostile(f"tools={listing}"))
    async with agent.session("one") as session:
        await bench.call(session, "bad__echo", text="hello")
    offer("pid", "brandnew", schema={"type": "object", "properties": {"other": {}}})
    async with agent.session("one", resume=True) as session:
        assert session.kept_head == []
        done = await bench.call(session, "bad__echo", text="again")
        assert done.content == "again"
    gone = bench.agent(MCPServer("bad", command="/no/such/program"))
    async with gone.session("one", resume=True) as session:
        assert session.kept_head == []
        done = await bench.call(session, "bad__echo", text="away")
        assert done.status == "failed"
        assert "no '/no/such/program'" in done.content
    async with bench.agent().session("one", resume=True) as session:  # no server at all any more
        assert session.kept_head == []
        done = await bench.call(session, "bad__echo", text="away")
        assert "no longer set up here" in done.content
    assert len(heads(bench)) == 1
    assert_prefix_stable(bench.server)


async def test_a_tool_that_is_gone_is_an_error_that_says_what_is_there(
    bench: Bench, tmp_path: Path
) -> None:
    listing = tmp_path / "tools.json"
    listing.write_text(json.dumps([{"name": "renamed", "inputSchema": {"type": "object"}}]))
    agent = bench.agent(hostile(f"tools={listing}"))
    async with agent.session("one") as session:
        await bench.call(session, "bad__renamed")
    listing.write_text(json.dumps([{"name": "now_so", "inputSchema": {"type": "object"}}]))
    async with agent.session("one", resume=True) as session:
        done = await bench.call(session, "bad__renamed")
    assert done.status == "failed"
    assert "no longer has the tool 'renamed'. It has: now_so" in done.content


async def test_cold_takes_what_the_servers_offer_now(bench: Bench, tmp_path: Path) -> None:
    listing = tmp_path / "tools.json"
    listing.write_text(json.dumps([{"name": "echo", "inputSchema": {"type": "object"}}]))
    agent = bench.agent(hostile(f"tools={listing}"))
    async with agent.session("one") as session:
        await bench.call(session, "bad__echo")
    listing.write_text(json.dumps([{"name": "pid", "inputSchema": {"type": "object"}}]))
    async with agent.session("one", resume=True, cold=True) as session:
        done = await bench.call(session, "bad__pid")
        assert done.content.isdigit()
    async with agent.session("one", resume=True) as session:  # and that is kept from then on
        assert session.kept_head == []
        assert (await bench.call(session, "bad__pid")).status == "done"
    async with bench.agent().session("one", resume=True, cold=True) as session:
        assert (await bench.call(session, "bad__pid")).status == "invalid"
    async with agent.session("one", resume=True) as session:
        assert session.kept_head == []


async def test_a_resume_starts_no_server_before_it_is_called(bench: Bench, tmp_path: Path) -> None:
    agent = bench.agent(hostile())
    async with agent.session("one") as session:
        await bench.call(session, "bad__echo", text="hello")
    mark = tmp_path / "started"
    watched = MCPServer("bad", command="/bin/sh", args=["-c", f"touch {mark}; exec sleep 60"])
    async with bench.agent(watched).session("one", resume=True):
        assert not mark.exists()


async def test_a_required_server_that_does_not_start_ends_the_session_clearly(
    bench: Bench,
) -> None:
    with pytest.raises(ToolServerError, match=r"'bad' ended while it was started|'bad' could not"):
        async with bench.agent(hostile("mute")).session("one"):
            pass
    with pytest.raises(ToolServerError, match="no licence found"):
        async with bench.agent(hostile("mute")).session("two"):
            pass
    with pytest.raises(ToolServerError, match="did not start within"):
        async with bench.agent(hostile("deaf", start_timeout=0.5)).session("three"):
            pass
    assert bench.store.sessions() == []


async def test_one_that_is_not_required_is_left_out_and_noted(bench: Bench) -> None:
    servers = (hostile("mute", required=False), hostile(name="good"))
    async with bench.agent(*servers).session() as session:
        assert (await bench.call(session, "good__echo", text="x")).content == "x"
        kept = bench.kept(session.id)
    assert {each["server"] for each in kept["tools"]} == {"good"}
    assert any(note.startswith("bad: ") for note in kept["notes"])


async def test_the_server_gets_no_key_of_ours_and_the_log_no_secret_of_its(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-not-for-servers")
    monkeypatch.setenv("TRACKER", "tracker-secret-0815")
    server = hostile(env={"TRACKER_TOKEN": "${TRACKER}", "LEVEL": "${LEVEL:-low}"})
    async with bench.agent(server).session("one") as session:
        done = await bench.call(session, "bad__environment")
    assert "sk-not-for-servers" not in done.content
    assert "DEEPSEEK" not in done.content
    assert '"LEVEL": "low"' in done.content
    assert '"TRACKER_TOKEN": "[redacted: bad TRACKER_TOKEN]"' in done.content
    assert all("tracker-secret" not in row.data for row in bench.store.read("one", 0))


async def test_a_variable_that_is_not_set_is_named(bench: Bench) -> None:
    with pytest.raises(UsageError, match="needs the variable NOT_THERE"):
        async with bench.agent(hostile(env={"A": "${NOT_THERE}"})).session():
            pass


async def test_read_only_is_what_the_user_says(bench: Bench) -> None:
    server = hostile(read_only=["pid"])
    async with bench.agent(server, approval="read-only").session() as session:
        assert (await bench.call(session, "bad__pid")).status == "done"
        refused = await bench.call(session, "bad__echo", text="x")
    assert refused.status == "refused"
    assert "read-only" in refused.content


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"name": "a b", "command": "x"}, "cannot be an MCP server's name"),
        ({"name": "a__b", "command": "x"}, "cannot be an MCP server's name"),
        ({"name": "a"}, "needs a command or a url"),
        ({"name": "a", "command": "x", "url": "http://x"}, "needs a command or a url"),
        ({"name": "a", "url": "ftp://x"}, "no http or https address"),
        ({"name": "a", "command": "x", "headers": {"a": "b"}}, "belong to a url"),
        ({"name": "a", "url": "http://x", "args": ["b"]}, "belong to a command"),
        ({"name": "a", "command": "x", "timeout": 0}, "more than 0"),
    ],
)
def test_bad_settings_are_told(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        MCPServer(**settings)


def test_two_servers_of_one_name(bench: Bench) -> None:
    with pytest.raises(UsageError, match="two MCP servers of one name"):
        bench.agent(TIME, TIME)


async def test_without_the_sdk_it_says_how_to_install_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(UsageError, match=r"pip install 'agentkit-deepseek\[mcp\]'"):
        async with bench.agent(TIME).session():
            pass
    with pytest.raises(UsageError, match="official SDK"):
        _ = agentkit.mcp.offer
