"""A workspace that was copied into a container: fill it, show its changes, bring them back."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import anyio

from agentkit.sandboxes._engine import Engine
from agentkit.sandboxes._tree import Tree, differing, from_tar, pack

__all__ = ["CopiedWorkspace"]

WORKSPACE = "/workspace"
_BASES = "/var/lib/agentkit"
"""Where the container keeps the copy as it was at first; so it is there after a crash of ours."""
_SPOOL = 8 << 20


class CopiedWorkspace:
    """The copy at /workspace in one container.

    Trees travel as archives, through a file where they are large; in memory are only the files
    that differ.

    Args:
        sandbox_id: a fork's own base lies beside that of the sandbox it was made from.
    """

    def __init__(self, engine: Engine, container: str, sandbox_id: str) -> None:
        self._engine = engine
        self._container = container
        self._base = f"{_BASES}/{sandbox_id}"

    async def upload(self, workspace: Path, uid: int, gid: int) -> None:
        """Fill the copy from a folder of this machine; its files belong to that user inside."""
        with _spool() as archive:
            await anyio.to_thread.run_sync(pack, archive, workspace, WORKSPACE[1:], uid, gid)
            await self._fill(archive)

    async def take(self, origin: str) -> None:
        """Fill the copy from another container's workspace, owners and modes included."""
        with _spool() as archive:
            await CopiedWorkspace(self._engine, origin, "")._read(WORKSPACE, archive)
            await self._fill(archive)

    async def trees(self) -> tuple[Tree, Tree]:
        """The files that differ, as they were and as they are."""
        with _spool() as before, _spool() as after:
            await self._read(f"{self._base}/workspace", before)
            await self._read(WORKSPACE, after)
            return await anyio.to_thread.run_sync(differing, before, after)

    async def entries(self, paths: Collection[str]) -> Tree:
        """The files of these names, as they are in /workspace."""
        with _spool() as archive:
            await self._read(WORKSPACE, archive)
            return await anyio.to_thread.run_sync(from_tar, archive, paths)

    async def _fill(self, archive: IO[bytes]) -> None:
        # Nobody but root may look into the base: it is what changes are measured against.
        await self._put("/", _folders(self._base))
        for target in (self._base, "/"):
            archive.seek(0)
            await self._put(target, archive)

    async def _put(self, target: str, data: IO[bytes]) -> None:
        await self._engine.call(
            lambda: self._engine.api.put_archive(self._container, target, data),
            container=self._container,
        )

    async def _read(self, path: str, archive: IO[bytes]) -> None:
        def read() -> None:
            stream, _ = self._engine.api.get_archive(self._container, path)
            for piece in stream:
                archive.write(piece)

        await self._engine.call(read, container=self._container)


def _spool() -> IO[bytes]:
    # Not /tmp by itself: what TMPDIR says. Only a large workspace ever reaches the disk.
    return tempfile.SpooledTemporaryFile(max_size=_SPOOL)


def _folders(path: str) -> IO[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in (*reversed(Path(path).parents[:-1]), Path(path)):
            if str(folder) in ("/var", "/var/lib"):
                continue
            info = tarfile.TarInfo(str(folder)[1:])
            info.type, info.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(info)
    buffer.seek(0)
    return buffer
