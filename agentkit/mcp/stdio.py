"""A server that is a program of ours: bounded pipes, its last words, its end.

The SDK's own transport keeps a line without limit and joins it anew with each piece, so a line
costs the square of its length. This one ends a server that floods.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import ByteReceiveStream, Process
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams

    from agentkit.mcp.config import MCPServer

MOST_MESSAGE = 8 << 20
"""Bytes of one message."""
MOST_BETWEEN = 16 << 20
"""Bytes that a server may say after one message of ours and before the next."""
_LAST_WORDS = 2_000
"""Bytes of its error output that are kept."""
_GRACE = 1.0
"""Seconds that it has to end by itself, and again after SIGTERM."""
_PACE = 0.005
"""Seconds between two reads of error output: one that never ends must not keep us busy."""
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


class Stdio(AbstractAsyncContextManager["TransportStreams"]):
    """One life of the program, as a transport for ``mcp.Client``."""

    def __init__(self, server: MCPServer, environment: Mapping[str, str]) -> None:
        self.ended = ""
        """Why nothing more comes from it, "" while it lives."""
        self._server = server
        self._environment = {**get_default_environment(), **environment}
        self._said = 0
        self._errors = b""
        self._noise = ""
        self._context = self._life()

    async def __aenter__(self) -> TransportStreams:
        return await self._context.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._context.__aexit__(*error)

    @property
    def last_words(self) -> str:
        """The end of its error output, or of what it wrote that is no message."""
        text = self._errors.decode("utf-8", "replace").strip() or self._noise
        return _CONTROL.sub("", text)[-_LAST_WORDS:]

    @asynccontextmanager
    async def _life(self) -> AsyncGenerator[TransportStreams]:
        process = await anyio.open_process(
            [self._server.command, *self._server.args],
            env=self._environment,
            cwd=self._server.cwd or None,
            start_new_session=True,  # the terminal's Ctrl-C is ours to handle
        )
        to_client, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        to_server, from_client = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, process, to_client)
            tasks.start_soon(self._write, process, from_client)
            tasks.start_soon(self._overhear, process)
            try:
                yield from_server, to_server
            finally:
                with anyio.CancelScope(shield=True):
                    from_server.close()
                    to_server.close()
                    await _end(process)
                tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.move_on_after(_GRACE):
            await process.aclose()

    async def _read(
        self, process: Process, client: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        assert process.stdout is not None
        async with client:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._lines(process.stdout, client)
            flooded, self.ended = self.ended, self.ended or "it ended"
            if await _gone(process) and not flooded:
                self.ended = f"it ended with {process.returncode}"

    async def _lines(
        self, stdout: ByteReceiveStream, client: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        line = bytearray()
        async for piece in stdout:
            self._said += len(piece)
            *whole, rest = piece.split(b"\n")
            for each in whole:
                line += each
                await self._message(bytes(line), client)
                line.clear()
            line += rest
            if len(line) > MOST_MESSAGE or self._said > MOST_BETWEEN:
                what = "one message" if len(line) > MOST_MESSAGE else "answer to one message"
                most = MOST_MESSAGE if len(line) > MOST_MESSAGE else MOST_BETWEEN
                self.ended = f"it sent more than {most >> 20} MB as {what} and was stopped"
                return

    async def _message(
        self, line: bytes, client: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        if not line.strip():
            return
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:  # a word on the wrong stream; many programs greet
            self._noise = line[:_LAST_WORDS].decode("utf-8", "replace").strip()
            return
        await client.send(SessionMessage(message))

    async def _write(
        self, process: Process, client: MemoryObjectReceiveStream[SessionMessage]
    ) -> None:
        assert process.stdin is not None
        async with client:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                async for each in client:
                    text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                    self._said = 0
                    await process.stdin.send(text.encode() + b"\n")

    async def _overhear(self, process: Process) -> None:
        assert process.stderr is not None
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for piece in process.stderr:
                self._errors = (self._errors + piece)[-_LAST_WORDS:]
                await anyio.sleep(_PACE)


async def _end(process: Process) -> None:
    """Close its input, wait, then end it with all that it started."""
    if process.stdin is not None:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.aclose()
    await _gone(process)
    for number in (signal.SIGTERM, signal.SIGKILL):
        # The group is looked at, not the process: what it started may outlive it.
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            return
        if await _gone(process) and number == signal.SIGTERM:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            return


async def _gone(process: Process) -> bool:
    """Whether it ends within the time it has."""
    # Not process.wait(): in asyncio that waits for the pipes' ends too, which a child may hold.
    with anyio.move_on_after(_GRACE):
        while process.returncode is None:  # noqa: ASYNC110 - nothing tells of it
            await anyio.sleep(0.01)
    return process.returncode is not None
