"""Put a completion on the wire, whole or in events, with the faults of the transport."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from agentkit.testing import _http
from agentkit.testing._answer import Completion
from agentkit.testing.faults import Fault, error_body


class Sender:
    """Puts a completion on the wire, with the transport faults."""

    def __init__(
        self,
        writer: asyncio.StreamWriter,
        completion: Completion,
        fault: Fault,
        delay: float,
    ) -> None:
        self._writer = writer
        self._completion = completion
        self._fault = fault.name
        self._seconds = fault.seconds
        self._delay = delay

    async def send(self, *, stream: bool) -> None:
        """Send it; ``ConnectionResetError`` asks the server to drop the connection."""
        if self._fault == "reset":
            raise ConnectionResetError
        if stream:
            await self._stream()
            return
        if self._fault in ("stall", "stall-middle"):
            await self._silence()
        data = _http.whole(200, self._completion.body())
        head, _, payload = data.partition(b"\r\n\r\n")
        if self._fault == "keep-alive":  # blank lines count into the announced length
            await self._blank_lines(payload)
        elif self._fault in ("reset-reasoning", "reset-arguments", "no-finish", "garbage"):
            self._writer.write(head + b"\r\n\r\n" + payload[: len(payload) // 2])
            await self._writer.drain()
            raise ConnectionResetError
        elif self._fault == "error-event":
            self._writer.write(_http.whole(200, error_body("Internal error", "server_error")))
        else:
            self._writer.write(data)

    async def _blank_lines(self, payload: bytes) -> None:
        self._writer.write(_http.stream_head("application/json"))
        async for _ in self._ticks():
            self._writer.write(_http.chunk(b"\n"))
            await self._writer.drain()
        self._writer.write(_http.chunk(payload) + _http.LAST_CHUNK)

    async def _ticks(self) -> AsyncIterator[None]:
        """Moments at which a sign of life is due."""
        until = time.monotonic() + (12.0 if self._seconds is None else self._seconds)
        while time.monotonic() < until:
            yield
            await asyncio.sleep(min(0.1, max(0.0, until - time.monotonic())))

    async def _stream(self) -> None:
        self._writer.write(_http.stream_head())
        if self._fault == "stall":
            await self._silence()
        if self._fault == "keep-alive":
            async for _ in self._ticks():
                self._writer.write(_http.chunk(b": keep-alive\n\n"))
                await self._writer.drain()
        batch: list[bytes] = []
        for kind, event in self._completion.events():
            if await self._spoil(kind, batch):
                return
            batch.append(event)
            if self._delay:
                await self._flush(batch)
                await asyncio.sleep(self._delay)
            elif len(batch) == 64:
                await self._flush(batch)
        if self._fault == "no-done":
            await self._flush(batch)
        else:
            batch.append(b"data: [DONE]\n\n")
            await self._flush(batch)
        self._writer.write(_http.LAST_CHUNK)

    async def _flush(self, batch: list[bytes]) -> None:
        if batch:
            self._writer.write(_http.chunk(b"".join(batch)))
            await self._writer.drain()
            batch.clear()

    async def _spoil(self, kind: str, batch: list[bytes]) -> bool:
        """Do what the fault does before an event of this kind; True ends the answer."""
        calls = bool(self._completion.reply.calls)
        after_reasoning = kind in ("content", "call", "finish")
        inside_arguments = kind == ("arguments" if calls else "finish")
        if (self._fault == "reset-reasoning" and after_reasoning) or (
            self._fault == "reset-arguments" and inside_arguments
        ):
            await self._flush(batch)
            raise ConnectionResetError
        if self._fault == "stall-middle" and after_reasoning:
            await self._flush(batch)
            await self._silence()
        if self._fault == "garbage" and kind == "finish":
            batch.append(b"data: {broken\n\n")
        if self._fault == "error-event" and kind == "finish":
            event = json.dumps(error_body("Internal error", "server_error")).encode()
            batch.append(b"data: " + event + b"\n\n")
        if self._fault == "no-finish" and kind == "finish":
            await self._flush(batch)
            self._writer.write(_http.LAST_CHUNK)
            return True
        return False

    async def _silence(self) -> None:
        await self._writer.drain()
        await asyncio.sleep(3600.0 if self._seconds is None else self._seconds)
