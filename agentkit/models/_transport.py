"""An ``httpx2`` transport of many small connection pools, flat in the number of sessions.

The stock pool looks through all its connections whenever a request comes or goes. Here a pool
takes at most ``_POOL`` requests at a time, and the pool that was used last and has room is taken
first, so connections stay warm and no list grows. Imported only with ``httpx2`` in place.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import cast

import httpx2

_POOL = 16
"""Requests in one pool: few enough to look through, enough to keep the pools few."""


class Sharded(httpx2.AsyncBaseTransport):
    """Spreads requests over pools of ``_POOL`` requests in flight each."""

    def __init__(self, *, secure: bool) -> None:
        # A TLS context with certificates takes 20 ms to build; one without refuses every https
        # address, so it is as safe and costs nothing where the endpoint is plain http.
        self._tls = (
            httpx2.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        self._limits = httpx2.Limits(max_connections=None, max_keepalive_connections=_POOL)
        self._load: dict[httpx2.AsyncHTTPTransport, int] = {}
        self._room: list[httpx2.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        pool = self._enter()
        try:
            response = await pool.handle_async_request(request)
        except BaseException:
            self.leave(pool)
            raise
        response.stream = _Tracked(cast("httpx2.AsyncByteStream", response.stream), self, pool)
        return response

    def _enter(self) -> httpx2.AsyncHTTPTransport:
        if not self._room:
            pool = httpx2.AsyncHTTPTransport(verify=self._tls, limits=self._limits)
            self._load[pool] = 0
            self._room.append(pool)
        pool = self._room[-1]
        self._load[pool] += 1
        if self._load[pool] == _POOL:
            self._room.pop()
        return pool

    def leave(self, pool: httpx2.AsyncHTTPTransport) -> None:
        """Give a place in a pool back."""
        if self._load[pool] == _POOL:
            self._room.append(pool)
        self._load[pool] -= 1

    async def aclose(self) -> None:
        for pool in self._load:
            await pool.aclose()


class _Tracked(httpx2.AsyncByteStream):
    """A response's bytes; gives the place in the pool back when it is closed."""

    def __init__(
        self, stream: httpx2.AsyncByteStream, owner: Sharded, pool: httpx2.AsyncHTTPTransport
    ) -> None:
        self._stream = stream
        self._owner: Sharded | None = owner
        self._pool = pool

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        owner, self._owner = self._owner, None
        try:
            await self._stream.aclose()
        finally:
            if owner is not None:
                owner.leave(self._pool)
