"""Files and folders of any size between this machine and a sandbox, over a stream of their own.

A folder travels as a tar archive that one side packs while the other unpacks, so neither holds it
in memory. The engine's own archive calls are not used: they do not see mounts inside a container
(moby#22020), and they fail on a read-only root.
"""

from __future__ import annotations

import errno
import io
import math
import os
import shutil
import stat
import tarfile
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import anyio
from anyio import from_thread, to_thread

from agentkit.errors import FileError, SandboxError
from agentkit.sandboxes._channel import STDOUT, Channel, ChannelClosed
from agentkit.sandboxes._control import Control, Host
from agentkit.sandboxes._files import Files, unreadable, write_error
from agentkit.sandboxes._records import Record, Scanner, new_nonce
from agentkit.sandboxes._scripts import quote

__all__ = ["Transfer"]

_CHUNK = 1 << 18
_ENGLISH = {"LC_ALL": "C"}
"""So that what goes wrong can be told from the words for it."""
_FAREWELL = 10.0
"""Seconds for the other side to read the last word and go."""
_TAR = "command -v tar >/dev/null 2>&1"

# The length of each chunk is a line before it, and 0 is the end: a connection over TLS cannot be
# closed on one side. dd takes exactly so much and no more from the stream.
_RECEIVE = r"""
while IFS= read -r n && [ "$n" != 0 ]; do
    dd bs="$n" count=1 iflag=fullblock 2>/dev/null || exit
done"""


