"""Nothing is left behind: not by a process that was killed, and never somebody else's container."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest
from docker.errors import NotFound

from agentkit.evals.local import LocalRunner
from agentkit.sandboxes import Docker
from agentkit.sandboxes._create import first_process
from agentkit.sandboxes._owner import FINAL, LABEL, OWNER, SESSION, owner_dead, owner_now
from agentkit.sandboxes._scripts import CONTROL_ARGUMENTS
from agentkit.sandboxes._snapshots import KIND
from agentkit.sandboxes.images import ensure_base_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

LEASE = 3

VICTIM = """
import json
import sys
import anyio
from agentkit.sandboxes import Docker

async def main():
    folder, session, lease = sys.argv[1:]
    sandbox = await Docker(workspace=folder, lease=float(lease)).open(session)
    print(json.dumps(dict(sandbox.ref)), flush=True)
    fork = await sandbox.fork(session)
    shell = await sandbox.shell()
    await shell.run("(while :; do date +%s.%N >beat; sleep 0.1; done) & setsid sleep 1000 &")
    def told(piece):
        print("busy", flush=True)
    await shell.run("echo busy; sleep 1000", on_output=told)

anyio.run(main)
"""

UNKNOWING = """
import os, signal
from agentkit.sandboxes import docker

create = docker.create_container

