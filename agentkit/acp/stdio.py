"""JSON-RPC lines over two file descriptors, for the SDK's connection.

The SDK's own transport meets a line that is no message with a log entry and silence; here the
client is told. Reading and writing are done by threads of their own, which end with the process:
so any kind of file will do, and neither a silent client nor one that never reads holds up an end.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, cast

MOST_BYTES = 64 << 20
"""Of one message."""
LAST_ANSWERS = 10.0
"""Seconds that requests under way have, once nothing more is asked."""
_AHEAD = 64
"""Messages that are read before the first of them is taken."""

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
Sent = asyncio.Future[None]


class Stdio:
    """A transport as ``acp.agent.connection.AgentSideConnection`` takes it.

    Args:
        source: what the client writes.
        sink: what it reads.
        at_end: called when the client has said its last word; what it asked for before is still
            answered, within ``LAST_ANSWERS``.
    """

    def __init__(self, source: int, sink: int, at_end: Callable[[], None]) -> None:
        self._source, self._sink = source, sink
        self._at_end = at_end
        self._owed: set[str | int | None] = set()
        self._settled = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)
        self._out: SimpleQueue[tuple[bytes, Sent]] = SimpleQueue()
        self._gone = False
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    async def send(self, message: dict[str, Any]) -> None:
        """Write one message; returns when it was taken. One to a client that is gone is lost."""
        if self._gone:
            return
        text = json.dumps(message, separators=(",", ":"), default=str)
        sent: Sent = self._loop.create_future()
        self._out.put((text.encode() + b"\n", sent))
        await sent
        if "method" not in message:
            self._owed.discard(message["id"])
            self._settled.set()

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None at the end."""
        while True:
            line = await self._lines.get()
            if line is None:
                await self._last_answers()
                return None
            if not line.strip():
                continue
            message, complaint = _message(line)
            if complaint is None:
                if "method" in message and "id" in message:
                    self._owed.add(message["id"])
                return message
            await self.send(complaint)

    async def close(self) -> None:
        self._gone = True

    async def _last_answers(self) -> None:
        self._at_end()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS):
                while self._owed and not self._gone:
                    self._settled.clear()
                    await self._settled.wait()

    # In their own threads.

    def _read(self) -> None:
        with suppress(OSError, RuntimeError):  # the client is gone, or the loop is closed
            begun = bytearray()
            while piece := os.read(self._source, 1 << 16):
                *ends, tail = piece.split(b"\n")
                for end in ends:
                    self._hand(bytes(begun + end))
                    begun = bytearray()
                if len(begun) <= MOST_BYTES:  # of a line without end no more is kept
                    begun += tail
            self._hand(bytes(begun))
        with suppress(RuntimeError):
            self._hand(None)

    def _hand(self, line: bytes | None) -> None:
        asyncio.run_coroutine_threadsafe(self._lines.put(line), self._loop).result()

    def _write(self) -> None:
        while True:
            data, sent = self._out.get()
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._sink, view) :]
            except OSError:
                self._gone = True  # and whoever waits for an answer to be read may stop
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_done, sent)


def _done(sent: Sent) -> None:
    if not sent.done():
        sent.set_result(None)


def _message(line: bytes) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The message, or the answer to what is none."""
    if len(line) > MOST_BYTES:
        return {}, _complaint(INVALID_REQUEST, f"a message may have {MOST_BYTES >> 20} MB")
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {}, _complaint(PARSE_ERROR, f"this line is not JSON: {error}")
    if not isinstance(found, dict):
        return {}, _complaint(INVALID_REQUEST, "a message is one JSON object on one line")
    message = cast("dict[str, Any]", found)
    number: Any = message.get("id")
    if isinstance(number, (dict, list)):
        return {}, _complaint(INVALID_REQUEST, "an id is a number or a text")
    method: Any = message.get("method")
    if method is None and "result" not in message and "error" not in message:
        return {}, _complaint(INVALID_REQUEST, "the message has no method", number)
    if method is not None and not isinstance(method, str):
        return {}, _complaint(INVALID_REQUEST, "a method is a text", number)
    return message, None


def _complaint(code: int, words: str, number: object = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": words}}
