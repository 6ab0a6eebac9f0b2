"""Files through the control shell: any path the sandbox's user may touch, in any image."""

from __future__ import annotations

import posixpath
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from stat import S_ISDIR, S_ISREG, filemode

from agentkit.errors import FileError, SandboxError
from agentkit.sandbox import ExecResult, FileStat
from agentkit.sandboxes._control import Control
from agentkit.sandboxes._scripts import quote

__all__ = ["Files", "escaped", "unreadable", "write_error"]

_INLINE = 48 << 10
"""Up to so many bytes a file goes through the control shell (1-2 ms); larger ones through a
process of their own."""

_BLOCK = 1 << 16
_PIECE = 64
"""Blocks: 4 MB at a time."""

_REASONS = (
    ("No space left", "no-space"),
    ("Disk quota", "no-space"),
    ("Permission denied", "denied"),
    ("Read-only file system", "denied"),
    ("Operation not permitted", "denied"),
    ("Is a directory", "directory"),
    ("No such file", "missing"),
    ("nonexistent directory", "missing"),
    ("File name too long", "other"),
)
# What is no ASCII stays as it is, so that words of other languages do not grow fivefold.
_SPECIAL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f\\]")
_OCTAL = {bytes([value]): b"\\0%03o" % value for value in range(256)}

Pour = Callable[[str, bytes], Awaitable[ExecResult]]
"""Runs a command with this standard input."""


