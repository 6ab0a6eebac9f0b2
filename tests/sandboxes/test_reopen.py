"""A crash of our process: what its sandbox still has when another process opens it again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from agentkit.sandboxes import Docker

pytestmark = pytest.mark.docker

CHILD = """
import anyio, json, sys
from agentkit.sandboxes import Docker

async def main():
    sandbox = await Docker(workspace=sys.argv[1], shell=sys.argv[2]).open("crash")
    shell = await sandbox.shell()
    await shell.run("mkdir -p deep && cd deep; export KEPT='a b'; sleep 4711 & echo $! >../server")
    await shell.run("setsid sleep 4714 & true")
    job = await sandbox.start_job("echo begun; sleep 4712; echo ended", name="long")
    while not (await job.poll()).data:
        pass
    print(json.dumps(dict(sandbox.ref)), flush=True)
    await shell.run("sleep 4713; echo late >../late")

anyio.run(main)
"""


def crashed(kind: str, workspace: Path) -> dict[str, str]:
    """The reference of a sandbox whose process was killed in the middle of a command."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace), kind], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout as told:
        ref: dict[str, str] = json.loads(told.readline())
    child.send_signal(signal.SIGKILL)
    child.wait()
    return ref


@pytest.mark.parametrize("kind", ["bash", "sh"])
async def test_after_kill_9_shell_jobs_and_servers_are_there(kind: str, tmp_path: Path) -> None:
    ref = await anyio.to_thread.run_sync(crashed, kind, tmp_path)
    sandbox = await Docker(workspace=tmp_path).reopen(ref)
    try:
        shell = await sandbox.shell()
        result = await shell.run('echo "$KEPT"; pwd')
        assert result.output.data == b"a b\n/workspace/deep\n"
        assert result.shell_restarted
        server = await sandbox.exec("kill -0 $(cat server) && echo lives")
        assert server.output.data == b"lives\n"
        apart = await sandbox.exec("pgrep -fc '^sleep 4714'")
        assert apart.output.data == b"1\n"
        assert sandbox.remains is not None
        assert sandbox.remains.running == {"main": 2}
        assert [(each.name, each.running) for each in await sandbox.jobs()] == [("long", True)]
        job = await sandbox.job("long")
        assert (await job.poll()).data == b"begun\n"
        assert await job.kill() is not None
        listed = await sandbox.exec("cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'")
        assert b"\n4713\n" not in listed.output.data, "the unfinished command was to be killed"
        assert not (tmp_path / "late").exists()
    finally:
        await sandbox.close()