async def create_and_die(*arguments):
    await create(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

docker.create_container = create_and_die
"""
"""It is killed at the very moment at which it gets to know of its container."""


@pytest.fixture
def client() -> Iterator[Any]:
    client = docker.from_env()
    yield client
    client.close()


def of_session(client: Any, session: str) -> list[dict[str, Any]]:
    wanted = {"label": [f"{SESSION}={session}"]}
    return client.api.containers(all=True, filters=wanted)


def killed(folder: Path, lease: float) -> tuple[str, dict[str, str]]:
    """Session and sandbox of a process that was killed with SIGKILL in the middle of a command."""
    session = f"victim-{os.getpid()}-{time.monotonic_ns()}"
    command = [sys.executable, "-c", VICTIM, str(folder), session, str(lease)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        ref = json.loads(process.stdout.readline())
        assert process.stdout.readline() == b"busy\n"
        process.kill()
    return session, ref


def wait_for(condition: Any, limit: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit
        time.sleep(0.1)
    return time.monotonic() - started


def test_a_killed_process_leaves_nothing_that_runs(client: Any, tmp_path: Path) -> None:
    session, _ = killed(tmp_path, LEASE)
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
    session, _ = killed(tmp_path, 60)

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


def test_a_reopened_sandbox_is_in_use(client: Any, tmp_path: Path) -> None:
    """Its label names the dead process that made it; it stays for the one that has it now."""
    session, ref = killed(tmp_path, LEASE)

    async def use() -> None:
        sandbox = await Docker(workspace=tmp_path, lease=LEASE).reopen(ref)
        try:
            mine = ref["container"][:12]
            await open_and_close(tmp_path)  # another start of agentkit
            listed = await agentkit("sandbox", "list")
            told = [line for line in listed.splitlines() if line.startswith(mine)]
            assert ["in use" in line for line in told] == [True]
            assert mine not in await agentkit("sandbox", "prune", "--session", session)
            shell = await sandbox.shell()
            result = await shell.run(f"sleep {LEASE + 3}; echo lives")
            assert (result.output.data, result.ended) == (b"lives\n", "exit")
            assert started == began(), "it was not started again"
        finally:
            await sandbox.close()

    def began() -> str:
        return client.api.inspect_container(ref["container"])["State"]["StartedAt"]

    started = began()
    anyio.run(use)
    anyio.run(open_and_close, tmp_path)


def test_an_evaluation_leaves_what_can_be_reopened(client: Any, tmp_path: Path) -> None:
    """It once removed the sandbox of a crashed session that was about to be resumed."""
    session, ref = killed(tmp_path, 300)
    gone = ":".join((*owner_now().split(":")[:3], str(2**22 + 5), "1"))
    trial = client.containers.run(
        ensure_base_image(client, progress=print),
        ["sleep", "300"],
        network_mode="none",
        detach=True,
        labels={LABEL: "trial", OWNER: gone, FINAL: ""},
    )

    async def evaluate_and_resume() -> None:
        async with LocalRunner.open():
            pass
        sandbox = await Docker(workspace=tmp_path).reopen(ref)
        try:
            assert sandbox.remains is not None
            assert sandbox.remains.killed == {"main"}
        finally:
            await sandbox.close()

    try:
        anyio.run(evaluate_and_resume)
        with pytest.raises(NotFound):
            trial.reload()
    finally:
        anyio.run(agentkit, "sandbox", "prune", "--session", session)
        with suppress(NotFound):
            trial.remove(force=True)


def test_killed_before_anybody_knew_of_the_container(client: Any, tmp_path: Path) -> None:
    """No reference was kept, so nobody can reopen it: it ends by itself, and is then removed."""
    session = f"unknown-{os.getpid()}-{time.monotonic_ns()}"
    command = [sys.executable, "-c", UNKNOWING + VICTIM, str(tmp_path), session, str(LEASE)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
    wait_for(
        lambda: all(entry["State"] != "running" for entry in of_session(client, session)),
        LEASE + 20,
    )
    anyio.run(open_and_close, tmp_path)
    assert of_session(client, session) == []


GRABBER = """
import os, sys, time
end = time.time() + float(sys.argv[1])
while time.time() < end:
    try:
        if os.fork() == 0:
            time.sleep(max(0, end - time.time()))
            os._exit(0)
    except OSError:
        time.sleep(0.001)
"""
"""Takes every process that the limit leaves, also those that become free."""

BASH_GIVES_UP = 15
"""Seconds that bash tries to start a process."""


@pytest.fixture
def firsts(client: Any, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Containers with a limit on processes, in which three shells are process 1."""
    busybox = shutil.which("busybox")
    assert busybox is not None, "scripts/ensure-test-tools installs it"
    (tmp_path / "grab.py").write_text(GRABBER)
    shutil.copy(busybox, tmp_path / "busybox")
    tmp_path.chmod(0o755)
    made: dict[str, Any] = {}
    image = ensure_base_image(client, progress=print)
    shells = {"dash": ["/bin/dash"], "ash": ["/srv/busybox", "ash"], "bash": ["/bin/bash"]}
    try:
        for name, shell in shells.items():
            made[name] = client.containers.run(
                image,
                entrypoint=[*shell, *first_process(1)[1:]],
                volumes={str(tmp_path): {"bind": "/srv", "mode": "ro"}},
                network_mode="none",
                pids_limit=20,
                detach=True,
            )
        yield made
    finally:
        for each in made.values():
            each.remove(force=True)


def state(container: Any) -> str:
    container.reload()
    return container.status


def grab(container: Any, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["docker", "exec", container.id, "python3", "/srv/grab.py", f"{seconds}"]
    )


def attached(container: Any) -> subprocess.Popen[bytes]:
    """A control shell, which is an owner."""
    command = ["docker", "exec", "-i", container.id, "/bin/sh", *CONTROL_ARGUMENTS]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"trap 'kill -USR1 1' EXIT; echo there\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"there\n"
    return process


def test_no_process_can_be_started(firsts: dict[str, Any]) -> None:
    """Process 1 outlives that while an owner is there, and ends when none is."""
    owners = {name: attached(each) for name, each in firsts.items()}
    full = [grab(each, BASH_GIVES_UP + 4) for each in firsts.values()]
    for each in full:
        assert each.wait(60) == 0
    assert {name: state(each) for name, each in firsts.items()} == dict.fromkeys(firsts, "running")
    for owner in owners.values():
        assert owner.poll() is None
        owner.communicate()
    wait_for(lambda: {state(each) for each in firsts.values()} == {"exited"}, 60)


def test_nobody_is_there_and_no_process_can_be_started(firsts: dict[str, Any]) -> None:
    full = [grab(firsts[name], 100) for name in ("dash", "ash")]
    wait_for(lambda: state(firsts["dash"]) == state(firsts["ash"]) == "exited", 60)
    for each in full:
        each.wait()


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
