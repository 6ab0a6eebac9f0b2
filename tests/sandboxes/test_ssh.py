"""A remote engine over ssh: the docker package starts an ``ssh`` of ours that reaches this one."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit.errors import EngineUnavailable
from agentkit.sandboxes import Docker

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


@pytest.fixture(autouse=True)
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program named ssh, first on the path."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    stub = Path(__file__).with_name("ssh_stub.py")
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {stub} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


async def test_every_kind_of_stream_works_over_ssh(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    # The workspace of a remote engine would be copied; this engine sees it all the same.
    sandbox = await Docker(workspace=workspace, host="ssh://me@engine.example:22").open("ssh")
    try:
        assert sandbox.host_workspace is None
        shell = await sandbox.shell()
        assert (await shell.run("export A=1; cd /tmp; (exit 7)")).exit_code == 7
        assert (await shell.run("echo $A; pwd")).output.data == b"1\n/tmp\n"
        assert (await shell.run("yes", flood_limit=4 << 20)).ended == "flood"
        assert (await shell.run("sleep 60", timeout=0.2)).exit_code == 124
        data = bytes(range(256)) * 4096
        assert (await sandbox.exec("cat", stdin=data)).output.data == data
        job = await sandbox.start_job("read x; echo got $x; exit 3")
        await job.write(b"words\n", end=True)
        assert await job.wait(20) == 3
        assert (await job.poll()).data == b"got words\n"
        pty = await sandbox.open_pty("echo early; exit 4")
        seen = b""
        while pty.exit_code is None:
            seen += await pty.read(timeout=5)
        assert (seen, pty.exit_code) == (b"early\r\n", 4)
        await pty.close()
        (tmp_path / "large").write_bytes(data)
        await sandbox.upload(tmp_path / "large", "up/large")
        await sandbox.download("up", tmp_path / "back")
        assert (tmp_path / "back" / "large").read_bytes() == data
    finally:
        await sandbox.close()


async def test_a_host_that_ssh_cannot_reach(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="no container engine answers") as caught:
        await Docker(workspace=tmp_path, host="ssh://me@elsewhere.example").open("ssh")
    assert caught.value.tried == "ssh://me@elsewhere.example"
