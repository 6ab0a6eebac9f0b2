"""How many requests may be in flight at one endpoint, once it has said so.

DeepSeek counts requests in flight per account, not per minute, and lowers the number as the
balance shrinks: 39, 25, 7, 5 were seen within seconds (deepseek.md §6.1, 2026-10). A 429 states
it. From then on requests beyond it wait here, in the order in which they came, instead of being
refused there one after the other. After a while without such a refusal a few more are tried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
from anyio.lowlevel import RunVar

PATIENCE = 30.0
"""Seconds without a refusal after which a quarter more requests are tried."""


class Limiter:
    """Lets any number of requests pass until ``lower`` was told of a limit."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self.in_flight = 0
        self._waiting: deque[anyio.Event] = deque()
        self._since = 0.0

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None, None]:
        """A place among the requests in flight; waits for one where there is a limit."""
        await self._enter()
        try:
            yield
        finally:
            self._leave()

    def lower(self, stated: int) -> None:
        """Take over the number that the provider has just stated."""
        self.limit, self._since = max(1, stated), anyio.current_time()

    async def _enter(self) -> None:
        if self._has_room():
            self.in_flight += 1
            return
        place = anyio.Event()
        self._waiting.append(place)
        try:
            await place.wait()
        except BaseException:
            if place.is_set():  # given and cancelled at once: pass it on
                self._leave()
            else:
                self._waiting.remove(place)
            raise

    def _has_room(self) -> bool:
        if self.limit is None:
            return True
        if anyio.current_time() - self._since > PATIENCE:
            self.limit += max(1, self.limit // 4)
            self._since = anyio.current_time()
        return self.in_flight < self.limit and not self._waiting

    def _leave(self) -> None:
        self.in_flight -= 1
        while self._waiting and (self.limit is None or self.in_flight < self.limit):
            self.in_flight += 1
            self._waiting.popleft().set()


# Of the running event loop, like the connections.
_limiters: RunVar[dict[tuple[str, str], Limiter]] = RunVar("agentkit.models limiters")


def limiter(base_url: str, api_key: str) -> Limiter:
    """The event loop's limiter of this address and key."""
    try:
        limiters = _limiters.get()
    except LookupError:
        limiters: dict[tuple[str, str], Limiter] = {}
        _limiters.set(limiters)
    return limiters.setdefault((base_url, api_key), Limiter())
