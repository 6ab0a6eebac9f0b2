"""Lines from standard input that can be waited for, and given up, without a thread."""

from __future__ import annotations

import os
import sys

import anyio
from anyio import to_thread


class Lines:
    """Reads standard input line by line; a wait that is cancelled loses nothing."""

    def __init__(self) -> None:
        self._buffer = b""
        self._ended = False

    async def next(self) -> str | None:
        """The next line without its end; None at the end of the input."""
        while b"\n" not in self._buffer and not self._ended:
            await self._fill()
        if not self._buffer:
            self._ended = False  # at a terminal, Ctrl-D ends one question, not the input
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(sys.stdin.encoding or "utf-8", "replace").rstrip("\r")

    async def _fill(self) -> None:
        descriptor = sys.stdin.fileno()
        try:
            await anyio.wait_readable(descriptor)
            data = os.read(descriptor, 65_536)
        except PermissionError:  # a plain file is always readable, and cannot be waited for
            data = await to_thread.run_sync(os.read, descriptor, 65_536)
        self._ended = not data
        self._buffer += data
