"""How many connections ``agentkit serve`` keeps, and for how long one may say nothing.

uvicorn bounds neither. Where the process has no file left for the next connection, asyncio of
Python 3.11 tries again thousands of times a second, with a traceback in the log for each.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["BACKLOG", "MOST", "SILENCE", "BoundedProtocol", "make_room"]

MOST = 8_192
"""Connections at once, where the system allows that many files."""
BACKLOG = 128
"""Connections that are accepted in one step, before any of them can be refused."""
SILENCE = 20.0
"""Seconds in which a request's head must come, from the connection's or the head's beginning."""
_FILES = 16_384

_WORDS = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "This server keeps no more connections; try again later.",
}
_BODY = json.dumps(_WORDS).encode()
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 5\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(_BODY)
) + _BODY


def make_room() -> int:
    """Ask the system for more files; how many connections may then be kept.

    Half of the files are left to sessions: stores, engines, model connections.
    """
    try:
        import resource
    except ImportError:  # Windows
        return MOST
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    files = _FILES if soft == resource.RLIM_INFINITY else soft
    return max(16, min(MOST, files // 2 - BACKLOG))


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol; refuses what is too much, and ends what says nothing."""

    most = MOST
    silence = SILENCE
    _deadline: asyncio.TimerHandle | None = None
    _refused = False

    @classmethod
    def of(cls, most: int, silence: float = SILENCE) -> type[BoundedProtocol]:
        """The protocol of a server with these bounds."""
        return type("BoundedProtocol", (cls,), {"most": most, "silence": silence})

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refused = True
            transport.write(_REFUSAL)
            transport.close()
        else:
            self._await_head()

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        """The clock runs while no request's head is whole and no answer is under way."""
        if self._answering():
            self._stop()
        elif self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(self.silence, self._end)

    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end(self) -> None:
        self._deadline = None
        if not self._answering():
            self.transport.close()