class Transfer:
    """Uploads and downloads of one sandbox."""

    def __init__(self, host: Host, control: Control, files: Files) -> None:
        self._host, self._control, self._files = host, control, files

    async def upload(self, source: str | os.PathLike[str], path: str) -> None:
        local = Path(source)
        try:
            mode = (await to_thread.run_sync(local.stat)).st_mode
        except OSError as error:
            raise _local_error(local, error) from error
        full = self._files.absolute(path)
        if stat.S_ISREG(mode):
            await self._upload_file(local, mode, path, full)
        elif not stat.S_ISDIR(mode):
            raise FileError(str(local), "other", f"{local} is neither a file nor a folder")
        elif (await self._control.request(_TAR))[0]:
            await self._upload_by_file(local, full)
        else:
            word = quote(full)
            # Owners are not kept: they are those of another machine.
            unpack = f"mkdir -p -- {word} && cd {word} && tar -x -o -f -"
            await self._send(path, unpack, _packer(local))

    async def download(self, path: str, target: str | os.PathLike[str]) -> None:
        local = Path(target)
        full = self._files.absolute(path)
        found = await self._files.stat(full)
        if found is None:
            raise unreadable(path, b"missing")
        if found.kind == "other":
            raise unreadable(path, b"other")
        if await to_thread.run_sync(os.path.lexists, local):
            raise FileError(str(local), "other", f"{local} exists already", hint="Name a new path")
        if found.kind == "file":
            await self._fetch(path, f"cat <{quote(full)}", local, _file_writer(local, found.mode))
        elif (await self._control.request(_TAR))[0]:
            raise FileError(
                path,
                "other",
                f"{path} is a folder, and the image has no tar to pack it",
                hint="Download single files, or use an image with tar",
            )
        else:
            await self._fetch(path, f"cd {quote(full)} && tar -c -f - .", local, _unpacker(local))

    async def _upload_file(self, local: Path, mode: int, path: str, full: str) -> None:
        parent, _, _ = full.rpartition("/")
        temporary = f"{full}.{new_nonce()[:8]}.tmp"
        check = f"_file {quote(full)} && mkdir -p -- {quote(parent or '/')}"
        code, reply = await self._control.request(check)
        if code:
            raise write_error(path, reply)
        remove = f"rm -f -- {quote(temporary)}"
        try:
            await self._send(path, f"cat >{quote(temporary)}", _copier(local), remove)
        except SandboxError:
            await self._control.request(remove)  # where the sandbox is gone, that says so
            raise
        except BaseException:
            with suppress(SandboxError):
                await self._control.request(remove)
            raise
        commit = f"_commit {quote(temporary)} {quote(full)} {stat.S_IMODE(mode):o}"
        code, reply = await self._control.request(commit)
        if code:
            raise write_error(path, reply)

    async def _upload_by_file(self, local: Path, full: str) -> None:
        """Without tar in the image: slower, and the same in the end."""
        for entry in await to_thread.run_sync(lambda: list(_walk(local))):
            place = f"{full}/{entry.relative_to(local).as_posix()}".removesuffix("/.")
            if entry.is_symlink():
                link = f"ln -sfn -- {quote(os.readlink(entry))} {quote(place)}"
                code, reply = await self._control.request(link)
            elif entry.is_dir():
                made = f"mkdir -p -- {quote(place)} && chmod {_mode(entry)} -- {quote(place)}"
                code, reply = await self._control.request(made)
            else:
                await self._upload_file(entry, entry.stat().st_mode, place, place)
                continue
            if code:
                raise write_error(place, reply)

    async def _send(
        self,
        path: str,
        command: str,
        produce: Callable[[BinaryIO], None],
        undo: str = ":",
    ) -> None:
        """Feed a command; it undoes its work by itself where this process does not say the end.

        The engine may start it after our end was closed, so nobody else could know when.
        """
        nonce = new_nonce()
        script = (
            f"{{ {_RECEIVE}\n}} | ( {command} ); {_report(nonce)}"
            f'; IFS= read -r z && [ "$z" = end ] || {undo}'
        )
        channel = await self._host.spawn(["/bin/sh", "-c", script], _ENGLISH)
        reader = _Reader(channel, nonce)

        async def push(data: bytes) -> None:
            await channel.send(b"%d\n" % len(data) + data)

        try:
            try:
                await to_thread.run_sync(produce, cast("BinaryIO", _Outward(push)))
                await channel.send(b"0\n")
            except (ChannelClosed, BrokenPipeError):
                pass  # the other side ended early; it says why
            except OSError as error:
                raise _local_error(Path(error.filename or path), error) from error
            await reader.finish(lambda text: write_error(path, text))
            with suppress(ChannelClosed), anyio.move_on_after(_FAREWELL):
                await channel.send(b"end\n")
                # Until it has read that and gone: closing our end of an ssh client ends the client,
                # which may not have passed it on yet, and the work would be undone.
                while True:
                    await channel.receive()
        finally:
            with anyio.CancelScope(shield=True):
                await channel.aclose()

    async def _fetch(
        self, path: str, command: str, local: Path, consume: Callable[[BinaryIO], None]
    ) -> None:
        nonce = new_nonce()
        script = f"{command}; {_report(nonce)}"
        channel = await self._host.spawn(["/bin/sh", "-c", script], _ENGLISH)
        reader = _Reader(channel, nonce)
        try:
            await self._consume(path, reader, consume)
            await reader.finish(lambda text: FileError(path, "denied", _unread(path, text)))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(_remove, local)
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await channel.aclose()

    async def _consume(
        self, path: str, reader: _Reader, consume: Callable[[BinaryIO], None]
    ) -> None:
        stream = cast("BinaryIO", io.BufferedReader(_Inward(reader.next), _CHUNK))
        try:
            await to_thread.run_sync(consume, stream)
        except tarfile.TarError as error:
            await reader.finish(lambda text: FileError(path, "denied", _unread(path, text)))
            raise FileError(path, "other", f"{path} could not be unpacked: {error}") from error
        except OSError as error:
            raise _local_error(Path(error.filename or "."), error) from error


def _report(nonce: str) -> str:
    """On both streams, as the engine does not keep the order between them."""
    record = f"printf '\\036%s:%s:%s\\036\\n' {nonce} $k {nonce}"
    return f"k=$?; {record} >&2; {record}"


def _unread(path: str, text: bytes) -> str:
    return f"{path} could not be read: {text.decode('utf-8', 'replace').strip() or 'unknown'}"


class _Reader:
    """What the other side prints: data, then a record with its exit code; words on stderr."""

    def __init__(self, channel: Channel, nonce: str) -> None:
        self._channel = channel
        self._scanner, self._other = Scanner(), Scanner()
        self._scanner.expect([nonce])
        self._other.expect([nonce])
        self._pieces: deque[bytes] = deque()
        self._words = b""
        self._code: int | None = None
        self._all_said = False

    async def next(self, wait: float = math.inf) -> bytes | None:
        """Return some data; b"" at the end, None where there was none for ``wait`` seconds."""
        with anyio.move_on_after(wait):
            while not self._pieces and self._code is None:
                await self._receive()
            return self._pieces.popleft() if self._pieces else b""
        return None

    async def _receive(self) -> None:
        try:
            stream, data = await self._channel.receive()
        except ChannelClosed as error:
            raise SandboxError("the stream broke in a file transfer", tried=str(error)) from error
        if stream != STDOUT:
            for piece in self._other.feed(data):
                if isinstance(piece, Record):
                    self._all_said = True
                else:
                    self._words = (self._words + piece)[-4096:]
            return
        for piece in self._scanner.feed(data):
            if isinstance(piece, Record):
                self._code = int(piece.payload)
            else:
                self._pieces.append(piece)

    async def finish(self, error: Callable[[bytes], Exception]) -> None:
        while await self.next():
            pass
        if self._code:
            while not self._all_said:
                await self._receive()
            raise error(self._words)


