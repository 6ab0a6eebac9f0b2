"""Byte streams to a process in the sandbox, without a thread per stream.

Everything else in this package needs only this: start a program, write to it, read what it prints.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
import ssl
import struct
import subprocess
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import anyio
from anyio.lowlevel import checkpoint

__all__ = [
    "STDERR",
    "STDOUT",
    "Channel",
    "ChannelClosed",
    "PipeChannel",
    "SocketChannel",
    "until_writable",
]

STDOUT, STDERR = 1, 2
_CHUNK = 1 << 18
_HEADER = 8
_LOOK = 0.5
"""Seconds between two looks whether the other side is still there, while it takes nothing."""


class ChannelClosed(Exception):
    """The program, or the way to it, is gone."""


async def until_writable(descriptor: int | socket.socket, ended: Callable[[], bool]) -> None:
    """Wait until more can be written.

    Not for ever where nobody will read it: an engine leaves a connection open in this direction
    when its container was killed.

    Raises:
        ChannelClosed: it was closed, or the other side has ended.
    """
    while True:
        try:
            with anyio.move_on_after(_LOOK):
                return await anyio.wait_writable(descriptor)
        except (OSError, ValueError, anyio.ClosedResourceError) as error:
            raise ChannelClosed(str(error)) from error
        if ended():
            raise ChannelClosed("the other side has ended")


class Channel(Protocol):
    """A two-way stream to one program; one task may send while another receives."""

    async def send(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            ChannelClosed: the other side is gone.
        """
        ...

    async def receive(self) -> tuple[int, bytes]:
        """Return the next piece, with the stream that it came on.

        Raises:
            ChannelClosed: nothing more will come.
        """
        ...

    def end_input(self) -> None:
        """Close the program's standard input; its output goes on.

        Raises:
            NotImplementedError: this connection cannot be closed on one side only.
            ChannelClosed: the other side is gone.
        """
        ...

    def alive(self) -> bool:
        """False when the other side is known to be gone."""
        ...

    async def aclose(self) -> None: ...


class _SocketWire:
    """Reads and writes a connected socket, plain or TLS, without waiting."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self.reading = self.writing = connection

    def read(self, size: int) -> bytes:
        return self._socket.recv(size)

    def write(self, data: memoryview) -> int:
        return self._socket.send(data)

    def hang_up(self) -> None:
        """Nothing to do before the end."""

    def close(self) -> None:
        self._socket.close()

    def end(self) -> None:
        if isinstance(self._socket, ssl.SSLSocket):
            raise NotImplementedError("TLS has no half-closed connections")
        self._socket.shutdown(socket.SHUT_WR)

    def alive(self) -> bool:
        if isinstance(self._socket, ssl.SSLSocket):
            return True
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True

    def ended(self) -> bool:
        """Whether the other side sends no more, though some of it may be unread."""
        if not hasattr(select, "POLLRDHUP"):
            return not self.alive()
        look = select.poll()
        look.register(self._socket, select.POLLRDHUP)
        return bool(look.poll(0))


class _SshWire:
    """Reads and writes the pipes of the ssh client that the docker package started."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._process: subprocess.Popen[bytes] = raw.proc
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.reading, self.writing = self._process.stdout.fileno(), self._process.stdin.fileno()
        os.set_blocking(self.reading, False)
        os.set_blocking(self.writing, False)

    def read(self, size: int) -> bytes:
        return os.read(self.reading, size)

    def write(self, data: memoryview) -> int:
        return os.write(self.writing, data)

    def hang_up(self) -> None:
        # The docker package would type two line feeds into whatever runs there.
        self.end()

    def close(self) -> None:
        """The docker package leaves the client running, and a socket that it never used open."""
        self._process.terminate()
        if self._process.stdout is not None:
            self._process.stdout.close()
        socket.socket.close(self._raw)
        self._process.wait()

    def end(self) -> None:
        # The client tells the other side, which goes on to send until the program has ended.
        self.writing = -1
        if self._process.stdin is not None:
            self._process.stdin.close()

    def alive(self) -> bool:
        return self._process.poll() is None

    def ended(self) -> bool:
        return not self.alive()


