"""Every kind of stream that a way to the engine has to carry."""

from __future__ import annotations

from pathlib import Path

from agentkit.sandbox import Sandbox


async def use_every_stream(sandbox: Sandbox, folder: Path) -> None:
    """Shell, flood, time limit, input, job, terminal, upload and download."""
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
    (folder / "large").write_bytes(data)
    await sandbox.upload(folder / "large", "up/large")
    await sandbox.download("up", folder / "back")
    assert (folder / "back" / "large").read_bytes() == data
