"""Read the server name out of the first bytes of a TLS connection."""

from __future__ import annotations

__all__ = ["HELLO_LIMIT", "NotTLS", "server_name"]

HELLO_LIMIT = 1 << 16
"""Bytes within which a ClientHello must be whole."""


class NotTLS(Exception):
    """The bytes are no ClientHello, or a broken one."""


def server_name(data: bytes) -> str | None:
    """The name that a ClientHello asks for: "" where it names none, None where it is not whole.

    Raises:
        NotTLS: these bytes can never become one.
    """
    hello = _handshake(data)
    if hello is None:
        return None
    try:
        return _find_name(hello)
    except IndexError as error:
        raise NotTLS("a ClientHello that ends too early") from error


def _handshake(data: bytes) -> bytes | None:
    """Join the records of the first handshake message (RFC 8446, 5.1 and 4.1.2)."""
    message = b""
    while True:
        if len(data) < 5:
            _require(not data or data[0] == 0x16, "not a handshake")
            return None
        _require(data[0] == 0x16 and data[1] == 3, "not a handshake")
        size = int.from_bytes(data[3:5], "big")
        message += data[5 : 5 + size]
        if len(message) >= 4:
            _require(message[0] == 1, "not a ClientHello")
            whole = 4 + int.from_bytes(message[1:4], "big")
            _require(whole <= HELLO_LIMIT, "a ClientHello without end")
            if len(message) >= whole:
                return message[4:whole]
        if len(data) < 5 + size:
            return None
        data = data[5 + size :]


def _find_name(hello: bytes) -> str:
    at = 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(_cut(hello, at, 2), "big")
    at += 1 + hello[at]
    if at == len(hello):
        return ""
    end = at + 2 + int.from_bytes(_cut(hello, at, 2), "big")
    at += 2
    while at < end:
        kind = int.from_bytes(_cut(hello, at, 2), "big")
        size = int.from_bytes(_cut(hello, at + 2, 2), "big")
        if kind == 0:
            # A list of names with a type each, of which only host_name (0) exists.
            length = int.from_bytes(_cut(hello, at + 7, 2), "big")
            return _cut(hello, at + 9, length).decode("ascii", "replace")
        at += 4 + size
    return ""


def _cut(data: bytes, start: int, size: int) -> bytes:
    piece = data[start : start + size]
    if len(piece) < size:
        raise IndexError
    return piece


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise NotTLS(what)
