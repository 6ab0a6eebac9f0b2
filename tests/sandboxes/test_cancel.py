"""A call that is cancelled at any moment leaves a sandbox that works, and nothing else."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from agentkit.errors import SandboxError
from agentkit.sandbox import Sandbox
from agentkit.sandboxes import Docker, Local
from agentkit.sandboxes.docker import DockerSandbox

from .conftest import ours

MARK = f"7{os.getpid()}"
"""Seconds that the commands of this process sleep for, with one more digit."""
MOMENTS = (0.0, 0.001, 0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3)
"""Seconds: from before the first await to after most calls have ended."""
LIMIT = 40.0


@pytest.fixture(params=[pytest.param("docker", marks=pytest.mark.docker), "local"])
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sandbox]:
    kind: str = request.param
    ours, local = Docker(workspace=tmp_path, memory="1g"), Local(workspace=tmp_path)
    sandbox = await (ours if kind == "docker" else local).open("cancel")
    before = open_files()
    yield sandbox
    with anyio.fail_after(LIMIT):
        await sandbox.close()
    assert open_files() <= before


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def _shell(sandbox: Sandbox) -> object:
    return await (await sandbox.shell()).run(f"export N=$((N + 1)); sleep {MARK}1; echo never")


async def _exec(sandbox: Sandbox) -> object:
    return await sandbox.exec(f"sleep {MARK}2 & sleep {MARK}2")


async def _exec_input(sandbox: Sandbox) -> object:
    return await sandbox.exec(f"cat >/dev/null; sleep {MARK}3", stdin=bytes(4 << 20), split=True)


async def _flood(sandbox: Sandbox) -> object:
    return await sandbox.exec("yes")


async def _write(sandbox: Sandbox) -> object:
    return await sandbox.write_file("written", b"new!" * (1 << 19))


async def _read(sandbox: Sandbox) -> object:
    return await sandbox.read_file("large")


async def _job(sandbox: Sandbox) -> object:
    job = await sandbox.start_job(f"sleep {MARK}4")
    await job.write(b"x")
    await job.kill()
    return await job.poll()


async def _terminal(sandbox: Sandbox) -> object:
    pty = await sandbox.open_pty(f"echo at; sleep {MARK}5")
    try:
        await pty.send(b"x")
        await pty.resize(10, 10)
        return await pty.read(timeout=5)
    finally:
        await pty.close()


async def _transfer(sandbox: Sandbox) -> object:
    workspace = sandbox.host_workspace
    assert workspace is not None
    await sandbox.upload(workspace / "large", "up")
    return await sandbox.search("x", ".")


CALLS = [_shell, _exec, _exec_input, _flood, _write, _read, _job, _terminal, _transfer]


@pytest.mark.parametrize("call", CALLS)
async def test_a_cancelled_call_leaves_a_sandbox_that_works(
    sandbox: Sandbox, call: Callable[[Sandbox], Awaitable[object]]
) -> None:
    large = b"0123456789abcdef" * (1 << 17)
    await sandbox.write_file("large", large)
    await sandbox.write_file("written", b"old")
    shell = await sandbox.shell()
    await shell.run("export KEPT=1; cd /tmp")
    with anyio.fail_after(LIMIT):
        for moment in MOMENTS if isinstance(sandbox, DockerSandbox) else MOMENTS[::3]:
            with anyio.move_on_after(moment) as scope:
                if not moment:
                    scope.cancel()
                await call(sandbox)
            assert (await shell.run("echo $KEPT:$PWD")).output.data == b"1:/tmp\n"
            assert (await sandbox.exec("echo ok")).output.data == b"ok\n"
            assert await sandbox.read_file("large") == large
            assert await sandbox.read_file("written") in (b"old", b"new!" * (1 << 19))
    for job in await sandbox.jobs():
        await (await sandbox.job(job.name)).kill()
    # What the calls had started has ended, and there is no half-written file.
    each = "for d in /proc/[0-9]*; do tr '\\0' ' ' <$d/cmdline; echo; done 2>/dev/null"
    list_them = f"{each} | grep '^sleep {MARK}'"
    expected = {"large", "written", "up"}
    with anyio.fail_after(10):
        while (await sandbox.exec(list_them)).output.data:
            await anyio.lowlevel.checkpoint()  # each look is a round trip
        while not set(await sandbox.list_dir(".")) <= expected:
            await anyio.lowlevel.checkpoint()


@pytest.mark.docker
async def test_a_cancelled_open_and_close_leave_nothing(tmp_path: Path) -> None:
    import docker

    provider = Docker(workspace=tmp_path, memory="1g")
    await (await provider.open("cancel-open")).close()
    files, threads = open_files(), threading.active_count()
    for moment in (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8):
        sandbox = None
        with anyio.move_on_after(moment):
            sandbox = await provider.open("cancel-open")
        if sandbox is None:
            continue
        with anyio.move_on_after(0):
            await sandbox.close()
        with pytest.raises(SandboxError):
            await sandbox.exec("true")
    client = docker.from_env()
    try:
        assert ours(client, **{"agentkit.session": "cancel-open"}) == []
    finally:
        client.close()
    assert open_files() <= files
    assert threading.active_count() <= threads + 8, "worker threads are kept for the next call"
