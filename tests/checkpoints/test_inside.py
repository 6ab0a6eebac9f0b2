"""Workspaces that only their sandbox sees: the same trees, with whatever tools the image has."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentkit.checkpoints.folder import Bounds, Scan, TooMany, plan
from agentkit.checkpoints.host import HostFolder
from agentkit.checkpoints.inside import InnerFolder
from agentkit.checkpoints.tree import flat
from agentkit.sandbox import Sandbox
from agentkit.sandboxes import Container, Docker, Local
from agentkit.tools import coder

from .conftest import agent, listing
from .test_restore import Shelf, add_much, change_modes, delete_all, fill, overwrite, swap_kinds

pytestmark = pytest.mark.anyio

TOOLS = ["gnu", "busybox", "no tar"]


@asynccontextmanager
async def sandbox_with(tools: str, folder: Path) -> AsyncGenerator[Sandbox]:
    """A local sandbox whose commands are those of that kind of image."""
    bin_ = folder.parent / "bin"
    bin_.mkdir(exist_ok=True)
    env: dict[str, str] = {}
    if tools == "busybox":
        for name in ("find", "stat", "tar", "readlink", "rm", "rmdir", "mkdir", "chmod", "date"):
            (bin_ / name).symlink_to("/bin/busybox")
        env["PATH"] = f"{bin_}:/usr/bin:/bin"
    elif tools == "no tar":
        for name in (
            "find", "stat", "readlink", "rm", "rmdir", "mkdir", "chmod", "date", "sh", "cat",
            "head", "mv", "ln", "sleep",
        ):  # fmt: skip
            (bin_ / name).symlink_to(f"/bin/{name}")
        env["PATH"] = str(bin_)
    sandbox = await Local(workspace=folder, env=env).open("inside")
    try:
        yield sandbox
    finally:
        await sandbox.close()


@pytest.mark.parametrize("tools", TOOLS)
async def test_both_readers_see_the_same_tree(tools: str, workspace: Path) -> None:
    fill(workspace)
    (workspace / ".gitignore").write_text("*.log\n")
    (workspace / "src/deep/.gitignore").write_text("!b.log\n")
    for name in ("a.log", "src/deep/b.log", "node_modules"):
        (workspace / name).write_text("x")
    seen = HostFolder(workspace, Bounds())
    expected = await seen.scan(Scan(), Shelf())
    async with sandbox_with(tools, workspace) as sandbox:
        inner = InnerFolder(sandbox, Bounds())
        scan = await inner.scan(Scan(), Shelf())
        assert scan.tree == expected.tree
        assert (scan.files, scan.size, scan.skipped) == (expected.files, expected.size, [])
        assert "src/deep/b.log" in dict(flat(scan.tree))


@pytest.mark.parametrize("tools", TOOLS)
@pytest.mark.parametrize("change", [overwrite, delete_all, change_modes, swap_kinds, add_much])
async def test_the_exact_tree_comes_back(tools: str, change: object, workspace: Path) -> None:
    assert callable(change)
    fill(workspace)
    before, shelf = listing(workspace), Shelf()
    async with sandbox_with(tools, workspace) as sandbox:
        inner = InnerFolder(sandbox, Bounds())
        first = await inner.scan(Scan(), shelf)
        change(workspace)
        second = await inner.scan(first, shelf)
        await inner.apply(plan(second.tree, first.tree), shelf)
    after = {path: facts for path, facts in listing(workspace).items() if facts[0] != "other"}
    assert after == before


async def test_bounds_hold(workspace: Path) -> None:
    for number in range(30):
        (workspace / str(number)).write_bytes(b"x" * number)
    async with sandbox_with("gnu", workspace) as sandbox:
        with pytest.raises(TooMany):
            await InnerFolder(sandbox, Bounds(files=20)).scan(Scan(), Shelf())
        scan = await InnerFolder(sandbox, Bounds(file_bytes=10)).scan(Scan(), Shelf())
        assert sum(not entry.kept for _, entry in flat(scan.tree)) == 19


@pytest.mark.docker
async def test_a_copied_workspace_and_somebodys_container(workspace: Path) -> None:
    (workspace / "a.py").write_text("1\n")
    provider = Docker(workspace=workspace, workspace_mode="copy")
    async with agent(provider, tools=coder()).session() as session:
        first = await session.checkpoints.take("first")
        sandbox = await session.sandbox()
        await sandbox.exec("echo 2 >/workspace/a.py; ln -s a.py /workspace/l; mkdir /workspace/d")
        changes = await session.checkpoints.diff(first.id)
        assert {each.path: each.what for each in changes.files} == {"a.py": "changed", "l": "added"}
        container = Container(name=str(sandbox.ref["container"]), workdir="/workspace")
        async with agent(container, tools=coder()).session() as other:
            second = await other.checkpoints.take("theirs")
            await sandbox.exec("rm -r /workspace/*")
            await other.checkpoints.restore(second.id)
        await session.checkpoints.restore(first.id)
        ran = await sandbox.exec("cd /workspace; ls -A; cat a.py")
        assert ran.output.data == b"a.py\n1\n"
    assert (workspace / "a.py").read_text() == "1\n"