class SocketChannel:
    """The connection of a `docker exec` (the engine's "hijacked" HTTP connection).

    Frames are an 8-byte header (stream number, three zero bytes, length) and data; with a terminal
    the stream is raw.
    """

    def __init__(self, raw: Any, *, tty: bool = False) -> None:
        # The docker package returns a SocketIO around the socket; both must stay referenced.
        self._raw = raw
        self._response = getattr(raw, "_response", None)
        self._wire = (
            _SshWire(raw) if hasattr(raw, "proc") else _SocketWire(getattr(raw, "_sock", raw))
        )
        self._tty = tty
        self._unyielded = 0
        self._buffer = b""
        self._frames: deque[tuple[int, bytes]] = deque()
        self._closed = False
        if early := self._read_ahead():
            self._take(early)

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._wire.write(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                await until_writable(self._wire.writing, self._ended)
            except (OSError, ValueError) as error:
                raise ChannelClosed(str(error)) from error

    async def receive(self) -> tuple[int, bytes]:
        while not self._frames:
            self._take(await self._receive_some())
        return self._frames.popleft()

    def _ended(self) -> bool:
        return self._closed or self._wire.ended()

    def end_input(self) -> None:
        try:
            self._wire.end()
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def alive(self) -> bool:
        try:
            return not self._closed and self._wire.alive()
        except (OSError, ValueError):
            return False

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        anyio.notify_closing(self._wire.reading)
        if self._wire.writing not in (self._wire.reading, -1):
            anyio.notify_closing(self._wire.writing)
        with suppress(OSError):
            self._wire.hang_up()
        # Closing the response gives up the connection; closing the socket alone would leave it
        # open for as long as the response object lives.
        with suppress(OSError, ValueError):
            if self._response is not None:
                self._response.close()
        with suppress(OSError, ValueError):
            self._raw.close()
        if isinstance(self._wire, _SshWire):
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._wire.close)
        else:
            self._wire.close()

    def _read_ahead(self) -> bytes:
        """What the HTTP client has read beyond the answer's head: a terminal may speak at once."""
        reader = getattr(getattr(getattr(self._response, "raw", None), "_fp", None), "fp", None)
        try:
            return bytes(reader.peek(1)) if reader is not None else b""
        except (OSError, ValueError):
            return b""

    def _take(self, data: bytes) -> None:
        if self._tty:
            self._frames.append((STDOUT, data))
        else:
            self._parse(self._buffer + data if self._buffer else data)

    async def _receive_some(self) -> bytes:
        # A flood never has to wait for the socket; other tasks must get their turn. Not after the
        # read: a cancellation would lose what was read.
        if self._unyielded > _CHUNK:
            self._unyielded = 0
            await checkpoint()
        while not self._closed:
            try:
                data = self._wire.read(_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                try:
                    await anyio.wait_readable(self._wire.reading)
                except (OSError, ValueError, anyio.ClosedResourceError) as error:
                    raise ChannelClosed(str(error)) from error
                continue
            except (OSError, ValueError) as error:
                raise ChannelClosed(str(error)) from error
            if not data:
                break
            self._unyielded += len(data)
            return data
        raise ChannelClosed("the stream has ended")

    def _parse(self, data: bytes) -> None:
        start = 0
        while len(data) - start >= _HEADER:
            stream, size = struct.unpack_from(">BxxxI", data, start)
            end = start + _HEADER + size
            if end > len(data):
                break
            self._frames.append((stream, data[start + _HEADER : end]))
            start = end
        self._buffer = data[start:]


class PipeChannel:
    """The three pipes of a process on this machine."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("the process was started without its three pipes")
        self._process = process
        self._in = process.stdin.fileno()
        self._open = {process.stdout.fileno(): STDOUT, process.stderr.fileno(): STDERR}
        # A selector is itself readable when one of its files is: two pipes, one wait.
        self._selector = selectors.DefaultSelector()
        self._descriptor = self._selector.fileno()
        for fd in (self._in, *self._open):
            os.set_blocking(fd, False)
        for fd in self._open:
            self._selector.register(fd, selectors.EVENT_READ)
        self._closed = False
        self._unyielded = 0

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._closed or self._in < 0:
                raise ChannelClosed("the stream was closed")
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                await until_writable(self._in, lambda: not self.alive())
            except OSError as error:
                raise ChannelClosed(str(error)) from error

    def end_input(self) -> None:
        if self._process.stdin is not None and self._in >= 0:
            self._in = -1
            self._process.stdin.close()

    async def receive(self) -> tuple[int, bytes]:
        if self._unyielded > _CHUNK:
            self._unyielded = 0
            await checkpoint()
        while not self._closed and self._open:
            ready = self._selector.select(0)
            if not ready:
                try:
                    await anyio.wait_readable(self._descriptor)
                except (OSError, ValueError, anyio.ClosedResourceError) as error:
                    raise ChannelClosed(str(error)) from error
                continue
            key = ready[0][0]
            data = os.read(key.fd, _CHUNK)
            if data:
                self._unyielded += len(data)
                return self._open[key.fd], data
            self._selector.unregister(key.fd)
            del self._open[key.fd]
        raise ChannelClosed("the stream has ended")

    def alive(self) -> bool:
        return not self._closed and self._process.poll() is None

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        anyio.notify_closing(self._descriptor)
        if self._in >= 0:
            anyio.notify_closing(self._in)
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            pipe.close() if pipe else None
        self._process.kill()
        await anyio.to_thread.run_sync(self._process.wait)
