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
from agentkit.sandboxes._tree import Tree, differing, from_tar, pack, without_root

__all__ = ["BASES", "WORKSPACE", "CopiedWorkspace"]

WORKSPACE = "/workspace"
BASES = "/var/lib/agentkit"
"""Where the container keeps the copy as it was at first; so it is there after a crash of ours."""
_SPOOL = 8 << 20


class CopiedWorkspace:
    """The copy at /workspace in one container.

    Trees travel as archives, through a file where they are large; in memory are only the files
    that differ.

    Args:
        base_id: a fork's own base lies beside that of the sandbox it was made from.
        volumes: workspace and bases are volumes in a container that is otherwise read-only.
    """

    def __init__(
        self, engine: Engine, container: str, base_id: str, *, volumes: bool = False
    ) -> None:
        self._engine = engine
        self._container = container
        self._base_id = base_id
        self._base = f"{BASES}/{base_id}"
        self._volumes = volumes

    async def upload(self, workspace: Path, uid: int, gid: int) -> None:
        """Fill the copy from a folder of this machine; its files belong to that user inside."""
        with _spool() as archive:
            await anyio.to_thread.run_sync(pack, archive, workspace, ".", uid, gid)
            await self._fill(archive)

    async def take(self, origin: CopiedWorkspace) -> None:
        """Fill the copy from another container's workspace, owners and modes included."""
        with _spool() as archive, _spool() as inner:
            await origin._read(WORKSPACE, archive)
            await anyio.to_thread.run_sync(without_root, archive, inner)
            await self._fill(inner)

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
        own = [(self._base_id, 0o700), (f"{self._base_id}/workspace", 0o755)]
        if self._volumes:
            await self._put(BASES, _folders(own))
        else:
            root = BASES[1:]
            folders = [(f"{root}/{name}", mode) for name, mode in own]
            await self._put("/", _folders([("workspace", 0o755), (root, 0o700), *folders]))
        for target in (f"{self._base}/workspace", WORKSPACE):
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


def _folders(folders: list[tuple[str, int]]) -> IO[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in folders:
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
    buffer.seek(0)
    return buffer
