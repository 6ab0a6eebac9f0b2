"""What a running call sees when the world under it goes away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest

from agentkit.errors import EngineUnavailable, SandboxError, SandboxGone
from agentkit.sandboxes import Docker, Local
from agentkit.sandboxes.docker import DockerSandbox

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

ENGINE: Any = docker


async def begun(path: Path) -> None:
    """Wait until a command has made the file."""
    with anyio.fail_after(30):
        while not await anyio.Path(path).exists():  # noqa: ASYNC110 - another process
            await anyio.sleep(0.01)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[DockerSandbox]:
    sandbox = await Docker(workspace=tmp_path).open("lost")
    yield sandbox
    await sandbox.close()


async def test_a_container_removed_under_a_call_is_said(
    sandbox: DockerSandbox, tmp_path: Path
) -> None:
    shell = await sandbox.shell()
    seen: list[bytes] = []

    async def call() -> None:
        with pytest.raises(SandboxGone, match="no longer exists"):
            await shell.run("echo partial; : >begun; sleep 1000", on_output=seen.append)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await begun(tmp_path / "begun")
            client = ENGINE.from_env()
            client.containers.get(sandbox.ref["container"]).remove(force=True)
            client.close()
    assert seen == [b"partial\n"]
    for use in (shell.run("echo no"), sandbox.exec("echo no"), sandbox.read_file("begun")):
        with pytest.raises(SandboxGone):
            await use


async def test_a_container_killed_under_a_call_comes_back_with_the_state(
    sandbox: DockerSandbox, tmp_path: Path
) -> None:
    shell = await sandbox.shell()
    await shell.run("cd /tmp; export KEEP=kept; echo file >f")

    async def kill() -> None:
        await begun(tmp_path / "begun")
        client = ENGINE.from_env()
        client.containers.get(sandbox.ref["container"]).kill()
        client.close()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(kill)
            result = await shell.run("echo partial; : >/workspace/begun; sleep 1000")
            assert (result.exit_code, result.ended, result.shell_restarted) == (137, "lost", True)
            assert result.output.data == b"partial\n"
    assert (await shell.run('echo "$KEEP:$PWD"; cat f')).output.data == b"kept:/tmp\nfile\n"


async def test_a_container_killed_under_what_is_sent_to_it_is_said(
    sandbox: DockerSandbox, tmp_path: Path
) -> None:
    """The engine leaves the connection open that nobody reads any more."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(256 << 20)
    job = await sandbox.start_job("sleep 1000")

    async def write() -> None:
        with pytest.raises(SandboxError):
            await job.write(bytes(8 << 20))

    async def upload() -> None:
        while True:
            await sandbox.upload(tmp_path / "large", "up")

    async def upload_until_it_ends() -> None:
        with pytest.raises(SandboxError):
            await upload()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(write)
            group.start_soon(upload_until_it_ends)
            while not any(name.startswith("up") for name in os.listdir(tmp_path)):
                await anyio.lowlevel.checkpoint()
            client = ENGINE.from_env()
            kill = client.containers.get(sandbox.ref["container"]).kill
            await anyio.to_thread.run_sync(kill)
            client.close()


async def test_a_jump_of_the_wall_clock_moves_no_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No container can set the clock, so ours is moved: by a day with every look at it."""
    sandbox = await Local(workspace=tmp_path, namespaces="off").open("clock")
    now = time.time()
    looks = iter(range(1, 1_000_000))
    monkeypatch.setattr(time, "time", lambda: now + 86_400 * next(looks) * (-1) ** next(looks))
    try:
        shell = await sandbox.shell()
        result = await shell.run("sleep 0.3; echo slept", timeout=30, idle_timeout=20)
        assert (result.ended, result.output.data) == ("exit", b"slept\n")
        with anyio.fail_after(20):
            result = await shell.run("sleep 1000", timeout=0.3)
        assert result.ended == "timeout"
        assert 0.3 <= result.duration < 20
    finally:
        await sandbox.close()


FLOOD = """
import anyio, json, resource, sys
from agentkit.sandboxes import Docker

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def main():
    sandbox = await Docker(workspace=sys.argv[1]).open("memory")
    try:
        shell = await sandbox.shell()
        await shell.run("echo warm")
        idle = peak()
        result = await shell.run("head -c 1000000000 /dev/zero", flood_limit=2 << 30, timeout=100)
        print(json.dumps([peak() - idle, result.output.total, result.ended]))
    finally:
        await sandbox.close()

