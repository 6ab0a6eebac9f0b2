"""``HarborSandbox`` over an environment that is this machine, without Harbor."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import anyio

from agentkit.evals.harbor_sandbox import HarborSandbox
from agentkit.sandbox import ExecResult


@dataclass
class Ran:
    return_code: int
    stdout: str
    stderr: str


class Here:
    """Harbor's contract, as far as the sandbox uses it."""

    async def exec(
        self, command: str, cwd: str, env: dict[str, str] | None, timeout_sec: int
    ) -> Ran:
        done = await anyio.run_process(
            ["bash", "-c", command], cwd=cwd, check=False, stdin=subprocess.DEVNULL
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    async def upload_file(self, source: str, target: str) -> None:
        shutil.copyfile(source, target)

    async def download_file(self, source: str, target: Path) -> None:
        shutil.copyfile(source, target)


async def test_overlapping_commands_keep_their_errors_apart(tmp_path: Path) -> None:
    sandbox = HarborSandbox(Here(), str(tmp_path))
    found: dict[int, ExecResult] = {}

    async def say(number: int) -> None:
        command = f"echo error {number} >&2; sleep 0.3; echo output {number}"
        found[number] = await sandbox.exec(command, split=True)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(say, number)
    for number, result in found.items():
        assert result.output.data == f"output {number}\n".encode()
        assert result.stderr is not None
        assert result.stderr.data == f"error {number}\n".encode()
