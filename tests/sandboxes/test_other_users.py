"""A command that becomes another user ends with its limit all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest

from agentkit.sandbox import Sandbox
from agentkit.sandboxes import Container, Docker
from agentkit.sandboxes.images import ensure_base_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

BECOME = "import os, sys, time; os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]));"


def as_user(uid: int, program: str = "python3", *, seconds: int = 4716) -> str:
    return f"{program} -c '{BECOME} time.sleep({seconds})' {uid}"


def running(container: str, argument: str) -> list[str]:
    """Whose processes there have that in their command line, as this machine sees them."""
    top = ["docker", "top", container, "-eo", "pid,uid,args"]
    listed = subprocess.run(top, capture_output=True, text=True, check=True).stdout
    mine = [line.split(None, 2) for line in listed.splitlines()[1:]]
    return [uid for _, uid, arguments in mine if f"sleep({argument})" in arguments]


@pytest.fixture
def theirs() -> Iterator[str]:
    """Somebody's container with a program in it that makes everybody root, as sudo does."""
    client: Any = docker.from_env()
    container = client.containers.run(
        ensure_base_image(client, progress=print),
        ["sleep", "infinity"],
        user="1000",
        init=True,
        network_mode="none",
        detach=True,
    )
    try:
        make = "cp $(readlink -f $(command -v python3)) /usr/bin/sudoed; chmod 4755 /usr/bin/sudoed"
        made = container.exec_run(["bash", "-c", make], user="0")
        assert made.exit_code == 0, made
        yield container.id
    finally:
        container.remove(force=True)
        client.close()


async def ends_at_its_limit(sandbox: Sandbox, container: str, command: str) -> None:
    shell = await sandbox.shell()
    await shell.run("cd /tmp; export KEPT=yes; sleep 4717 & true")
    # A child of its own session, too, and one that must die although the other cannot be stopped.
    told = await shell.run(f"setsid {command} & sleep 4716 & {command}", timeout=1.5)
    assert told.ended == "timeout"
    assert running(container, "4716") == []
    probe = await shell.run("echo $KEPT; pwd; pgrep -fc '[s]leep 4717'; pgrep -fc '[s]leep 4716'")
    assert probe.output.data == b"yes\n/tmp\n1\n0\n"


async def test_in_somebody_else_s_container(theirs: str) -> None:
    sandbox = await Container(name=theirs).open("sudo")
    try:
        await ends_at_its_limit(sandbox, theirs, as_user(0, "sudoed"))
        shell = await sandbox.shell("second")
        left = await shell.run(f"{as_user(0, 'sudoed', seconds=4718)} & id -u")
        assert left.output.data == b"1000\n"
        with anyio.fail_after(60):
            while running(theirs, "4718") != ["0"]:
                await anyio.lowlevel.checkpoint()  # each look is a process
    finally:
        await sandbox.close()
    assert running(theirs, "4718") == []


async def test_under_the_profile_for_package_managers(tmp_path: Path) -> None:
    sandbox = await Docker(workspace=tmp_path, profile="install", user="0").open("users")
    try:
        await ends_at_its_limit(sandbox, sandbox.ref["container"], as_user(12345))
    finally:
        await sandbox.close()
