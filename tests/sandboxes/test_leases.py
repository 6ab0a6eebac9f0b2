"""Nothing is left behind: not by a process that was killed, and never somebody else's container."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest

from agentkit.sandboxes import Docker
from agentkit.sandboxes._owner import OWNER, SESSION, owner_dead, owner_now
from agentkit.sandboxes._snapshots import KIND

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

LEASE = 3

VICTIM = """
import sys
import anyio
from agentkit.sandboxes import Docker

async def main():
    folder, session, lease = sys.argv[1:]
    sandbox = await Docker(workspace=folder, lease=float(lease)).open(session)
    fork = await sandbox.fork(session)
    shell = await sandbox.shell()
    await shell.run("(while :; do date +%s.%N >beat; sleep 0.1; done) & setsid sleep 1000 &")
    def told(piece):
        print("busy", flush=True)
    await shell.run("echo busy; sleep 1000", on_output=told)

anyio.run(main)
"""


@pytest.fixture
def client() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


def of_session(client: Any, session: str) -> list[dict[str, Any]]:
    wanted = {"label": [f"{SESSION}={session}"]}
    return client.api.containers(all=True, filters=wanted)


def killed(folder: Path, lease: float) -> str:
    """The session of a process that was killed with SIGKILL in the middle of a command."""
    session = f"victim-{os.getpid()}-{time.monotonic_ns()}"
    command = [sys.executable, "-c", VICTIM, str(folder), session, str(lease)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"busy\n"
        process.kill()
    return session


def wait_for(condition: Any, limit: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit
        time.sleep(0.1)
    return time.monotonic() - started


def test_a_killed_process_leaves_nothing_that_runs(client: Any, tmp_path: Path) -> None:
    session = killed(tmp_path, LEASE)
    left = of_session(client, session)
    assert len(left) == 2, "the sandbox and its fork"
    owners = {entry["Labels"][OWNER] for entry in left}
    assert len(owners) == 1
    assert all(owner_dead(owner) for owner in owners)

    def none_runs() -> bool:
        return all(entry["State"] != "running" for entry in of_session(client, session))

    wait_for(none_runs, LEASE + 20)
    beat = (tmp_path / "beat").read_bytes()

    # The next start of anybody removes what is left, with the fork's image.
    anyio.run(open_and_close, tmp_path)
    assert of_session(client, session) == []
    images = client.api.images(filters={"label": [KIND, f"{SESSION}={session}"]})
    assert images == []
    assert (tmp_path / "beat").read_bytes() == beat


async def open_and_close(workspace: Path) -> None:
    await (await Docker(workspace=workspace).open("sweeper")).close()


def test_prune_takes_what_is_left_over_and_nothing_else(client: Any, tmp_path: Path) -> None:
    session = killed(tmp_path, 60)

    # A container of somebody alive, in the same session.
    async def alive() -> str:
        sandbox = await Docker(workspace=tmp_path).open(session)
        try:
            listed = await agentkit("sandbox", "list")
            mine = [line for line in listed.splitlines() if line.endswith(session)]
            assert sum("left over" in line for line in mine) == 2
            assert sum("in use" in line for line in mine) == 1
            pruned = await agentkit("sandbox", "prune", "--session", session)
            assert pruned.startswith("removed ")
            assert pruned.count(",") == 1
            names = [entry["Id"] for entry in of_session(client, session)]
            assert names == [sandbox.ref["container"]]
            assert (await sandbox.exec("echo lives")).output.data == b"lives\n"
            assert await agentkit("sandbox", "prune", "--session", session) == "nothing to remove\n"
            return sandbox.ref["container"]
        finally:
            await sandbox.close()

    anyio.run(alive)
    assert of_session(client, session) == []


async def agentkit(*arguments: str) -> str:
    done = await anyio.run_process([sys.executable, "-m", "agentkit.cli", *arguments])
    return done.stdout.decode()


def test_a_lease_does_not_end_a_sandbox_in_use(tmp_path: Path) -> None:
    async def use() -> None:
        sandbox = await Docker(workspace=tmp_path, lease=1).open("lease")
        try:
            assert (await sandbox.exec("sleep 3; echo lives")).output.data == b"lives\n"
        finally:
            await sandbox.close()

    anyio.run(use)


def test_who_owns_what() -> None:
    mine = owner_now()
    assert not owner_dead(mine)
    machine, boot, namespace, pid, started = mine.split(":")
    # Another process has got the number meanwhile.
    assert owner_dead(":".join((machine, boot, namespace, pid, str(int(started) + 1))))
    assert owner_dead(":".join((machine, boot, namespace, str(2**22 + 5), started)))
    assert owner_dead(":".join((machine, "another-boot", namespace, pid, started)))
    # What cannot be known is not dead: another machine, another container, words.
    assert not owner_dead(":".join(("other-machine", boot, namespace, pid, "1")))
    assert not owner_dead(":".join((machine, boot, "4026000000", pid, "1")))
    assert not owner_dead("")
    assert not owner_dead("nonsense")