class Files:
    """The file half of a sandbox."""

    def __init__(self, control: Control, pour: Pour, workdir: str) -> None:
        self._control = control
        self._pour = pour
        self._workdir = workdir

    def absolute(self, path: str) -> str:
        if "\0" in path or not path:
            raise FileError(path, "other", f"{path!r} is not a path")
        try:
            path.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise FileError(repr(path), "other", f"{path!r} is not a path") from None
        return posixpath.normpath(posixpath.join(self._workdir, path)).replace("//", "/", 1)

    async def read(self, path: str, max_bytes: int) -> bytes:
        full = self.absolute(path)
        _, reply = await self._control.request(f"_read {quote(full)} {max_bytes + 1}", limit=120)
        kind, _, data = reply.partition(b"\n")
        match kind:
            case b"file" if len(data) <= max_bytes:
                return data
            case b"file":
                facts = await self.stat(full)
                told = facts is not None and facts.size > max_bytes  # not so in /proc
                size = f"it has {facts.size:,} bytes" if facts and told else "it is larger"
                raise FileError(
                    path,
                    "too-large",
                    f"{path} is too large to read whole: {size}, the limit is {max_bytes:,}",
                    hint="Read a part of it with a command (head, tail, sed -n)",
                )
            case _:
                raise unreadable(path, kind)

    async def read_part(self, path: str, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0:
            raise ValueError("offset and size count bytes: 0 or more")
        full = self.absolute(path)
        parts: list[bytes] = []
        while size > 0:
            # In whole blocks, since dd seeks by blocks; in pieces, since kills wait meanwhile.
            skip, ahead = divmod(offset, _BLOCK)
            count = min(_PIECE, -(-(ahead + size) // _BLOCK))
            copy = f"dd if={quote(full)} bs={_BLOCK} skip={skip} count={count} 2>/dev/null"
            body = f'k=$(_kind {quote(full)}); echo "$k"; [ "$k" != file ] || {copy}'
            _, reply = await self._control.request(body, limit=120)
            kind, _, data = reply.partition(b"\n")
            if kind != b"file":
                raise unreadable(path, kind)
            part = data[ahead : ahead + size]
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
            if len(data) < count * _BLOCK:
                break
        return b"".join(parts)

    async def write(self, path: str, data: bytes, mode: int | None) -> None:
        full = self.absolute(path)
        bits = f"{mode & 0o7777:o}" if mode is not None else "''"
        if len(data) <= _INLINE:
            body = f"_put {quote(full)} {quote(escaped(data))} {secrets.token_hex(4)} {bits}"
            code, reply = await self._control.request(body)
        else:
            code, reply = await self._write_large(full, data, bits)
        if code:
            raise write_error(path, reply)

    async def stat(self, path: str) -> FileStat | None:
        full = self.absolute(path)
        code, reply = await self._control.request(f"_info {quote(full)}")
        return _parse_info(full, reply.decode("utf-8", "replace")) if code == 0 else None

    async def list_dir(self, path: str) -> list[str]:
        full = self.absolute(path)
        word = quote(full)
        bare = quote(full.rstrip("/"))
        body = f'k=$(_kind {word}); echo "$k"; [ "$k" != directory ] || _list {bare}'
        _, reply = await self._control.request(body)
        kind, _, names = reply.partition(b"\n")
        if kind != b"directory":
            reason = "missing" if kind == b"missing" else "other"
            what = "does not exist" if kind == b"missing" else "is not a directory"
            raise FileError(path, reason, f"{path} {what}")
        return sorted(name.decode("utf-8", "surrogateescape") for name in names.split(b"\0")[:-1])

    async def _write_large(self, full: str, data: bytes, bits: str) -> tuple[int, bytes]:
        # The same steps as for a small file, but filled from a stream.
        temporary = f"{full}.{secrets.token_hex(4)}.tmp"
        parent, target = quote(posixpath.dirname(full)), quote(full)
        code, reply = await self._control.request(f"_file {target} && mkdir -p {parent}")
        if code:
            return code, reply
        _, real = await self._control.request(f"if [ -L {target} ]; then readlink -f {target}; fi")
        final = quote(real.decode("utf-8", "surrogateescape").rstrip("\n")) if real else target
        try:
            result = await self._pour(f"cat >{quote(temporary)}", data)
        except BaseException:
            with suppress(SandboxError):
                await self._control.request(f"rm -f -- {quote(temporary)}")
            raise
        if not result.ok:
            await self._control.request(f"rm -f -- {quote(temporary)}")
            return result.exit_code or 1, result.output.data
        return await self._control.request(f"_commit {quote(temporary)} {final} {bits}")


def escaped(data: bytes) -> str:
    """The form in which ``printf %b`` takes any bytes; to be sent with ``surrogateescape``."""
    return _SPECIAL.sub(lambda found: _OCTAL[found[0]], data).decode("utf-8", "surrogateescape")


def unreadable(path: str, kind: bytes) -> FileError:
    """Say why a path that ``_kind`` calls so is no file that can be read."""
    match kind:
        case b"missing":
            return FileError(path, "missing", f"{path} does not exist")
        case b"directory":
            return FileError(path, "directory", f"{path} is a directory, not a file")
        case b"denied":
            return FileError(path, "denied", f"{path} may not be read by the sandbox's user")
        case _:
            return FileError(path, "other", f"{path} is a device, pipe or socket, not a file")


def write_error(path: str, reply: bytes) -> FileError:
    text = reply.decode("utf-8", "replace").strip()
    reason = next((name for words, name in _REASONS if words in text), "other")
    hint = "Free some space first" if reason == "no-space" else ""
    return FileError(path, reason, f"{path} could not be written: {text or 'unknown'}", hint=hint)


def _parse_info(path: str, text: str) -> FileStat | None:
    words = text.split()
    if len(words) == 3:
        mode, size, mtime = int(words[0], 16), int(words[1]), float(words[2])
        kind = "directory" if S_ISDIR(mode) else "file" if S_ISREG(mode) else "other"
        return FileStat(path, kind, size, mode & 0o7777, mtime)
    # `ls -ld` of an image without stat: no time that a program could read.
    if len(words) < 5 or len(words[0]) < 10:
        return None
    mode = next(bits for bits in range(0o10000) if filemode(bits)[1:] == words[0][1:10])
    first = words[0][0]
    kind = "directory" if first == "d" else "file" if first == "-" else "other"
    return FileStat(path, kind, int(words[4]) if words[4].isdigit() else 0, mode, 0.0)
