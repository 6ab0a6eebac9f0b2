"""Trees of files as values, and the difference of two as a patch that git takes."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from agentkit.checkpoints.patch import Entry, Tree, changed_paths, diff

__all__ = [
    "Entry",
    "Tree",
    "changed_paths",
    "diff",
    "differing",
    "from_tar",
    "pack",
    "without_root",
]


def pack(target: IO[bytes], folder: Path, root: str, uid: int, gid: int) -> None:
    """Write a folder as an archive below the name ``root``, owned by that user.

    Special files are left out. Of hard links, each name becomes a file of its own.
    """

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        inodes: dict[object, str] = getattr(tar, "inodes")  # noqa: B009 - untyped
        inodes.clear()
        if not (info.isreg() or info.isdir() or info.issym()):
            return None
        info.uid, info.gid, info.uname, info.gname = uid, gid, "", ""
        return info

    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder, arcname=root, filter=plain)


def from_tar(archive: IO[bytes], paths: Collection[str] | None = None) -> dict[str, Entry]:
    """Read files of an archive below its first folder. Nothing is ever unpacked to disk.

    Args:
        archive: a file that can be read again and again.
        paths: the names that are wanted; all if not given.
    """
    return dict(_members(archive, lambda path: paths is None or path in paths))


def _digests(archive: IO[bytes]) -> dict[str, tuple[str, bytes]]:
    """Git's mode and a hash of each file in an archive."""
    return {
        path: (entry.git_mode, hashlib.sha256(entry.data).digest())
        for path, entry in _members(archive, lambda path: True)
    }


def differing(before: IO[bytes], after: IO[bytes]) -> tuple[Tree, Tree]:
    """The files in which two archives differ; only those are ever in memory."""
    old, new = _digests(before), _digests(after)
    paths = {path for path in {*old, *new} if old.get(path) != new.get(path)}
    return from_tar(before, paths), from_tar(after, paths)


def _members(archive: IO[bytes], wanted: Callable[[str], bool]) -> Iterator[tuple[str, Entry]]:
    archive.seek(0)
    with tarfile.open(fileobj=archive) as tar:
        for info in tar:
            path = info.name.lstrip("./").partition("/")[2]
            if not path or path == ".git" or path.startswith(".git/") or not wanted(path):
                continue
            if info.issym():
                yield path, Entry(os.fsencode(info.linkname), link=True)
            elif info.isreg() or info.islnk():
                file = tar.extractfile(info)
                content = file.read() if file else b""
                yield path, Entry(content, executable=bool(info.mode & stat.S_IXUSR))


def without_root(archive: IO[bytes], target: IO[bytes]) -> None:
    """Copy an archive so that its names begin below its first folder, which becomes ``.``."""
    archive.seek(0)
    with (
        tarfile.open(fileobj=archive) as old,
        tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for info in old:
            info.name = info.name.strip("/").partition("/")[2] or "."
            info.pax_headers = {}
            if info.islnk():
                info.linkname = info.linkname.strip("/").partition("/")[2]
            # Pipes and sockets of running programs stay behind.
            if info.isreg() or info.isdir() or info.issym() or info.islnk():
                new.addfile(info, old.extractfile(info) if info.isreg() else None)
