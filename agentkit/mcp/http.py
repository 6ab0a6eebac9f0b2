"""A server at an address: the SDK's transport, with answers of bounded size."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from agentkit.mcp.stdio import MOST_BETWEEN, MOST_MESSAGE

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams


class TooMuch(httpx2.StreamError):
    """An answer is larger than it may be, or of a size that cannot be known."""


@asynccontextmanager
async def http_transport(
    url: str, headers: Mapping[str, str], timeout: float
) -> AsyncGenerator[TransportStreams]:
    """A transport for ``mcp.Client`` whose answers end at a limit, as does an event of a stream.

    Args:
        timeout: seconds of silence in the middle of an answer.
    """
    client = httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity", **headers},
        timeout=httpx2.Timeout(30.0, read=max(timeout, 30.0) + 5),
        event_hooks={"response": [_bound]},
    )
    async with (
        client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MOST_MESSAGE) as streams,
    ):
        yield streams


async def _bound(response: httpx2.Response) -> None:
    """Put the limit around what comes."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding not in ("", "identity"):  # small on the way, of any size here
        raise TooMuch(f"the answer is compressed ({encoding[:20]}), which was not asked for")
    if response.request.method == "GET":  # the server's own stream lasts as long as the session
        return
    events = response.headers.get("content-type", "").startswith("text/event-stream")
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    response.stream = _Bounded(response.stream, MOST_BETWEEN if events else MOST_MESSAGE)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream = stream
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > self._most:
                raise TooMuch(f"the answer has more than {self._most >> 20} MB")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
