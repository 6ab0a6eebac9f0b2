"""Our own standard input and output as an MCP server's streams.

Threads of their own, which end with the process, read and write: the SDK's wait for a line in a
thread that holds up the end of a server whose client keeps silent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from agentkit.mcp.stdio import MOST_MESSAGE

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

Incoming = SessionMessage | Exception


@asynccontextmanager
async def own_streams(
    source: int, sink: int
) -> AsyncGenerator[
    tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]
]:
    """Messages from one file descriptor, and to another."""
    to_server, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    _read(source, to_server)
    async with incoming, outgoing, anyio.create_task_group() as tasks:
        tasks.start_soon(_write, sink, from_server)
        try:
            yield incoming, outgoing
        finally:
            outgoing.close()
            tasks.cancel_scope.deadline = anyio.current_time() + 1  # for the last answer


def _read(source: int, server: MemoryObjectSendStream[Incoming]) -> None:
    token = current_token()

    def hand(line: bytes | None) -> None:
        if line is None:
            from_thread.run_sync(server.close, token=token)
        elif line.strip():
            from_thread.run(server.send, _message(line), token=token)

    def work() -> None:
        with suppress(OSError, RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            _lines(source, hand)
            hand(None)

    threading.Thread(target=work, daemon=True).start()


def _lines(source: int, hand: Callable[[bytes], None]) -> None:
    begun = bytearray()
    while piece := os.read(source, 1 << 16):
        *ends, tail = piece.split(b"\n")
        for end in ends:
            hand(bytes(begun + end))
            begun = bytearray()
        if len(begun) <= MOST_MESSAGE:  # of a line without end no more is kept
            begun += tail
    hand(bytes(begun))


def _message(line: bytes) -> Incoming:
    if len(line) > MOST_MESSAGE:
        return ValueError(f"a message may have {MOST_MESSAGE >> 20} MB")
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _write(sink: int, server: MemoryObjectReceiveStream[SessionMessage]) -> None:
    queue: SimpleQueue[tuple[bytes, anyio.Event]] = SimpleQueue()
    token = current_token()

    def work() -> None:
        with suppress(OSError, RuntimeError):
            while True:
                data, written = queue.get()
                view = memoryview(data)
                try:
                    while view:
                        view = view[os.write(sink, view) :]
                finally:
                    from_thread.run_sync(written.set, token=token)

    threading.Thread(target=work, daemon=True).start()
    async with server:
        async for each in server:
            text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            written = anyio.Event()
            queue.put((text.encode() + b"\n", written))
            await written.wait()
