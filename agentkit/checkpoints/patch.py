"""The difference of two trees of files, as a patch that git takes."""

from __future__ import annotations

import base64
import difflib
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Entry", "Tree", "changed_paths", "diff", "file_diff"]


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


def changed_paths(old: Tree, new: Tree) -> list[str]:
    """Paths that differ, sorted."""
    return sorted(path for path in {*old, *new} if old.get(path) != new.get(path))


def diff(old: Tree, new: Tree) -> bytes:
    """Return the difference in git's own format, with binary files in full."""
    return b"".join(
        piece
        for path in changed_paths(old, new)
        for piece in file_diff(path, old.get(path), new.get(path))
    )


def file_diff(path: str, old: Entry | None, new: Entry | None) -> Iterator[bytes]:
    """The difference of one file, None where there is none on that side."""
    if old is not None and new is not None and old.link != new.link:
        # Git shows a change of kind as one file gone and another come.
        yield from file_diff(path, old, None)
        yield from file_diff(path, None, new)
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
