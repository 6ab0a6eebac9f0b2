"""The warm pool: ready at once, one use each, nothing left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import docker
import pytest

from agentkit.errors import ImageError, SandboxGone, UsageError
from agentkit.sandboxes import Docker, Pool

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    (path / "a.txt").write_text("a\n")
    return path


async def test_a_sandbox_is_ready_and_used_once(workspace: Path) -> None:
    async with Pool(Docker(workspace=workspace), size=2) as pool:
        await pool.full()
        first = await pool.open("one")
        second = await pool.open("two")
        containers = {first.ref["container"], second.ref["container"]}
        shell = await first.shell()
        assert (await shell.run("cat a.txt; touch /tmp/mine")).output.data == b"a\n"
        assert (await second.exec("ls /tmp/mine")).exit_code != 0
        await first.close()
        await second.close()
        await pool.full()
        third = await pool.open("three")
        assert third.ref["container"] not in containers
        await third.close()


async def test_more_than_are_ready_are_made_now(workspace: Path) -> None:
    async with Pool(Docker(workspace=workspace), size=1) as pool:
        sandboxes: list[Any] = []

        async def take(name: str) -> None:
            sandboxes.append(await pool.open(name))

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(take, f"s{number}")
        assert len({each.ref["container"] for each in sandboxes}) == 3
        for each in sandboxes:
            await each.close()


async def test_a_copy_is_as_the_folder_is_when_it_is_taken(workspace: Path) -> None:
    async with Pool(Docker(workspace=workspace, workspace_mode="copy"), size=1) as pool:
        await pool.full()
        (workspace / "a.txt").write_text("changed\n")
        sandbox = await pool.open("copy")
        try:
            assert (await sandbox.exec("cat a.txt")).output.data == b"changed\n"
            await sandbox.exec("echo more >>a.txt")
            assert b"+more" in await sandbox.changes()
        finally:
            await sandbox.close()


async def test_one_that_died_while_it_waited_is_not_handed_out(workspace: Path) -> None:
    client: Any = docker.from_env()
    try:
        async with Pool(Docker(workspace=workspace), size=1) as pool:
            await pool.full()
            waiting = await pool.open("look")
            dead = waiting.ref["container"]
            # Put back by hand: it stands for one that the engine or somebody else removed.
            pool._ready.appendleft(waiting)  # pyright: ignore[reportPrivateUsage]
            client.api.remove_container(dead, force=True)
            # Its shells end with it, and so their streams.
            with pytest.raises(SandboxGone):
                await waiting.exec("echo lost")
            assert not waiting.alive()
            sandbox = await pool.open("use")
            assert sandbox.ref["container"] != dead
            assert (await sandbox.exec("echo fine")).output.data == b"fine\n"
            await sandbox.close()
    finally:
        client.close()


async def test_what_cannot_be_made_is_said(workspace: Path) -> None:
    with pytest.raises(UsageError, match="holds nothing"):
        Pool(Docker(workspace=workspace), size=0)
    pool = Pool(Docker(workspace=workspace, image="registry.invalid/no/such:1"))
    with pytest.raises(UsageError, match="not open"):
        await pool.open("s")
    async with pool:
        with pytest.raises(ImageError):
            await pool.full()
        with pytest.raises(ImageError):
            await pool.open("s")


async def test_leaving_the_pool_removes_those_that_wait(workspace: Path) -> None:
    async with Pool(Docker(workspace=workspace), size=2):
        pass
    # The check after all tests of this folder finds what would be left.
