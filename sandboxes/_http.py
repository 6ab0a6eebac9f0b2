"""As much of HTTP/1.1 as a forward proxy needs: one request, its body, and the answer's head."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["BadRequest", "Head", "Request", "copy_body", "read_head", "read_request"]

_MOST_LINES = 200
_CHUNK = 1 << 16
# Fields that concern one connection, or that this proxy sets itself.
_DROPPED = frozenset(
    {
        "connection",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    }
)


class BadRequest(ValueError):
    """What was sent is no request that this proxy can pass on."""


@dataclass(frozen=True, slots=True)
class Head:
    """A first line and header fields."""

    first: str
    fields: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a proxy."""

    method: str
    host: str
    port: int
    target: str
    """Path and query; empty for CONNECT."""
    version: str
    fields: tuple[tuple[str, str], ...]
    body: int | Literal["chunked"]
    """Its length in bytes."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"

    def head_for(self, target: str, authorization: str = "") -> bytes:
        """The head as it is sent on: the host is the one that was checked, whatever was said."""
        named = {name for value in self._named("connection") for name in value.lower().split(",")}
        dropped = _DROPPED | {name.strip() for name in named}
        kept = [f"{name}: {value}" for name, value in self.fields if name.lower() not in dropped]
        extra = [f"Proxy-Authorization: {authorization}"] if authorization else []
        first = f"{self.method} {target} {self.version}"
        lines = [first, f"Host: {self.authority}", *kept, *extra, "Connection: close"]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _named(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]


async def read_request(reader: StreamReader) -> Request:
    """Read a request's head.

    Raises:
        BadRequest: it is none, or not one to a proxy.
    """
    head = await read_head(reader)
    words = head.first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[0].isalpha():
        raise BadRequest("this is an HTTP/1.1 proxy")
    method, target, version = words
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        return Request(method, host.strip("[]"), _port(port), "", version, head.fields, 0)
    try:
        url = urlsplit(target)
        host, port = url.hostname or "", url.port or 80
    except ValueError as error:
        raise BadRequest(f"no address of a page: {error}") from error
    if url.scheme != "http" or not host:
        raise BadRequest("a proxy takes CONNECT, or an http:// address; nothing else is here")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return Request(method, host, port, path, version, head.fields, _body(head))


async def read_head(reader: StreamReader) -> Head:
    """Read to the empty line."""
    first = await _line(reader)
    fields: list[tuple[str, str]] = []
    while line := await _line(reader):
        name, colon, value = line.partition(":")
        if not colon or name != name.strip() or not name:
            raise BadRequest("a header field that is none")
        fields.append((name, value.strip()))
        if len(fields) > _MOST_LINES:
            raise BadRequest(f"more than {_MOST_LINES} header fields")
    return Head(first, tuple(fields))


async def copy_body(reader: StreamReader, writer: StreamWriter, body: int | str) -> None:
    """Pass the body on, and not a byte more: what follows it would be an unchecked request."""
    if body == "chunked":
        while await _copy_chunk(reader, writer):
            pass
    else:
        await _copy(reader, writer, int(body))
    await writer.drain()


async def _copy_chunk(reader: StreamReader, writer: StreamWriter) -> bool:
    line = await _line(reader)
    size = line.partition(";")[0].strip()
    if not size or len(size) > 15 or not all(char in "0123456789abcdefABCDEF" for char in size):
        raise BadRequest("a chunk without a size")
    writer.write(f"{size}\r\n".encode())
    if int(size, 16) == 0:
        # Trailers are dropped.
        while await _line(reader):
            pass
        writer.write(b"\r\n")
        return False
    await _copy(reader, writer, int(size, 16))
    if await reader.readexactly(2) != b"\r\n":
        raise BadRequest("a chunk that does not end where it says")
    writer.write(b"\r\n")
    return True


async def _copy(reader: StreamReader, writer: StreamWriter, size: int) -> None:
    while size:
        piece = await reader.read(min(size, _CHUNK))
        if not piece:
            raise asyncio.IncompleteReadError(b"", size)
        writer.write(piece)
        await writer.drain()
        size -= len(piece)


async def _line(reader: StreamReader) -> str:
    raw = await reader.readline()
    if not raw.endswith(b"\n"):
        raise asyncio.IncompleteReadError(raw, None)
    line = raw.rstrip(b"\r\n")
    # A bare CR or a NUL is read differently by different servers.
    if b"\r" in line or b"\0" in line:
        raise BadRequest("a control character in a header")
    return line.decode("latin-1")


def _body(head: Head) -> int | Literal["chunked"]:
    coding, lengths = head.all("transfer-encoding"), set(head.all("content-length"))
    if coding:
        # Both at once is how a second request is smuggled past a proxy.
        if lengths or [value.lower() for value in coding] != ["chunked"]:
            raise BadRequest("a body of unclear length")
        return "chunked"
    if not lengths:
        return 0
    length = lengths.pop()
    if lengths or not length.isdecimal() or not length.isascii():
        raise BadRequest("a body of unclear length")
    return int(length)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 16):
        raise BadRequest("CONNECT names no port")
    return int(text)
