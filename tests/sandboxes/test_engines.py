"""Engines as one may meet them: none, too old, rootless, and one that dies in mid-command."""

from __future__ import annotations

import gc
import json
import os
import socketserver
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest
from docker.errors import APIError

from agentkit.errors import EngineUnavailable, SandboxGone
from agentkit.sandbox import Sandbox
from agentkit.sandboxes import Container, Docker
from agentkit.sandboxes._engine import connect

from .conftest import ours
from .engine_proxy import EngineProxy

pytestmark = [
    pytest.mark.docker,
    # The docker package leaves a socket that could not connect to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def rubbish() -> Iterator[None]:
    """What the docker package drops is collected here, and not in somebody else's test."""
    yield
    gc.collect()


@pytest.fixture
def client() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
async def proxy(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EngineProxy]:
    proxy = EngineProxy(tmp_path_factory.mktemp("engine"))
    await proxy.start()
    yield proxy
    await proxy.cut()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (another process makes it true)
        await anyio.sleep(0.01)


# None, or none that can be used.


@pytest.mark.parametrize("kind", [Docker, Container])
async def test_no_engine(tmp_path: Path, kind: type[Docker] | type[Container]) -> None:
    host = f"unix://{tmp_path}/no.sock"
    docker, container = Docker(workspace=tmp_path, host=host), Container(name="x", host=host)
    provider = docker if kind is Docker else container
    with pytest.raises(EngineUnavailable, match="no container engine answers") as caught:
        await provider.open("none")
    assert caught.value.tried == host
    assert "--sandbox local" in caught.value.hint


async def test_an_address_that_is_none(tmp_path: Path) -> None:
    for host in ("nonsense", "tcp://", "http://[::1", "tcp://127.0.0.1:1", "ftp://here"):
        with pytest.raises(EngineUnavailable, match="no container engine answers"):
            await Docker(workspace=tmp_path, host=host).open("none")


class _OldEngine(BaseHTTPRequestHandler):
    """Answers as Docker 1.6 of 2015 would."""

    def do_GET(self) -> None:
        facts = {"Version": "1.6.2", "ApiVersion": "1.18", "Os": "linux", "Arch": "amd64"}
        body = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        del format, args


async def test_an_engine_that_is_too_old(tmp_path: Path) -> None:
    path = tmp_path / "old.sock"
    with socketserver.ThreadingUnixStreamServer(str(path), _OldEngine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(EngineUnavailable, match="too old") as caught:
                await Docker(workspace=tmp_path, host=f"unix://{path}").open("old")
        finally:
            server.shutdown()
    assert "1.24" in str(caught.value)
    assert "Docker" in caught.value.hint


async def test_another_engine_at_the_same_address(client: Any, tmp_path: Path) -> None:
    """What one said of itself is not taken for the other's."""
    told = client.api._get(client.api._url("/_ping")).headers["Server"].encode()
    changes: dict[bytes, bytes] = {}
    proxy = EngineProxy(tmp_path, changes)
    await proxy.start()
    try:
        engines = [await connect(proxy.address), await connect(proxy.address)]
        changes[told] = told[::-1]
        engines += [await connect(proxy.address), await connect(proxy.address)]
        first, again, other, still_other = (each.facts for each in engines)
        assert first is again
        assert other is not first
        assert other is still_other
        for each in engines:
            await each.close()
    finally:
        await proxy.cut()


async def test_something_that_is_no_engine(tmp_path: Path) -> None:
    async def babble(stream: Any) -> None:
        async with stream:
            await stream.send(b"220 mail.example ESMTP\r\n")

    path = tmp_path / "mail.sock"
    listener = await anyio.create_unix_listener(path)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, babble)
        with pytest.raises(EngineUnavailable, match="no container engine answers"):
            await Docker(workspace=tmp_path, host=f"unix://{path}").open("mail")
        group.cancel_scope.cancel()


async def test_a_rootless_engine(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its root is the caller: commands run as root, so that new files are the caller's."""
    options: list[str] = client.api.info()["SecurityOptions"]
    real = next(f'"{each}"'.encode() for each in options if len(each) == 28)
    proxy = EngineProxy(tmp_path, {real: b'"name=rootless","profile=dflt"'})
    await proxy.start()
    workspace = tmp_path / "work"
    workspace.mkdir()
    try:
        monkeypatch.setattr(os, "getuid", lambda: 4321)
        sandbox = await Docker(workspace=workspace, host=proxy.address).open("rootless")
        facts = client.api.inspect_container(sandbox.ref["container"])
        await sandbox.close()
        assert facts["Config"]["User"] == "0:0"
    finally:
        await proxy.cut()


# One that dies.


async def _command(sandbox: Sandbox) -> object:
    return await (await sandbox.shell()).run(": >/workspace/begun; sleep 600")


async def _exec(sandbox: Sandbox) -> object:
    return await sandbox.exec(": >/workspace/begun; sleep 600")


async def _input(sandbox: Sandbox) -> object:
    return await sandbox.exec(
        ": >/workspace/begun; sleep 600; cat", stdin=bytes(1 << 20), timeout=None
    )


async def _job(sandbox: Sandbox) -> object:
    return await (await sandbox.start_job(": >/workspace/begun; sleep 600")).wait()


async def _terminal(sandbox: Sandbox) -> object:
    pty = await sandbox.open_pty(": >/workspace/begun; sleep 600")
    await pty.read(timeout=600)
    await pty.close()
    return await sandbox.exec("true")


CALLS = [_command, _exec, _input, _job, _terminal]


@pytest.mark.parametrize("call", CALLS)
async def test_an_engine_that_dies_in_mid_command(
    client: Any,
    proxy: EngineProxy,
    tmp_path: Path,
    call: Callable[[Sandbox], Awaitable[object]],
) -> None:
    session = f"dying{call.__name__}-{os.getpid()}"
    sandbox = await Docker(workspace=tmp_path, host=proxy.address).open(session)
    shell = await sandbox.shell()
    await shell.run("export A=kept; cd /tmp")
    caught: list[BaseException] = []

    async def work() -> None:
        with pytest.raises(EngineUnavailable, match="stopped answering") as error:
            await call(sandbox)
        caught.append(error.value)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await until((tmp_path / "begun").exists)
            await proxy.cut()
    assert len(caught) == 1
    with pytest.raises(EngineUnavailable):
        await sandbox.read_file("begun")
    # The same sandbox goes on as soon as the engine answers again.
    await proxy.start()
    with anyio.fail_after(60):
        result = await shell.run("echo $A; pwd")
        assert result.output.data == b"kept\n/tmp\n"
        left = await sandbox.exec("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c '^60[0]$'")
        if call is not _job:
            assert left.output.data == b"0\n", "what was under way has ended"
        await sandbox.close()
    assert ours(client, **{"agentkit.session": session}) == []
    with anyio.fail_after(10):
        await proxy.unused()


async def test_an_engine_that_stays_dead(client: Any, proxy: EngineProxy, tmp_path: Path) -> None:
    sandbox = await Docker(workspace=tmp_path, host=proxy.address).open("dead")
    ref = dict(sandbox.ref)
    await proxy.cut()
    write, terminal = partial(sandbox.write_file, "x", b""), partial(sandbox.open_pty, "sh")
    for call in (write, terminal, sandbox.jobs):
        with anyio.fail_after(30), pytest.raises(EngineUnavailable):
            await call()
    with anyio.fail_after(30):
        await sandbox.close()
    with pytest.raises(SandboxGone):
        await sandbox.exec("true")
    # Its container outlives it; the lease, or the next start, would end it.
    assert len(ours(client, **{"agentkit.session": "dead"})) == 1
    again = await Docker(workspace=tmp_path).reopen(ref)
    await again.close()
    assert ours(client, **{"agentkit.session": "dead"}) == []


async def test_an_engine_that_dies_while_a_sandbox_is_opened(
    client: Any, proxy: EngineProxy, tmp_path: Path
) -> None:
    """At each message of an opening, and at some of the commands that follow."""
    provider = Docker(workspace=tmp_path, host=proxy.address)

    async def work() -> None:
        sandbox = await provider.open("opening")
        while True:
            await sandbox.exec("true")

    async def fail() -> None:
        with pytest.raises(EngineUnavailable):
            await work()

    try:
        for count in range(1, 20):
            with anyio.fail_after(60):
                async with anyio.create_task_group() as group:
                    group.start_soon(fail)
                    await proxy.messages(count)
                    await proxy.cut()
            await proxy.start()
    finally:
        for each in ours(client, **{"agentkit.session": "opening"}):
            # The engine may still be at the removal that it was asked for before it "died".
            with suppress(APIError):
                client.api.remove_container(each["Id"], force=True, v=True)
