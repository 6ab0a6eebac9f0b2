"""Terminals of this machine, for commands that run on it."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress

import anyio

from agentkit.sandboxes._channel import STDOUT, ChannelClosed, until_writable
from agentkit.sandboxes._pty import Terminal

__all__ = ["open_terminal"]

_CHUNK = 1 << 18
_LOOK = 0.05
"""Seconds after which a silent terminal is asked whether its program still runs."""
# Opening a terminal makes it the controlling one of a process that leads a session without.
_ENTER = 'exec 0<>"$0" 1>&0 2>&1; exec "$@"'


async def open_terminal(
    start: Callable[[list[str]], Awaitable[subprocess.Popen[bytes]]],
    argv: list[str],
    rows: int,
    columns: int,
) -> Terminal:
    """Start a program at a new terminal; ``start`` puts it in a kernel session of its own."""
    ours, theirs = os.openpty()
    try:
        _set_size(ours, rows, columns)
        process = await start(["/bin/sh", "-c", _ENTER, os.ttyname(theirs), *argv])
    except BaseException:
        os.close(ours)
        os.close(theirs)
        raise

    async def resize(rows: int, columns: int) -> None:
        _set_size(ours, rows, columns)

    async def exit_code() -> int | None:
        try:
            code = await anyio.to_thread.run_sync(process.wait, 2)
        except subprocess.TimeoutExpired:
            return None
        return code if code >= 0 else 128 - code

    return Terminal(_HeldTerminal(process, ours, theirs), resize, exit_code)


def _set_size(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class _TerminalChannel:
    """Our end of a terminal on this machine, and the process at the other."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        os.set_blocking(terminal, False)
        self._closed = False

    async def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._closed:
                raise ChannelClosed("the terminal was closed")
            try:
                view = view[os.write(self._terminal, view) :]
            except BlockingIOError:
                await until_writable(self._terminal, lambda: not self.alive())
            except OSError as error:
                raise ChannelClosed(str(error)) from error

    async def receive(self) -> tuple[int, bytes]:
        while not self._closed:
            try:
                data = os.read(self._terminal, _CHUNK)
            except BlockingIOError:
                with suppress(anyio.ClosedResourceError):
                    await anyio.wait_readable(self._terminal)
                continue
            except OSError as error:
                # Linux says EIO when nobody holds the other end any more.
                raise ChannelClosed(str(error)) from error
            if not data:
                break
            return STDOUT, data
        raise ChannelClosed("the terminal has ended")

    def end_input(self) -> None:
        raise NotImplementedError("a terminal's input ends with Ctrl-D")

    def alive(self) -> bool:
        return not self._closed and self._process.poll() is None

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        anyio.notify_closing(self._terminal)
        os.close(self._terminal)
        self._process.kill()
        await anyio.to_thread.run_sync(self._process.wait)


class _HeldTerminal(_TerminalChannel):
    """Holds the program's end open while the program runs: one that nobody holds has ended.

    Not only until something is read: that may be the echo of what was typed before the program
    had opened its end.
    """

    def __init__(self, process: subprocess.Popen[bytes], ours: int, theirs: int) -> None:
        super().__init__(process, ours)
        self._theirs = theirs

    async def receive(self) -> tuple[int, bytes]:
        while self._theirs >= 0:
            ended = not self.alive()
            with anyio.move_on_after(0 if ended else _LOOK):
                return await super().receive()
            if ended:
                self._let_go()
        return await super().receive()

    async def aclose(self) -> None:
        self._let_go()
        await super().aclose()

    def _let_go(self) -> None:
        if self._theirs >= 0:
            os.close(self._theirs)
            self._theirs = -1
