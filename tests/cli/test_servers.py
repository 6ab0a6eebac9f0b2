"""MCP servers of a project: named by the user, and on a resume never another program."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from agentkit.stores.sqlite import SQLiteStore

from .conftest import Cli
from .plain_server import PlainServer

HOSTILE = Path(__file__).parent.parent / "mcp" / "hostile.py"
STEPS = [
    {"calls": [{"name": "bad__echo", "arguments": {"text": "through the server"}}]},
    {"content": "Done."},
]


def project(workspace: Path, more: str = "") -> None:
    (workspace / "agentkit.toml").write_text(
        f"""
[mcp.servers.bad]
command = "{sys.executable}"
args = ["{HOSTILE}"]
env = {{ TRACKER_TOKEN = "${{TRACKER:-none-is-set-here}}" }}
{more}"""
    )


def given(workspace: Path, server: PlainServer) -> list[str]:
    where = ["--workspace", str(workspace), "--sandbox", "local", "--approve", "auto"]
    return [*where, "--base-url", server.url]


def contents(home: Path, session: str) -> list[str]:
    with_store = SQLiteStore(home)
    try:
        rows = [json.loads(each.data) for each in with_store.read(session, 0)]
    finally:
        with_store.close()
    return [each["content"] for each in rows if each["type"] == "tool.finished"]


def test_a_project_starts_no_server_that_the_user_did_not_name(cli: Cli, workspace: Path) -> None:
    project(workspace)
    with PlainServer(STEPS) as server:
        ran = cli("run", "Go", *given(workspace, server))
        assert ran.code == 2
        assert "starts, on this machine, the MCP server 'bad'" in ran.err
        assert "--mcp bad" in ran.err
        assert server.requests == []
        without = cli("run", "Go", *given(workspace, server), "--mcp", "none")
    assert without.code == 0
    names = [each["function"]["name"] for each in server.requests[0]["tools"]]
    assert not any(name.startswith("bad__") for name in names)


def test_named_shown_used_and_resumed(cli: Cli, workspace: Path, own_home: Path) -> None:
    project(workspace)
    with PlainServer([*STEPS, *STEPS]) as server:
        arguments = [*given(workspace, server), "--mcp", "bad", "--session", "one"]
        ran = cli("run", "Go", *arguments)
        assert ran.code == 0, ran.err
        assert f"mcp        bad: {sys.executable}" in ran.out + ran.err
        assert contents(own_home, "one") == ["through the server"]
        again = cli("resume", "one", "Again", "--base-url", server.url)
        assert again.code == 0, again.err
        assert contents(own_home, "one") == ["through the server"] * 2
    bodies = server.requests
    assert len({json.dumps([each["tools"], each["messages"][0]]) for each in bodies}) == 1


def test_a_resume_does_not_start_what_the_agent_made_of_the_file(
    cli: Cli, workspace: Path, tmp_path: Path
) -> None:
    project(workspace)
    with PlainServer([*STEPS, *STEPS]) as server:
        arguments = [*given(workspace, server), "--mcp", "bad", "--session", "one"]
        assert cli("run", "Go", *arguments).code == 0
        mark = tmp_path / "escaped"
        (workspace / "agentkit.toml").write_text(
            f'[mcp.servers.bad]\ncommand = "/bin/touch"\nargs = ["{mark}"]\n'
        )
        again = cli("resume", "one", "Again", "--base-url", server.url)
        assert again.code == 2
        assert "is not what it was when the session began" in again.err
        assert not mark.exists()
        said = cli("resume", "one", "Again", "--base-url", server.url, "--mcp", "bad")
    assert said.code == 0  # it is no server, and the model was told so
    assert mark.exists()


def test_a_session_without_servers_does_not_need_the_project_s_file(
    cli: Cli, workspace: Path
) -> None:
    file = workspace / "agentkit.toml"
    file.write_text("max-turns = 9\n")
    with PlainServer([{"content": "Done."}] * 2) as server:
        assert cli("run", "Go", *given(workspace, server), "--session", "one").code == 0
        file.unlink()
        again = cli("resume", "one", "Again", "--base-url", server.url)
    assert again.code == 0, again.err


def test_a_ladder_file_is_found_from_another_directory(
    cli: Cli, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "careful.toml").write_text('[[rung]]\nmodel = "deepseek-v4-flash"\n')
    monkeypatch.chdir(tmp_path)
    with PlainServer([{"content": "Done."}] * 2) as server:
        options = ["--ladder", "careful.toml", "--session", "one"]
        ran = cli("run", "Go", *given(workspace, server), *options)
        assert ran.code == 0, ran.err
        monkeypatch.chdir(workspace)
        again = cli("resume", "one", "Again", "--base-url", server.url)
    assert again.code == 0, again.err


def test_a_file_of_ones_own(cli: Cli, workspace: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    project(own)
    with PlainServer(STEPS) as server:
        file = os.path.relpath(own / "agentkit.toml")
        ran = cli("run", "Go", *given(workspace, server), "--mcp", file)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("toml", "said", "problem"),
    [
        ("", "other", "there is no MCP server 'other'"),
        ("", "nowhere.toml", "nowhere.toml does not exist"),
        ("comand = 1", "bad", "unknown setting 'comand' of mcp.servers.bad"),
        ("timeout = 'long'", "bad", "timeout must be a number of seconds, not 'long'"),
        ("url = 'http://x'", "bad", "needs a command or a url"),
        ("[mcp.servers.other]\nurl = 'ftp://x'", "bad", "no http or https address"),
        ("[mcp.servers]\nother = 3", "bad", "mcp.servers.other must be a table"),
    ],
)
def test_bad_tables_are_told(cli: Cli, workspace: Path, toml: str, said: str, problem: str) -> None:
    project(workspace, toml)
    with PlainServer(STEPS) as server:
        ran = cli("run", "Go", *given(workspace, server), "--mcp", said)
    assert ran.code == 2
    assert problem in ran.err


def test_a_server_that_does_not_start_is_exit_code_2(cli: Cli, workspace: Path) -> None:
    (workspace / "agentkit.toml").write_text('[mcp.servers.gone]\ncommand = "/no/such/thing"\n')
    with PlainServer(STEPS) as server:
        ran = cli("run", "Go", *given(workspace, server), "--mcp", "gone")
    assert ran.code == 2
    assert "the MCP server 'gone' could not be started: there is no '/no/such/thing'" in ran.err
