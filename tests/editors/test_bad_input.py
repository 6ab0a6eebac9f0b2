"""What no careful editor sends, and what can go wrong behind the agent: an answer in words each."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from acp import RequestError
from anyio.lowlevel import checkpoint

from agentkit import Agent, Session
from agentkit.acp.live import LiveSession
from agentkit.errors import SessionError
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply

from .conftest import editor, until

AUTH, INVALID, NOT_FOUND = -32000, -32602, -32002


def spoken(lines: list[bytes], *options: str, env: dict[str, str] | None = None) -> Any:
    """Give these lines to ``agentkit acp`` and end its input."""
    return subprocess.run(
        [sys.executable, "-m", "agentkit.cli", "acp", *options],
        input=b"\n".join(lines),
        capture_output=True,
        timeout=90,
        check=False,
        env={**os.environ, "DEEPSEEK_API_KEY": "key-of-the-tests", **(env or {})},
    )


def request(number: Any, method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def test_lines_that_are_no_messages_are_answered_and_the_next_one_works(tmp_path: Path) -> None:
    lines = [
        b"this is not JSON",
        b'{"jsonrpc": "2.0", "id": 1, "method": "initialize"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"[1, 2]",
        b"42",
        b'{"jsonrpc": "2.0", "id": {"no": "id"}, "result": 1}',
        b'{"jsonrpc": "2.0", "id": 2, "method": 7}',
        b'{"jsonrpc": "2.0", "id": 3}',
        b'{"jsonrpc": "2.0", "id": 99, "result": "to nothing that was asked"}',
        b'{"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": 5}}',
        b'{"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "nobody"}}',
        b"",
        request(4, "session/prompt", sessionId="x"),
        request(5, "no/such/method"),
        request(6, "session/new", cwd=str(tmp_path / "missing"), mcpServers=[]),
        request(7, "session/new", cwd="relative", mcpServers=[]),
        request(8, "session/new", cwd="/", mcpServers=[]),
        request(9, "session/load", cwd=str(tmp_path), sessionId="nobody", mcpServers=[]),
        request(10, "session/prompt", sessionId="nobody", prompt=[]),
        request("eleven", "initialize", protocolVersion=1),
        request(12, "initialize", protocolVersion=77),
        request(13, "session/set_mode", sessionId="x", modeId="y"),
    ]
    done = spoken(lines)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    nameless = sorted(each["error"]["code"] for each in answers if each["id"] is None)
    assert nameless == [-32700] * 4 + [-32600] * 3
    named = {each["id"]: each for each in answers if each["id"] is not None}
    codes = {number: each["error"]["code"] for number, each in named.items() if "error" in each}
    assert codes == {
        2: -32600,
        3: -32600,
        4: INVALID,
        5: -32601,
        6: INVALID,
        7: INVALID,
        8: INVALID,
        9: NOT_FOUND,
        10: NOT_FOUND,
        13: -32601,
    }
    assert "does not exist" in named[6]["error"]["message"]
    assert "absolute" in named[7]["error"]["message"]
    assert "could change all of it" in named[8]["error"]["message"]
    capabilities = named["eleven"]["result"]["agentCapabilities"]
    assert capabilities["loadSession"] is True
    assert capabilities["promptCapabilities"]["image"] is False
    assert named[12]["result"]["protocolVersion"] == 1  # what we speak; the editor decides


def test_a_message_without_end_is_refused() -> None:
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * (65 << 20)
    done = spoken([line, request(2, "initialize", protocolVersion=1)])
    answers = [json.loads(each) for each in done.stdout.splitlines()]
    assert "64 MB" in answers[0]["error"]["message"]
    assert answers[1]["result"]["protocolVersion"] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workspace", "/tmp"], "the editor names the folder"),
        (["--workspace-mode", "copy"], "editors edit in place"),
        (["--ladder", "no-such"], "no-such"),
        (["--log-level", "loud"], "there is no log level 'loud'"),
    ],
)
def test_options_that_cannot_be(options: list[str], words: str) -> None:
    done = spoken([], *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr


async def test_without_a_key_the_editor_is_told_which(folder: Path) -> None:
    async with editor(folder, None) as at:
        with pytest.raises(RequestError, match="DEEPSEEK_API_KEY is not set") as caught:
            await at.new()
        assert caught.value.code == AUTH
        with pytest.raises(RequestError, match="start it again"):
            await at.connection.authenticate(method_id="environment")
        with pytest.raises(RequestError, match="no method"):
            await at.connection.authenticate(method_id="fingerprint")


async def test_what_the_provider_refuses_is_an_error_in_words(folder: Path) -> None:
    with FakeDeepSeek(["Never."], faults="1=401,2=402") as server:
        async with editor(folder, server) as at:
            session = await at.new()
            with pytest.raises(RequestError) as first:
                await at.say("One")
            assert first.value.code == AUTH
            with pytest.raises(RequestError, match="Balance") as second:
                await at.say("Two")
            assert second.value.code == -32603
            assert await at.say("Three", session) == "end_turn"  # the session goes on
            assert at.client.text().endswith("Never.")


async def test_a_broken_answer_is_told_and_asked_for_again(folder: Path) -> None:
    with FakeDeepSeek(["It is well now."], faults="1=no-finish") as server:
        async with editor(folder, server) as at:
            await at.new()
            assert await at.say("How is it?") == "end_turn"
        assert len(server.requests) == 2
    assert "asking again" in at.client.text("agent_thought_chunk")
    last = at.client.of("agent_message_chunk")[-1]["messageId"]
    whole = [each for each in at.client.of("agent_message_chunk") if each["messageId"] == last]
    assert "".join(each["content"]["text"] for each in whole) == "It is well now."


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--max-turns", "1"], "max_turn_requests"),
        (["--max-tokens", "3000"], "max_tokens"),
        (["--max-cost", "0.0001"], "max_turn_requests"),
    ],
)
async def test_a_limit_has_its_stop_reason_and_its_words(
    folder: Path, options: list[str], reason: str
) -> None:
    steps = [Reply(calls=[Call("bash", {"command": "ls"})]), "Never said."]
    with FakeDeepSeek(steps) as server:
        async with editor(folder, server, "--approve", "auto", *options) as at:
            await at.new()
            assert await at.say("Look") == reason
    assert "limit was reached" in at.client.text()
    assert "Never said" not in at.client.text()


async def test_a_filtered_answer_is_a_refusal(folder: Path) -> None:
    always = ",".join(f"{number}=content-filter" for number in range(1, 20))
    with FakeDeepSeek(["Never."], faults=always) as server:
        async with editor(folder, server, "--ladder", "flash") as at:
            await at.new()
            assert await at.say("Say it") == "refusal"


async def test_checks_that_fail_end_the_turn_with_the_truth(folder: Path) -> None:
    give_up = Reply(calls=[Call("finish", {"summary": "I could not.", "achieved": False})])
    with FakeDeepSeek([give_up]) as server:
        async with editor(folder, server, "--check", "false") as at:
            session = await at.new()
            response: Any = await at.connection.prompt(
                session_id=session,
                prompt=[{"type": "text", "text": "Do it"}],  # type: ignore[list-item]
            )
    assert response.stop_reason == "end_turn"
    assert response.field_meta["agentkit"]["status"] == "failed"
    assert at.client.text() == "I could not."


async def test_a_session_of_somebody_else_or_somewhere_else(
    folder: Path, tmp_path: Path, own_home: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with FakeDeepSeek(["Hello.", "Hello."]) as server:
        store = SQLiteStore(own_home)
        agent = Agent("own", store=store, base_url=server.base_url, api_key="key-of-the-tests")
        result = await agent.run("Say hello")
        store.close()
        async with editor(folder, server) as at:
            session = await at.new()
            await at.say("Say hello")
            await at.connection.close_session(session_id=session)
            with pytest.raises(RequestError, match="not begun by the `agentkit` command"):
                await at.connection.load_session(
                    cwd=str(folder), session_id=result.session_id, mcp_servers=[]
                )
            with pytest.raises(RequestError, match=r"works on .*project, not on .*other"):
                await at.connection.load_session(cwd=str(other), session_id=session, mcp_servers=[])
            with pytest.raises(RequestError, match="additionalDirectories"):
                await at.connection.new_session(
                    cwd=str(folder), additional_directories=[str(other)], mcp_servers=[]
                )


async def test_no_engine_is_said_in_the_turn(folder: Path, tmp_path: Path) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    with FakeDeepSeek(["Never."]) as server:
        async with editor(folder, server, sandbox="docker", env=nowhere) as at:
            await at.new()
            with pytest.raises(RequestError, match="engine") as caught:
                await at.say("Do it")
            assert (caught.value.data or {})["error"] == "EngineUnavailable"


async def test_an_editor_that_never_reads_does_not_hold_up_the_end(folder: Path) -> None:
    """Its pipe is full; when it closes its side, all ends."""
    command = "head -c 60000 /dev/zero | tr '\\0' x"
    flood = Reply(calls=[Call("bash", {"command": command})])
    with FakeDeepSeek([flood] * 8 + ["Done."]) as server:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agentkit.cli", "acp", "--sandbox", "local"),
            *("--approve", "auto", "--base-url", server.base_url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "DEEPSEEK_API_KEY": "key-of-the-tests"},
            limit=1 << 16,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request(1, "session/new", cwd=str(folder), mcpServers=[]) + b"\n")
        made = json.loads(await process.stdout.readline())
        session = made["result"]["sessionId"]
        blocks = [{"type": "text", "text": "Flood"}]
        prompt = request(2, "session/prompt", sessionId=session, prompt=blocks)
        process.stdin.write(prompt + b"\n")
        await until(lambda: len(server.requests) >= 2)
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_close_waits_for_the_sandbox_after_a_failed_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def session(_agent: Agent, _id: str, *, resume: bool) -> AsyncGenerator[Session]:
        del resume
        order.append("open")
        if len(order) == 1:
            raise SessionError("not now")
        yield cast("Session", object())
        for _ in range(5):
            await checkpoint()
        order.append("gone")

    monkeypatch.setattr(Agent, "session", session)
    live = LiveSession("s", Agent("x"), cast("Any", None), resume=False)
    async with anyio.create_task_group() as tasks:
        with pytest.raises(SessionError):
            await live.open(tasks)
        await live.open(tasks)
        await live.close()
        order.append("closed")
    assert order == ["open", "open", "gone", "closed"]
