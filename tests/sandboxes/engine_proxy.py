"""A socket in front of the engine's that can be cut, closed and changed: an engine that dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SOCKET = "/var/run/docker.sock"


class EngineProxy:
    """Passes everything on, until it is cut.

    Args:
        folder: where its socket is made.
        changes: bytes in the engine's answers, and what takes their place (of the same length).
    """

    def __init__(self, folder: Path, changes: dict[bytes, bytes] | None = None) -> None:
        self._path = folder / "engine.sock"
        self._changes = {} if changes is None else changes
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages_left = 0
        self._all_sent = asyncio.Event()

    @property
    def address(self) -> str:
        return f"unix://{self._path}"

    async def unused(self) -> None:
        """Wait until no connection is open: a closed sandbox has given all back."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def messages(self, count: int) -> None:
        """Wait until so many more messages of the client have been passed on."""
        self._messages_left = count
        self._all_sent.clear()
        await self._all_sent.wait()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._connect, self._path)

    async def cut(self) -> None:
        """Break every connection, and take no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._path.unlink(missing_ok=True)
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        engine_reader, engine_writer = await asyncio.open_unix_connection(SOCKET)
        both = {writer, engine_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._pump(reader, engine_writer, self._count),
                self._pump(engine_reader, writer, self._change),
            )
        finally:
            for each in both:
                each.close()
            self._writers -= both
            self._tasks.discard(task)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passed: Callable[[bytes], bytes],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(passed(data))
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()

    def _count(self, data: bytes) -> bytes:
        self._messages_left -= 1
        if self._messages_left == 0:
            self._all_sent.set()
        return data

    def _change(self, data: bytes) -> bytes:
        for old, new in self._changes.items():
            data = data.replace(old, new)
        return data
