"""A remote engine over ssh: this one, by way of a real sshd, and by a stand-in for ``ssh``."""

from __future__ import annotations

import gc
import getpass
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agentkit.errors import EngineUnavailable
from agentkit.sandboxes import Docker

from .streams import use_every_stream

pytestmark = [
    pytest.mark.docker,
    # The docker package neither closes its pipes to ssh nor waits for its end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def rubbish() -> Iterator[None]:
    """What the docker package drops is collected here, and not in somebody else's test."""
    yield
    gc.collect()


SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
NEEDS_SSHD = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None, reason="needs openssh (scripts/ensure-test-tools)"
)

SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
MaxStartups 100
"""

CLIENT = """
IdentityFile {folder}/user
UserKnownHostsFile {folder}/known
StrictHostKeyChecking accept-new
BatchMode yes
"""


def first_on_the_path(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it what the docker package starts as ``ssh``."""
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    program = Path(__file__).with_name("ssh_stub.py")
    script = f'exec {shlex.quote(sys.executable)} {program} "$@"'
    first_on_the_path(tmp_path, script, monkeypatch)
    return "ssh://me@engine.example:22"


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of our own with keys of its own, for the user who runs the tests."""
    assert SSHD is not None
    folder = tmp_path / "ssh"
    folder.mkdir()
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "server").write_text(SERVER.format(port=port, folder=folder))
    (folder / "client").write_text(CLIENT.format(folder=folder))
    first_on_the_path(tmp_path, f'exec /usr/bin/ssh -F {folder}/client "$@"', monkeypatch)
    with suppress(OSError):
        Path("/run/sshd").mkdir(mode=0o755)  # where root's sshd locks its children up
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "server")])
    try:
        give_up = time.monotonic() + 30
        while not _listens(port):
            assert server.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.02)
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        return peer.recv(4) == b"SSH-"
    return False


@pytest.mark.parametrize("way", ["stub", pytest.param("sshd", marks=NEEDS_SSHD)])
async def test_every_kind_of_stream_works_over_ssh(
    way: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    host: str = request.getfixturevalue(way)
    workspace = tmp_path / "work"
    workspace.mkdir()
    # The workspace of a remote engine would be copied; this engine sees it all the same.
    sandbox = await Docker(workspace=workspace, host=host).open("ssh")
    try:
        assert sandbox.host_workspace is None
        await use_every_stream(sandbox, tmp_path)
    finally:
        await sandbox.close()


@pytest.mark.usefixtures("stub")
async def test_a_host_that_ssh_cannot_reach(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="no container engine answers") as caught:
        await Docker(workspace=tmp_path, host="ssh://me@elsewhere.example").open("ssh")
    assert caught.value.tried == "ssh://me@elsewhere.example"
