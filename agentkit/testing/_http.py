"""As much HTTP/1.1 as a test server needs, on asyncio streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection, None at its end or at what is no HTTP."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, ConnectionError):
        return None
    return Request(method, target.partition("?")[0], headers, body)


def whole(status: int, body: object, headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """A complete JSON answer."""
    payload = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    fields = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(payload))),
        *headers,
    ]
    return _head(status, fields) + payload


def stream_head(content_type: str = "text/event-stream") -> bytes:
    """The head of an answer that is sent in chunks."""
    return _head(200, [("Content-Type", content_type), ("Transfer-Encoding", "chunked")])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def _head(status: int, fields: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
