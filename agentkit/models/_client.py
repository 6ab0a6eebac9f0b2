"""One shared ``AsyncOpenAI`` per endpoint and event loop, on a connection pool that stays flat.

Building a client costs 20 ms (the TLS context), so all sessions of an event loop share one. The
SDK's default pool looks through all its connections on each request and keeps only 100 of them:
at 1,000 sessions a turn costs 3 to 5 times what it costs alone (perf.md, 2026-11). The pools here
are small and many: a request takes the pool that was used last and has room.
"""

from __future__ import annotations

import importlib.util
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from anyio.lowlevel import RunVar

from agentkit.models._openai import load_openai

_POOL = 16
"""Connections in one pool: few enough to look through, enough to keep the pools few."""

_CONNECT_TIMEOUT = 15.0
_WRITE_TIMEOUT = 120.0
"""Seconds without progress while a body is sent (4 MB on a slow line)."""


@dataclass(slots=True)
class _Shared:
    client: Any
    users: set[int] = field(default_factory=set[int])


_clients: RunVar[dict[tuple[str, str], _Shared]] = RunVar("agentkit.models clients")


def acquire(base_url: str, api_key: str, user: object) -> Any:
    """The event loop's ``AsyncOpenAI`` for this address and key; made at first use."""
    try:
        clients = _clients.get()
    except LookupError:
        clients = {}
        _clients.set(clients)
    shared = clients.get((base_url, api_key))
    if shared is None:
        shared = clients[base_url, api_key] = _Shared(_make(base_url, api_key))
    shared.users.add(id(user))
    return shared.client


async def release(base_url: str, api_key: str, user: object) -> None:
    """Close the client when its last user leaves it."""
    try:
        clients = _clients.get()
    except LookupError:
        return
    shared = clients.get((base_url, api_key))
    if shared is None or id(user) not in shared.users:
        return
    shared.users.discard(id(user))
    if not shared.users:
        del clients[base_url, api_key]
        await shared.client.close()


def _make(base_url: str, api_key: str) -> Any:
    openai = load_openai()
    omit = openai.Omit()
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key or "none",  # the package insists on a key; local servers ignore it
        max_retries=0,  # our loop decides, waits and logs each try
        http_client=_http_client(base_url),
        # Set in many shells for OpenAI; no business of another provider.
        default_headers={"OpenAI-Organization": omit, "OpenAI-Project": omit},
    )


def _http_client(base_url: str) -> Any:
    openai = load_openai()
    import httpx2  # noqa: PLC0415 - comes with openai, as heavy

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=1000)
    if _proxied(base_url):  # only the stock transport knows proxies
        return openai.DefaultAsyncHttpx2Client(limits=limits, follow_redirects=False)
    if _runs_asyncio() and importlib.util.find_spec("aiohttp"):
        return openai.DefaultAioHttpClient(limits=limits, follow_redirects=False)
    return httpx2.AsyncClient(transport=_sharded(base_url), follow_redirects=False)


def _runs_asyncio() -> bool:
    from sniffio import current_async_library  # noqa: PLC0415 - comes with anyio

    return current_async_library() == "asyncio"


def _proxied(base_url: str) -> bool:
    parts = urlsplit(base_url)
    proxies = getproxies()
    wanted = proxies.get(parts.scheme) or proxies.get("all")
    return bool(wanted) and not proxy_bypass(parts.hostname or "")


def _sharded(base_url: str) -> Any:
    import httpx2  # noqa: PLC0415

    secure = urlsplit(base_url).scheme == "https"
    # A context without certificates is free, and refuses every https address.
    context = (
        httpx2.create_ssl_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=_POOL)

    class Sharded(httpx2.AsyncBaseTransport):
        """Spreads requests over pools of ``_POOL`` requests in flight each."""

        def __init__(self) -> None:
            self._pools: list[Any] = []
            self._room: list[Any] = []  # pools with room, the one used last at the end
            self._load: dict[Any, int] = {}

        async def handle_async_request(self, request: Any) -> Any:
            if not self._room:
                pool = httpx2.AsyncHTTPTransport(verify=context, limits=limits)
                self._pools.append(pool)
                self._room.append(pool)
                self._load[pool] = 0
            pool = self._room[-1]
            self._load[pool] += 1
            if self._load[pool] == _POOL:
                self._room.pop()
            try:
                response = await pool.handle_async_request(request)
            except BaseException:
                self._leave(pool)
                raise
            response.stream = Tracked(response.stream, self, pool)
            return response

        def _leave(self, pool: Any) -> None:
            if self._load[pool] == _POOL:
                self._room.append(pool)
            self._load[pool] -= 1

        async def aclose(self) -> None:
            for pool in self._pools:
                await pool.aclose()

    class Tracked(httpx2.AsyncByteStream):
        """Gives the place in its pool back when the response is closed."""

        def __init__(self, stream: Any, owner: Sharded, pool: Any) -> None:
            self._stream = stream
            self._owner: Sharded | None = owner
            self._pool = pool

        def __aiter__(self) -> Any:
            return self._stream.__aiter__()

        async def aclose(self) -> None:
            try:
                await self._stream.aclose()
            finally:
                if self._owner is not None:
                    self._owner._leave(self._pool)
                    self._owner = None

    return Sharded()


def timeout(idle: float) -> Any:
    """The limits of one request: ``idle`` seconds without a byte from the provider."""
    import httpx2  # noqa: PLC0415

    return httpx2.Timeout(idle, connect=_CONNECT_TIMEOUT, write=_WRITE_TIMEOUT, pool=None)
