"""Trees of files as values, and the difference of two as a patch that git takes."""

from __future__ import annotations

import base64
import difflib
import hashlib
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["Entry", "Tree", "changed_paths", "diff", "differing", "from_tar", "pack"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or a symbolic link, as git sees it."""

    data: bytes
    """The content, or the link's target."""
    executable: bool = False
    link: bool = False

    @property
    def git_mode(self) -> str:
        return "120000" if self.link else "100755" if self.executable else "100644"


Tree = Mapping[str, Entry]


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


def changed_paths(old: Tree, new: Tree) -> list[str]:
    return sorted(path for path in {*old, *new} if old.get(path) != new.get(path))


def diff(old: Tree, new: Tree) -> bytes:
    """Return the difference in git's own format, with binary files in full."""
    return b"".join(
        piece
        for path in changed_paths(old, new)
        for piece in _file_diff(path, old.get(path), new.get(path))
    )


def _file_diff(path: str, old: Entry | None, new: Entry | None) -> Iterator[bytes]:
    if old is not None and new is not None and old.link != new.link:
        # Git shows a change of kind as one file gone and another come.
        yield from _file_diff(path, old, None)
        yield from _file_diff(path, None, new)
        return
    name = os.fsencode(path)
    a, b = _quoted(b"a/" + name), _quoted(b"b/" + name)
    yield b"diff --git " + a + b" " + b + b"\n"
    if old is None and new is not None:
        yield f"new file mode {new.git_mode}\n".encode()
    elif new is None and old is not None:
        yield f"deleted file mode {old.git_mode}\n".encode()
    elif old is not None and new is not None and old.git_mode != new.git_mode:
        yield f"old mode {old.git_mode}\nnew mode {new.git_mode}\n".encode()
    before, after = old.data if old else b"", new.data if new else b""
    if before == after:
        return
    if b"\0" in before or b"\0" in after:
        yield f"index {_blob(old)}..{_blob(new)}\n".encode()
        yield from _binary(before, after)
        return
    yield b"--- " + (a if old else b"/dev/null") + b"\n"
    yield b"+++ " + (b if new else b"/dev/null") + b"\n"
    yield from _hunks(before, after)


def _hunks(before: bytes, after: bytes) -> Iterator[bytes]:
    # latin-1 maps bytes to characters one to one; lines end at LF only.
    old, new = (text.decode("latin-1").split("\n") for text in (before, after))
    lines = difflib.unified_diff(_lines(old), _lines(new), lineterm="\n")
    for number, line in enumerate(lines):
        if number < 2:
            continue
        yield line.encode("latin-1")
        if not line.endswith("\n"):
            yield b"\n\\ No newline at end of file\n"


def _lines(parts: list[str]) -> list[str]:
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _binary(before: bytes, after: bytes) -> Iterator[bytes]:
    yield b"GIT binary patch\n"
    for data in (after, before):
        yield f"literal {len(data)}\n".encode()
        packed = zlib.compress(data)
        for start in range(0, len(packed), 52):
            piece = packed[start : start + 52]
            size = len(piece)
            letter = chr(ord("A") + size - 1) if size <= 26 else chr(ord("a") + size - 27)
            yield letter.encode() + base64.b85encode(piece, pad=True) + b"\n"
        yield b"\n"


def _blob(entry: Entry | None) -> str:
    """Git's name for the content: it checks it before it applies a binary patch."""
    if entry is None:
        return "0" * 40
    header = f"blob {len(entry.data)}\0".encode()
    return hashlib.sha1(header + entry.data, usedforsecurity=False).hexdigest()


def _quoted(name: bytes) -> bytes:
    if all(0x20 <= byte < 0x7F and byte not in b'"\\' for byte in name):
        return name
    plain = {0x22: b'\\"', 0x5C: b"\\\\", 0x0A: b"\\n", 0x09: b"\\t"}
    parts = (
        plain.get(byte) or (bytes([byte]) if 0x20 <= byte < 0x7F else f"\\{byte:03o}".encode())
        for byte in name
    )
    return b'"' + b"".join(parts) + b'"'
