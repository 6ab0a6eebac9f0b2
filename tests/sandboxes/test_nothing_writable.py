"""Hostile commands as a user without a single path to write to, in somebody else's container."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import docker
import pytest

from agentkit.sandbox import Sandbox
from agentkit.sandboxes import Container
from agentkit.sandboxes._create import first_process
from agentkit.sandboxes.images import ensure_base_image
from tests.sandboxes.hostile_cases import INVENTED, Case

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

ENGINE: Any = docker
WRITES = ("/tmp", "mktemp")
CASES = [
    case
    for case in INVENTED
    if not case.kills_state and not any(word in case.command for word in WRITES)
]


@pytest.fixture(params=["busybox", "dash", "bash"])
async def sandbox(request: pytest.FixtureRequest, busybox_image: str) -> AsyncIterator[Sandbox]:
    kind: Literal["sh", "auto"] = "auto" if request.param == "bash" else "sh"
    client = ENGINE.from_env()
    own = request.param == "busybox"
    image = busybox_image if own else ensure_base_image(client, progress=print)
    container = client.containers.run(
        image,
        entrypoint=first_process(300),
        user="1000:1000",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        ipc_mode="none",
        network_mode="none",
        pids_limit=128,
        detach=True,
    )
    try:
        sandbox = await Container(name=container.id, workdir="/", shell=kind).open("ro")
        yield sandbox
        await sandbox.close()
    finally:
        container.remove(force=True)
        client.close()


async def test_hostile_commands_without_a_writable_path(sandbox: Sandbox) -> None:
    nowhere = "for d in / /tmp /var/tmp /dev/shm /root; do : >$d/x && echo $d; done 2>/dev/null"
    assert (await sandbox.exec(nowhere)).output.data == b""
    shell = await sandbox.shell()
    await shell.run("cd /proc; export KEEP=kept")
    for case in CASES:
        result = await shell.run(case.command, timeout=case.timeout, keep=case.keep)
        assert result.exit_code in _codes(case), (case, result)
        probe = await shell.run('echo "alive:$KEEP"', timeout=20)
        assert (probe.exit_code, probe.output.data[-11:]) == (0, b"alive:kept\n"), case
        if not case.jobs:
            left = await sandbox.exec("ps -o args 2>/dev/null | grep -c '[s]leep 6'")
            assert left.output.data == b"0\n", case


def _codes(case: Case) -> tuple[int, ...]:
    return (case.code,) if isinstance(case.code, int) else case.code
