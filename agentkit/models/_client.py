"""One shared ``AsyncOpenAI`` per endpoint and event loop, on a connection pool that stays flat.

Building a client costs 20 ms (the TLS context), so all sessions of an event loop share one. The
SDK's default pool looks through all its connections on each request and keeps only 100 of them:
at 1,000 sessions a turn costs 3 to 5 times what it costs alone (perf.md, 2026-11). aiohttp's does
not, where it is installed; elsewhere ``_transport`` spreads the requests over many small pools.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
from anyio import to_thread
from anyio.lowlevel import RunVar

from agentkit.models._openai import load_openai

_CONNECT_TIMEOUT = 15.0
_WRITE_TIMEOUT = 120.0
"""Seconds without progress while a body is sent (4 MB on a slow line)."""


@dataclass(slots=True)
class _Shared:
    client: Any = None
    making: anyio.Lock = field(default_factory=anyio.Lock)
    users: set[int] = field(default_factory=set[int])


# anyio's variable of the running event loop, under asyncio and trio: nothing outlives its loop.
_clients: RunVar[dict[tuple[str, str], _Shared]] = RunVar("agentkit.models clients")


async def acquire(base_url: str, api_key: str, user: object) -> Any:
    """The event loop's ``AsyncOpenAI`` for this address and key; made at first use.

    Made in a thread: the imports take a third of a second, once, and the TLS contexts 10 ms.
    """
    try:
        clients = _clients.get()
    except LookupError:
        clients: dict[tuple[str, str], _Shared] = {}
        _clients.set(clients)
    shared = clients.setdefault((base_url, api_key), _Shared())
    shared.users.add(id(user))
    if shared.client is None:
        async with shared.making:
            if shared.client is None:
                make = partial(_make, base_url, api_key, in_asyncio=_runs_asyncio())
                shared.client = await to_thread.run_sync(make)
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
        if shared.client is not None:
            await shared.client.close()


def _make(base_url: str, api_key: str, *, in_asyncio: bool) -> Any:
    openai = load_openai()
    omit = openai.Omit()
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=api_key or "none",  # the package insists on a key; local servers ignore it
        max_retries=0,  # our loop decides, waits and logs each try
        http_client=_http_client(base_url, in_asyncio=in_asyncio),
        # Set in many shells for OpenAI; no business of another provider.
        default_headers={"OpenAI-Organization": omit, "OpenAI-Project": omit},
    )


def _http_client(base_url: str, *, in_asyncio: bool) -> Any:
    openai = load_openai()
    import httpx2

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=1000)
    if _proxied(base_url):  # only the stock transport knows proxies
        return openai.DefaultAsyncHttpx2Client(limits=limits, follow_redirects=False)
    if in_asyncio and importlib.util.find_spec("aiohttp"):
        importlib.import_module("aiohttp")  # here and now, not with the first request in the loop
        return openai.DefaultAioHttpClient(limits=limits, follow_redirects=False)
    from agentkit.models._transport import Sharded

    secure = urlsplit(base_url).scheme == "https"
    return httpx2.AsyncClient(transport=Sharded(secure=secure), follow_redirects=False)


def _runs_asyncio() -> bool:
    from sniffio import current_async_library

    return current_async_library() == "asyncio"


def _proxied(base_url: str) -> bool:
    parts = urlsplit(base_url)
    proxies = getproxies()
    wanted = proxies.get(parts.scheme) or proxies.get("all")
    return bool(wanted) and not proxy_bypass(parts.hostname or "")


def timeout(idle: float) -> Any:
    """The limits of one request: ``idle`` seconds without a byte from the provider."""
    import httpx2

    return httpx2.Timeout(idle, connect=_CONNECT_TIMEOUT, write=_WRITE_TIMEOUT, pool=None)
