"""A workspace that was copied into a container: fill it, show its changes, bring them back."""

from __future__ import annotations

import os
from pathlib import Path

import anyio

from agentkit.errors import WorkspaceError
from agentkit.sandboxes._engine import Engine
from agentkit.sandboxes._tree import Entry, Tree, changed_paths, diff, from_tar, to_tar

__all__ = ["CopiedWorkspace"]

_BASE = "/var/lib/agentkit"
"""Where the container keeps the copy as it was at first; so it is there after a crash of ours."""


class CopiedWorkspace:
    """The copy at /workspace in one container."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._container = container

    async def upload(self, workspace: Path, uid: int, gid: int) -> None:
        for root, owner, group in (("workspace", uid, gid), (f"{_BASE[1:]}/workspace", 0, 0)):
            data = await anyio.to_thread.run_sync(to_tar, workspace, root, owner, group)
            await self._put(data)

    async def changes(self) -> bytes:
        old, new = await self._trees()
        return await anyio.to_thread.run_sync(diff, old, new)

    async def apply(self, target: Path) -> list[str]:
        old, new = await self._trees()
        return await anyio.to_thread.run_sync(_apply, target, old, new)

    async def _trees(self) -> tuple[Tree, Tree]:
        old = from_tar(await self._get(f"{_BASE}/workspace"))
        return old, from_tar(await self._get("/workspace"))

    async def _put(self, data: bytes) -> None:
        await self._engine.call(
            lambda: self._engine.api.put_archive(self._container, "/", data),
            container=self._container,
        )

    async def _get(self, path: str) -> bytes:
        def read() -> bytes:
            stream, _ = self._engine.api.get_archive(self._container, path)
            return b"".join(stream)

        return await self._engine.call(read, container=self._container)


def _apply(target: Path, old: Tree, new: Tree) -> list[str]:
    changed = changed_paths(old, new)
    conflicts = [
        path for path in changed if _current(target, path) not in (old.get(path), new.get(path))
    ]
    if conflicts:
        raise WorkspaceError(
            f"{len(conflicts)} of {len(changed)} changed files were also changed in {target}",
            tried=", ".join(conflicts[:5]),
            hint="Nothing was written; merge them from the diff",
        )
    for path in changed:
        _write(target, path, new.get(path))
    return changed


def _current(target: Path, path: str) -> Entry | None:
    place = _beneath(target, path)
    if place.is_symlink():
        return Entry(os.fsencode(os.readlink(place)), link=True)
    if not place.exists():
        return None
    if not place.is_file():
        raise WorkspaceError(f"{place} is not a file", hint="Nothing was written")
    return Entry(place.read_bytes(), executable=bool(place.stat().st_mode & 0o100))


def _write(target: Path, path: str, entry: Entry | None) -> None:
    place = _beneath(target, path)
    if place.is_symlink() or (entry is None and place.exists()):
        place.unlink()
    if entry is None:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if entry.link:
        place.unlink(missing_ok=True)
        place.symlink_to(os.fsdecode(entry.data))
        return
    place.write_bytes(entry.data)
    mode = place.stat().st_mode & 0o777
    place.chmod(mode | 0o111 if entry.executable else mode & ~0o111)


def _beneath(target: Path, path: str) -> Path:
    """The path, after a check that no name or link on the way leads out of the folder."""
    place = target / path
    parent = Path(os.path.realpath(place.parent))
    if ".." in Path(path).parts or not (parent == target or target in parent.parents):
        raise WorkspaceError(
            f"{path} leads out of {target}", hint="Nothing was written; look at the diff"
        )
    return place