class _Outward:
    """What a worker thread writes to, as to a file; the event loop sends it on."""

    def __init__(self, push: Callable[[bytes], Coroutine[Any, Any, None]]) -> None:
        self._push = push

    def write(self, data: bytes) -> int:
        from_thread.check_cancelled()
        from_thread.run(self._push, data)
        return len(data)


class _Inward(io.RawIOBase):
    """What a worker thread reads from, as from a file; the event loop receives it."""

    def __init__(self, pull: Callable[[float], Coroutine[Any, Any, bytes | None]]) -> None:
        self._pull = pull
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = cast("memoryview", buffer)
        while not self._rest:
            # A worker thread feels a cancellation only where it looks for one.
            from_thread.check_cancelled()
            data = from_thread.run(self._pull, 0.25)
            if data == b"":
                return 0
            self._rest = data or b""
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _walk(folder: Path) -> Iterator[Path]:
    yield folder
    for root, names, files in os.walk(folder):
        for name in (*names, *files):
            entry = Path(root, name)
            mode = entry.lstat().st_mode
            if stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISLNK(mode):
                yield entry


def _mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


def _copier(local: Path) -> Callable[[BinaryIO], None]:
    def copy(stream: BinaryIO) -> None:
        with local.open("rb") as file:
            while piece := file.read(_CHUNK):
                stream.write(piece)

    return copy


def _packer(folder: Path) -> Callable[[BinaryIO], None]:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not (info.isreg() or info.isdir() or info.issym()):
            return None
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info

    def pack(stream: BinaryIO) -> None:
        with tarfile.open(
            fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT, bufsize=_CHUNK
        ) as tar:
            for name in sorted(os.listdir(folder)):
                tar.add(folder / name, arcname=f"./{name}", filter=plain)

    return pack


def _file_writer(local: Path, mode: int) -> Callable[[BinaryIO], None]:
    def write(stream: BinaryIO) -> None:
        with local.open("xb") as file:
            while piece := stream.read(_CHUNK):
                file.write(piece)
        local.chmod(mode & 0o777)

    return write


def _unpacker(target: Path) -> Callable[[BinaryIO], None]:
    """Unpack into a new folder: files first, links at the end, so that none is written through."""

    def unpack(stream: BinaryIO) -> None:
        target.mkdir()
        links: list[tuple[Path, str]] = []
        folders: list[tuple[Path, int]] = []
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for info in tar:
                parts = [part for part in info.name.split("/") if part not in ("", ".")]
                place = target.joinpath(*parts)
                if ".." in parts or info.name.startswith("/"):
                    raise tarfile.TarError(f"the name {info.name!r} leads out of the folder")
                if info.issym():
                    links.append((place, info.linkname))
                elif info.isdir():
                    place.mkdir(parents=True, exist_ok=True)
                    folders.append((place, info.mode & 0o777))
                elif info.isreg():
                    _write_member(place, tar.extractfile(info), info.mode & 0o777)
                elif info.islnk():
                    first = [part for part in info.linkname.split("/") if part not in ("", ".")]
                    if ".." in first:
                        raise tarfile.TarError(f"the link {info.linkname!r} leads out")
                    os.link(target.joinpath(*first), place, follow_symlinks=False)
        for place, link in links:
            place.symlink_to(link)
        for place, mode in reversed(folders):
            place.chmod(mode)

    return unpack


def _write_member(place: Path, source: object, mode: int) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("xb") as file:
        while piece := cast("BinaryIO", source).read(_CHUNK):
            file.write(piece)
    place.chmod(mode)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place, ignore_errors=True)
    else:
        place.unlink(missing_ok=True)


def _local_error(path: Path, error: OSError) -> FileError:
    match error:
        case FileNotFoundError():
            reason = "missing"
        case PermissionError():
            reason = "denied"
        case IsADirectoryError():
            reason = "directory"
        case _:
            reason = "no-space" if error.errno == errno.ENOSPC else "other"
    return FileError(str(path), reason, f"{path} on this machine: {error.strerror or error}")
