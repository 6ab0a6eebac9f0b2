"""``agentkit mcp`` as MCP clients meet it: the SDK's own client, and our own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.dispatcher import ProgressFnT
from mcp_types import CallToolResult, TextContent

from agentkit import events as e
from agentkit.events import now
from agentkit.log import as_row
from agentkit.mcp import MCPServer
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.mcp.conftest import Bench

pytestmark = pytest.mark.anyio


def program(home: Path, workspace: Path, model: FakeDeepSeek, *more: str) -> StdioServerParameters:
    where = ["--workspace", str(workspace), "--sandbox", "local", "--home", str(home)]
    arguments = ["-m", "agentkit.cli", "mcp", *where, "--base-url", model.base_url, *more]
    return StdioServerParameters(command=sys.executable, args=arguments)


@asynccontextmanager
async def offered(
    home: Path, workspace: Path, model: FakeDeepSeek, *more: str, mode: str = "auto"
) -> AsyncGenerator[Client]:
    more = more or ("--approve", "auto")
    async with Client(program(home, workspace, model, *more), mode=mode) as client:
        yield client


def words(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def facts(result: CallToolResult) -> dict[str, Any]:
    assert result.structured_content is not None
    return result.structured_content


def bash(command: str) -> Reply:
    return Reply(reasoning="hm", calls=[Call("bash", {"command": command})])


def listener(start: str = "", seen: anyio.Event | None = None) -> tuple[list[str], ProgressFnT]:
    """The messages of progress so far, and what hears them."""
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        del progress, total
        heard.append(message or "")
        if seen is not None and heard[-1].startswith(start):
            seen.set()

    return heard, hear


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_task_with_progress_and_its_session_again(
    own_home: Path, tmp_path: Path, mode: str
) -> None:
    heard, hear = listener()
    replies = [bash("echo made > new.txt"), Reply(reasoning="hm", content="Made it.")]
    with FakeDeepSeek([*replies, Reply(reasoning="hm", content="As I said.")]) as model:
        async with offered(own_home, tmp_path, model, mode=mode) as client:
            tools = (await client.list_tools()).tools
            assert [each.name for each in tools] == ["run_task", "session_status"]
            task = {"task": "Make new.txt", "checks": ["test -s new.txt"]}
            result = await client.call_tool("run_task", task, progress_callback=hear)
            assert not result.is_error
            assert (tmp_path / "new.txt").read_text() == "made\n"
            assert facts(result)["status"] == "finished"
            assert facts(result)["checks"][0]["passed"] is True
            assert words(result).startswith("Made it.\n\n[finished; session ")
            number = facts(result)["session_id"]
            again = await client.call_tool("run_task", {"task": "What?", "session_id": number})
            assert facts(again)["output"] == "As I said."
            assert facts(again)["session_id"] == number
            status = await client.call_tool("session_status", {"session_id": number})
            assert facts(status)["output"] == "As I said."
            listed = await client.call_tool("session_status", {})
            assert number in words(listed)
    assert heard[0] == f"session {number}"
    assert any(line.startswith('bash {"command": "echo made') for line in heard)
    assert "check passed: test -s new.txt" in heard


async def test_what_is_not_achieved_is_an_error(own_home: Path, tmp_path: Path) -> None:
    with FakeDeepSeek(lambda _: Reply(reasoning="hm", content="Done, I say.")) as model:
        async with offered(own_home, tmp_path, model) as client:
            result = await client.call_tool("run_task", {"task": "Do it", "checks": ["false"]})
    assert result.is_error
    assert facts(result)["status"] == "failed"
    assert facts(result)["exit_code"] == 1
    assert "check ✗ false" in words(result)


async def test_a_question_that_nobody_can_answer_is_told(own_home: Path, tmp_path: Path) -> None:
    with FakeDeepSeek(lambda _: bash("touch it")) as model:
        async with offered(own_home, tmp_path, model, "--approve", "ask") as client:
            result = await client.call_tool("run_task", {"task": "Touch"})
    assert result.is_error
    assert facts(result)["status"] == "waiting"
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "'task' is a required property"),
        ({"task": 3}, "is not of type 'string'"),
        ({"task": ""}, "the task is empty"),
        ({"task": "x", "session_id": "never"}, "there is no session 'never'"),
        ({"task": "x", "other": 1}, "'other' was unexpected"),
    ],
)
async def test_bad_calls_are_told(
    own_home: Path, tmp_path: Path, arguments: dict[str, Any], problem: str
) -> None:
    with FakeDeepSeek([]) as model:
        async with offered(own_home, tmp_path, model) as client:
            result = await client.call_tool("run_task", arguments)
            assert result.is_error
            assert problem in words(result)
            unknown = await client.call_tool("fly", {})
            assert "there is no tool 'fly'" in words(unknown)


async def test_a_cancelled_call_leaves_a_session_to_go_on_with(
    own_home: Path, tmp_path: Path
) -> None:
    begun = anyio.Event()
    heard, hear = listener("bash", begun)
    replies = [bash("sleep 300"), Reply(reasoning="hm", content="Went on.")]
    with FakeDeepSeek(replies) as model:
        async with offered(own_home, tmp_path, model) as client:
            async with anyio.create_task_group() as tasks:

                async def call() -> None:
                    await client.call_tool("run_task", {"task": "Wait"}, progress_callback=hear)

                tasks.start_soon(call)
                with anyio.fail_after(60):
                    await begun.wait()
                tasks.cancel_scope.cancel()
            number = heard[0].removeprefix("session ")
            with anyio.fail_after(60):
                while True:
                    status = await client.call_tool("session_status", {"session_id": number})
                    if status.structured_content:
                        break
                    await anyio.sleep(0.05)
            assert facts(status)["status"] == "cancelled"
            again = await client.call_tool("run_task", {"task": "Go on", "session_id": number})
    assert facts(again)["output"] == "Went on."


async def test_one_session_does_one_thing_at_a_time(own_home: Path, tmp_path: Path) -> None:
    first = anyio.Event()
    heard, hear = listener("session", first)
    refused: CallToolResult | None = None
    with FakeDeepSeek(lambda _: bash("sleep 300")) as model:
        async with offered(own_home, tmp_path, model) as client, anyio.create_task_group() as tasks:

            async def call() -> None:
                await client.call_tool("run_task", {"task": "Wait"}, progress_callback=hear)

            tasks.start_soon(call)
            with anyio.fail_after(60):
                await first.wait()
            number = heard[0].removeprefix("session ")
            refused = await client.call_tool("run_task", {"task": "x", "session_id": number})
            tasks.cancel_scope.cancel()
    assert refused is not None
    assert refused.is_error
    assert "is at work" in words(refused)


async def test_a_run_elsewhere_or_cut_off_has_no_earlier_run_s_result(
    own_home: Path, tmp_path: Path
) -> None:
    store = SQLiteStore(own_home)
    with FakeDeepSeek([Reply(reasoning="hm", content="Done.")]) as model:
        async with offered(own_home, tmp_path, model) as client:
            done = await client.call_tool("run_task", {"task": "Do it"})
            number = facts(done)["session_id"]
            store.acquire(number)  # another process goes on with it
            last = len(store.read(number))
            store.append(number, [as_row(e.RunStarted(seq=last + 1, time=now(), resumed=True))])
            elsewhere = await client.call_tool("session_status", {"session_id": number})
            store.release(number)  # and dies
            cut = await client.call_tool("session_status", {"session_id": number})
    store.close()
    assert words(elsewhere) == f"session {number} is at work elsewhere"
    assert elsewhere.structured_content is None
    assert cut.is_error
    assert words(cut) == f"session {number} is without an end: its run was cut off, or none began"


def test_the_end_of_input_and_a_signal_end_it(own_home: Path, tmp_path: Path) -> None:
    with FakeDeepSeek([]) as model:
        parameters = program(own_home, tmp_path, model, "--approve", "auto")
        command = [parameters.command, *parameters.args]
        done = subprocess.run(
            command, input=b"not json\n", capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        hello: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "server/discover",
            "params": {},
        }
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(hello).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == 1
            os.kill(process.pid, signal.SIGTERM)  # while its input is open
            assert process.wait(60) == 0


async def test_one_agent_works_for_another(bench: Bench, own_home: Path, tmp_path: Path) -> None:
    """Both ends are ours: a task goes from one agent to the other, its progress is output."""
    with FakeDeepSeek([bash("echo 42 > answer"), Reply(reasoning="hm", content="42")]) as model:
        parameters = program(own_home, tmp_path, model, "--approve", "auto")
        server = MCPServer("worker", command=sys.executable, args=parameters.args)
        async with bench.agent(server).session() as session:
            done = await bench.call(session, "worker__run_task", task="Find the answer")
    assert done.status == "done"
    assert done.content.startswith("42\n\n[finished; session ")
    assert (tmp_path / "answer").read_text() == "42\n"
