"""Snapshots, forks and merges: what is kept, what is apart, and what comes home."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import anyio
import docker
import pytest
from docker.errors import ImageNotFound

from agentkit.errors import SandboxError, SandboxGone, UsageError, WorkspaceError
from agentkit.sandbox import Sandbox
from agentkit.sandboxes import Container, Docker, Local

Kind = Literal["mount", "copy", "local"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src/app.py").write_text("one\ntwo\n")
    (folder / "run.sh").write_text("#!/bin/sh\necho hi\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "old.txt").write_text("going\n")
    (folder / "link").symlink_to("src/app.py")
    (folder / "data.bin").write_bytes(bytes(range(256)))
    os.link(folder / "data.bin", folder / "hard.bin")
    return folder


@pytest.fixture(
    params=[
        pytest.param("mount", marks=pytest.mark.docker),
        pytest.param("copy", marks=pytest.mark.docker),
        "local",
    ]
)
async def origin(request: pytest.FixtureRequest, project: Path) -> AsyncIterator[Sandbox]:
    kind: Kind = request.param
    provider = (
        Local(workspace=project)
        if kind == "local"
        else Docker(workspace=project, workspace_mode=kind)
    )
    sandbox = await provider.open("fork-test")
    yield sandbox
    await sandbox.close()


async def sh(sandbox: Sandbox, command: str) -> str:
    result = await sandbox.exec(command)
    assert result.ok, result
    return result.output.data.decode()


EDITS = r"""
printf 'one\n2\n' >src/app.py
printf 'b\000in' >"with space and 'quote'"
mkdir -p deep/er && printf 'x' >deep/er/new.sh && chmod +x deep/er/new.sh
rm old.txt && rm link && ln -s run.sh link
chmod -x run.sh
rm hard.bin && mkdir hard.bin && echo dir >hard.bin/inside
"""


async def test_a_fork_is_apart_and_its_changes_come_home(origin: Sandbox) -> None:
    assert origin.capabilities.fork
    fork = await origin.fork("child")
    try:
        assert await sh(fork, "cat src/app.py; readlink link; test -x run.sh") == (
            "one\ntwo\nsrc/app.py\n"
        )
        assert await fork.changes() == b""
        await sh(fork, EDITS)
        await sh(origin, "echo own >origin-only.txt")
        assert await sh(origin, "cat src/app.py old.txt") == "one\ntwo\ngoing\n"
        assert await fork.stat("origin-only.txt") is None

        changed = await origin.merge(fork)
    finally:
        await fork.close()

    assert changed == [
        "deep/er/new.sh",
        "hard.bin",
        "hard.bin/inside",
        "link",
        "old.txt",
        "run.sh",
        "src/app.py",
        "with space and 'quote'",
    ]
    assert await origin.read_file("src/app.py") == b"one\n2\n"
    assert await origin.read_file("with space and 'quote'") == b"b\0in"
    facts = "test -x deep/er/new.sh; test ! -x run.sh; test ! -e old.txt"
    assert (
        await sh(origin, f"set -e; {facts}; readlink link; cat hard.bin/inside") == "run.sh\ndir\n"
    )
    assert await sh(origin, "cat origin-only.txt") == "own\n"


async def test_a_merge_refuses_what_was_changed_on_both_sides(origin: Sandbox) -> None:
    fork = await origin.fork("child")
    try:
        await sh(fork, "echo fork >src/app.py; echo new >new.txt")
        await sh(origin, "echo origin >src/app.py")
        with pytest.raises(WorkspaceError, match=r"1 of 2 changed files.*src/app\.py"):
            await origin.merge(fork)
        assert await sh(origin, "cat src/app.py; ls new.txt 2>/dev/null || :") == "origin\n"
        # Both to the same content: nothing to lose.
        await sh(origin, "echo fork >src/app.py")
        assert await origin.merge(fork) == ["new.txt", "src/app.py"]
    finally:
        await fork.close()


async def test_forks_of_forks_and_two_at_once(origin: Sandbox) -> None:
    first = await origin.fork("a")
    second = await origin.fork("b")
    try:
        await sh(first, "echo a >who")
        await sh(second, "echo b >who")
        grandchild = await first.fork("a-a")
        try:
            assert await sh(grandchild, "cat who") == "a\n"
            # Its changes are counted from where it was forked.
            await sh(grandchild, "echo more >more")
            assert await first.merge(grandchild) == ["more"]
        finally:
            await grandchild.close()
        assert await origin.merge(first) == ["more", "who"]
        with pytest.raises(WorkspaceError):
            await origin.merge(second)
    finally:
        await first.close()
        await second.close()


async def test_the_patch_of_a_fork_is_one_that_git_applies(origin: Sandbox, tmp_path: Path) -> None:
    fork = await origin.fork("child")
    try:
        await sh(fork, EDITS)
        patch = await fork.changes()
    finally:
        await fork.close()
    target = tmp_path / "project"
    done = await anyio.run_process(["git", "apply", "-"], cwd=target, input=patch, check=False)
    assert done.returncode == 0, done.stderr
    assert (target / "src/app.py").read_text() == "one\n2\n"
    assert os.readlink(target / "link") == "run.sh"


@pytest.mark.docker
async def test_a_fork_has_the_installed_files_and_leaves_no_image(project: Path) -> None:
    origin = await Docker(workspace=project, user="0:0").open("s")
    client = docker.from_env()
    try:
        await sh(origin, "echo installed >/usr/local/share/thing")
        fork = await origin.fork("child")
        image = fork.ref["fork"]
        try:
            assert client.images.get(image)
            assert await sh(fork, "cat /usr/local/share/thing; pwd; id -u") == (
                "installed\n/workspace\n0\n"
            )
            await sh(fork, "rm /usr/local/share/thing")
            assert await sh(origin, "cat /usr/local/share/thing") == "installed\n"
            again = await Docker(workspace=project).reopen(fork.ref)
            await sh(again, "echo x >y")
            assert b"+++ b/y" in await again.changes()
            await again.close()
        finally:
            await fork.close()
        with pytest.raises(ImageNotFound):
            client.images.get(image)
    finally:
        client.close()
        await origin.close()


@pytest.mark.docker
@pytest.mark.parametrize("mode", ["mount", "copy"])
async def test_a_snapshot_outlives_its_sandbox(
    project: Path, mode: Literal["mount", "copy"]
) -> None:
    provider = Docker(workspace=project, workspace_mode=mode)
    sandbox = await provider.open("s")
    await sh(sandbox, "echo kept >/tmp/kept; echo edited >src/app.py; rm old.txt")
    snapshot = await sandbox.snapshot()
    await sh(sandbox, "echo later >/tmp/later")
    await sandbox.close()
    try:
        restored = await provider.restore(snapshot, "s")
        try:
            seen = await sh(restored, "cat /tmp/kept src/app.py; ls /tmp/later old.txt 2>&1 || :")
            assert seen.startswith("kept\nedited\n")
            assert seen.count("No such file") == 2
            if mode == "copy":
                patch = await restored.changes()
                assert b"+edited" in patch
                assert b"deleted file" in patch
        finally:
            await restored.close()
    finally:
        await provider.forget(snapshot)
    with pytest.raises(SandboxGone, match="no longer exists"):
        await provider.restore(snapshot, "s")
    await provider.forget(snapshot)


@pytest.mark.docker
async def test_what_cannot_be_done_is_said(project: Path) -> None:
    ours = await Docker(workspace=project).open("s")
    local = await Local(workspace=project).open("s")
    try:
        with pytest.raises(UsageError, match="mounted"):
            await ours.changes()
        with pytest.raises(UsageError, match="no copy"):
            await local.changes()
        with pytest.raises(SandboxError, match="snapshot"):
            await local.snapshot()
        with pytest.raises(SandboxError, match="not a snapshot of a Docker"):
            await Docker(workspace=project).restore({"kind": "other"}, "s")
        theirs = await Container(name=ours.ref["container"]).open("s")
        assert not theirs.capabilities.fork
        with pytest.raises(SandboxError, match="cannot be forked"):
            await theirs.fork("x")
        await theirs.close()
    finally:
        await local.close()
        await ours.close()


async def test_a_local_fork_is_removed_with_its_folder(project: Path) -> None:
    origin = await Local(workspace=project).open("s")
    os.mkfifo(project / "pipe")
    fork = await origin.fork("child")
    folder = anyio.Path(fork.workdir)
    assert await folder.is_dir()
    assert not await (folder / "pipe").exists()
    await fork.close()
    await origin.close()
    assert not await folder.exists()
