"""A command at a terminal: an exec with a terminal of its own, its bytes raw in both directions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from anyio.lowlevel import checkpoint

from agentkit.errors import EngineUnavailable, SandboxError
from agentkit.sandbox import DEFAULT_KEEP
from agentkit.sandboxes._channel import Channel, ChannelClosed
from agentkit.sandboxes._control import Control

__all__ = ["LARGEST", "PtySession", "Terminal", "check_size"]

_END_LIMIT = 5.0
LARGEST = 1000
"""Rows and columns."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a backend gives: the stream, and the two things that a stream cannot do."""

    channel: Channel
    resize: Callable[[int, int], Awaitable[None]]
    """Takes rows and columns."""
    exit_code: Callable[[], Awaitable[int | None]]


def check_size(rows: int, columns: int) -> None:
    if not (1 <= rows <= LARGEST and 1 <= columns <= LARGEST):
        raise ValueError(f"a terminal has 1 to {LARGEST} rows and columns, not {rows} x {columns}")


class PtySession:
    """Implements ``agentkit.sandbox.Pty``."""

    def __init__(self, name: str, cookie: str, terminal: Terminal, control: Control) -> None:
        self.name = name
        self._cookie = cookie
        self._terminal = terminal
        self._control = control
        self._exit_code: int | None = None
        self._ended = self._closed = False
        self._rest = b""

    @property
    def exit_code(self) -> int | None:
        return self._exit_code

    async def send(self, data: bytes) -> None:
        if self._ended or self._closed:
            raise SandboxError(f"the command at the terminal {self.name} has ended")
        try:
            await self._terminal.channel.send(data)
        except ChannelClosed as error:
            raise SandboxError(
                f"the command at the terminal {self.name} has ended", tried=str(error)
            ) from error

    async def read(self, *, timeout: float = 1.0, max_bytes: int = DEFAULT_KEEP) -> bytes:
        if self._closed and not self._rest and self._exit_code is None:
            raise SandboxError(f"the terminal {self.name} was closed")
        if not self._rest and not self._ended and not self._closed:
            with anyio.move_on_after(timeout):
                try:
                    _, self._rest = await self._terminal.channel.receive()
                except ChannelClosed:
                    self._ended = True
        else:
            await checkpoint()
        if self._ended and self._exit_code is None and not self._closed:
            await self._ask_code()
        data, self._rest = self._rest[:max_bytes], self._rest[max_bytes:]
        return data

    async def _ask_code(self) -> None:
        try:
            self._exit_code = await self._terminal.exit_code()
        except EngineUnavailable:
            # Only the way to it may be gone: then the command is still running.
            self._control.owe(self._cookie)
            raise

    async def resize(self, rows: int, columns: int) -> None:
        check_size(rows, columns)
        if not self._ended and not self._closed:
            await self._terminal.resize(rows, columns)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            try:
                await self._end()
            except SandboxError:
                self._control.owe(self._cookie)
                raise
            finally:
                await self.abandon()

    async def _end(self) -> None:
        """End everything; hanging up alone would leave what has left the terminal's session.

        A program that is only being started carries no mark yet: look until it is known to be gone.
        """
        with anyio.move_on_after(_END_LIMIT):
            while True:
                await self._control.reap_only(self._cookie)
                if self._exit_code is not None or await self._terminal.exit_code() is not None:
                    return
                await anyio.sleep(0.01)

    async def abandon(self) -> None:
        """Close our end only; whoever owns the sandbox ends its processes."""
        self._closed = True
        await self._terminal.channel.aclose()