anyio.run(main)
"""


async def test_a_gigabyte_of_output_costs_little_memory(tmp_path: Path) -> None:
    """Read to its end, without the flood limit: that could only be less. In MB, above idle."""
    done = await anyio.run_process([sys.executable, "-c", FLOOD, str(tmp_path)])
    grown, total, ended = json.loads(done.stdout)
    assert (total, ended) == (1_000_000_000, "exit")
    assert grown < 40


@pytest.fixture
def own_engine() -> Iterator[OwnEngine]:
    """A second engine, which may be stopped: it shares nothing with the first one."""
    if os.getuid() != 0:
        pytest.skip("needs root to start an engine")
    bridge = f"akt{os.getpid()}"
    _ip("link", "add", bridge, "type", "bridge")
    try:
        _ip("address", "add", f"10.213.{os.getpid() % 250}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        with tempfile.TemporaryDirectory(prefix="akt-") as folder:
            engine = OwnEngine(Path(folder), bridge)
            try:
                yield engine
            finally:
                engine.stop()
    finally:
        _ip("link", "delete", bridge)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


class OwnEngine:
    """A dockerd with its own socket, storage, process file and bridge."""

    def __init__(self, folder: Path, bridge: str) -> None:
        self.folder, self.bridge = folder, bridge
        self.host = f"unix://{folder}/s"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        self._process = await anyio.to_thread.run_sync(self._start)
        with anyio.fail_after(60):
            while not await anyio.to_thread.run_sync(_listens, f"{self.folder}/s"):
                assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
                await anyio.sleep(0.1)

    def _start(self) -> subprocess.Popen[bytes]:
        name, folder = self.bridge, self.folder
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                ["dockerd", "--host", self.host, "--bridge", name, "--iptables=false",
                 "--data-root", str(folder / "data"), "--exec-root", str(folder / "run"),
                 "--pidfile", str(folder / "pid"), "--containerd-namespace", name,
                 "--containerd-plugins-namespace", f"{name}-plugins"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    def stop(self) -> None:
        """As a service manager does; its containers end with it, and it unmounts what it used."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


# The docker package forgets the socket of a connection that was refused.
@pytest.mark.filterwarnings("ignore:unclosed <socket.socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_engine_that_restarts_under_a_call(
    own_engine: OwnEngine, busybox_image: str, tmp_path: Path
) -> None:
    """Its containers stop with it: the call ends, the next one works, the state is kept."""
    workspace = tmp_path / "work"
    workspace.mkdir()
    sandbox = None
    try:
        await own_engine.start()
        first, second = ENGINE.from_env(), ENGINE.DockerClient(base_url=own_engine.host)
        second.images.load(b"".join(first.images.get(busybox_image).save(named=True)))
        first.close()
        second.close()
        provider = Docker(workspace=workspace, image=busybox_image, host=own_engine.host)
        sandbox = await provider.open("restart")
        shell = await sandbox.shell()
        await shell.run("cd /tmp; export KEEP=kept")
        seen: list[bytes] = []

        async def call() -> None:
            with pytest.raises(EngineUnavailable, match="stopped answering"):
                await shell.run(
                    "echo partial; : >/workspace/begun; sleep 1000", on_output=seen.append
                )

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await begun(workspace / "begun")
                await anyio.to_thread.run_sync(own_engine.stop)
        assert seen == [b"partial\n"]
        await own_engine.start()
        result = await shell.run('echo "$KEEP:$PWD"')
        assert (result.output.data, result.shell_restarted) == (b"kept:/tmp\n", True)
        probe = await sandbox.exec("ps | grep -c '[s]leep 1000'")
        assert probe.output.data == b"0\n"
    finally:
        if sandbox is not None:
            await sandbox.close()
        own_engine.stop()
