"""What ``Local(namespaces=…)`` promises: everything but the workspace is out of harm's way."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from agentkit.errors import EngineUnavailable, UsageError
from agentkit.sandbox import Sandbox
from agentkit.sandboxes import Local
from agentkit.sandboxes._namespace import unavailable

WITHOUT = unavailable()
SLEEP = f"sleep 4719.{secrets.randbelow(10**9)}"
FIND = ["pgrep", "-f", f"^{SLEEP}"]
needs = pytest.mark.skipif(bool(WITHOUT), reason=f"no namespaces: {WITHOUT}")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder with secrets in it; not below /tmp, which is another one inside."""
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix="agentkit-namespaces-") as folder:
        yield _furnished(Path(folder), monkeypatch)


def _furnished(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (home / ".ssh").mkdir()
    (home / "work").mkdir()
    (home / ".ssh" / "id").write_text("secret key")
    (home / ".git-credentials").write_text("secret password")
    (home / "notes").write_text("mine")
    (home / "cache").mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
async def inside(home: Path) -> AsyncIterator[Sandbox]:
    provider = Local(
        workspace=home / "work", namespaces="required", writable=(str(home / "cache"),)
    )
    sandbox = await provider.open("namespaces")
    yield sandbox
    await sandbox.close()


async def out(sandbox: Sandbox, command: str) -> str:
    result = await (await sandbox.shell()).run(command, timeout=20)
    return result.output.data.decode().strip()


@needs
async def test_only_the_workspace_and_what_was_named_can_be_written(
    inside: Sandbox, home: Path
) -> None:
    tried = f"for f in {home}/notes {home}/new /etc/new /usr/new /var/new; do echo x >$f; done"
    assert (await out(inside, f"({tried}) 2>&1 | grep -c 'Read-only file system'")) == "5"
    assert (home / "notes").read_text() == "mine"
    assert await out(inside, f"echo here >made && echo there >{home}/cache/made && echo ok") == "ok"
    assert (home / "work" / "made").read_text() == "here\n"
    assert (home / "cache" / "made").read_text() == "there\n"


@needs
async def test_tmp_is_its_own_and_is_gone_with_it(inside: Sandbox) -> None:
    name = f"/tmp/agentkit-namespace-{os.getpid()}"
    assert await out(inside, f"echo x >{name} && cat {name}") == "x"
    assert not await anyio.Path(name).exists()


@needs
async def test_secrets_and_engine_sockets_are_not_there(inside: Sandbox, home: Path) -> None:
    assert await out(inside, f"ls -A {home}/.ssh; cat {home}/.git-credentials 2>/dev/null") == ""
    assert await out(inside, f"cat {home}/notes") == "mine"
    assert await out(inside, "test -S /var/run/docker.sock; echo $?") == "1"


@needs
async def test_other_processes_can_be_neither_seen_nor_signalled(inside: Sandbox) -> None:
    async with await anyio.open_process([sys.executable, "-c", "input()"]) as other:
        assert await out(inside, f"grep -sc 'input()' /proc/{other.pid}/cmdline || echo no") == "no"
        assert await out(inside, "kill -9 -1; echo $?") == "0"
        assert other.returncode is None
        other.kill()
        assert await other.wait() == -signal.SIGKILL
    # What killed all that it could see has not broken the sandbox.
    assert await out(inside, "echo alive") == "alive"


@needs
async def test_nothing_outlives_it(home: Path) -> None:
    sandbox = await Local(workspace=home / "work", namespaces="required").open("namespaces")
    await out(sandbox, f"setsid {SLEEP} >/dev/null 2>&1 &")
    with anyio.fail_after(30):
        while (await anyio.run_process(FIND, check=False)).returncode:
            pass  # each look is a process
    await sandbox.close()
    assert (await anyio.run_process(FIND, check=False)).returncode == 1


@needs
async def test_a_time_limit_spares_what_was_started_before(inside: Sandbox) -> None:
    shell = await inside.shell()
    await shell.run("export KEPT=yes; sleep 4720 & true")
    assert (await shell.run("setsid sleep 4721 & sleep 4721", timeout=0.5)).ended == "timeout"
    assert await out(inside, "pgrep -fc '^sleep 4720'; pgrep -fc '^sleep 4721'; echo $KEPT") == (
        "1\n0\nyes"
    )


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without bubblewrap."""
    for name in ("bash", "cat", "mkdir", "rm", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("bare_path")
async def test_where_there_are_none(home: Path) -> None:
    """``auto`` works without, ``required`` says what is missing."""
    with pytest.raises(EngineUnavailable, match="bwrap is not installed") as caught:
        await Local(workspace=home / "work", namespaces="required").open("namespaces")
    assert "Install bubblewrap" in caught.value.hint
    sandbox = await Local(workspace=home / "work", namespaces="auto").open("namespaces")
    try:
        assert await out(sandbox, "echo $((6 * 7))") == "42"
    finally:
        await sandbox.close()


def test_an_unknown_word_is_refused(home: Path) -> None:
    with pytest.raises(UsageError, match="auto, off or required"):
        Local(workspace=home / "work", namespaces="maybe")  # type: ignore[arg-type]
