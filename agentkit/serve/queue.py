"""How many runs are under way at a time, and how many may wait: for all, and for each tenant."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from agentkit.errors import UsageError
from agentkit.serve.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Limits of one server process."""

    runs: int = 32
    """Runs under way, of all tenants."""
    tenant_runs: int = 8
    """Runs under way of one tenant."""
    tenant_waiting: int = 64
    """Accepted messages of one tenant whose runs wait; more is refused with 429."""
    tenant_streams: int = 1000
    """Event streams of one tenant that are open at a time."""
    body: int = 1 << 20
    """Bytes of a request's body."""

    def __post_init__(self) -> None:
        for name in ("runs", "tenant_runs", "tenant_waiting", "tenant_streams", "body"):
            if getattr(self, name) < 1:
                raise UsageError(f"the capacity {name!r} must be at least 1")


class Queue:
    """First come, first served within a tenant; no tenant can fill all places of the others."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._all = anyio.Semaphore(capacity.runs)
        self._own: defaultdict[str, anyio.Semaphore] = defaultdict(
            lambda: anyio.Semaphore(capacity.tenant_runs)
        )
        self._held: defaultdict[str, int] = defaultdict(int)
        self._seconds = 10.0

    def enter(self, tenant: str) -> None:
        """Take a place, to run or to wait.

        Raises:
            Problem: 429, with the time after which a place is likely to be free.
        """
        most = self._capacity.tenant_runs + self._capacity.tenant_waiting
        if self._held[tenant] >= most:
            after = max(1, min(300, math.ceil(self._seconds / self._capacity.tenant_runs)))
            raise Problem(
                429,
                f"{most} messages are being worked on or wait already",
                hint="Try again later, or cancel one",
                headers={"Retry-After": str(after)},
            )
        self._held[tenant] += 1

    def leave(self, tenant: str) -> None:
        """Give the place back."""
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
            self._own.pop(tenant, None)

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncGenerator[None]:
        """Wait until it is this one's turn to run."""
        async with self._own[tenant], self._all:
            began = anyio.current_time()
            try:
                yield
            finally:
                self._seconds += (anyio.current_time() - began - self._seconds) / 8
