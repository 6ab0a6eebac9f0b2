"""Find the runtime's own records in a stream of arbitrary bytes.

A record is ``RS nonce : payload : nonce RS LF`` (RS is 0x1E). The nonce is 128 random bits that
were made for this one record and that no process in the sandbox holds in a variable, so nothing a
command prints, echoes or dumps can be taken for a record.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Record", "Scanner", "new_nonce"]

_NONCE = 32
_START = re.compile(rb"\x1e([0-9a-f]{%d}):" % _NONCE)
"""The same for all, as a pattern of its own for each record would cost more than the search."""


def new_nonce() -> str:
    return secrets.token_hex(_NONCE // 2)


@dataclass(frozen=True, slots=True)
class Record:
    """One record, with the nonce it was asked for under."""

    nonce: str
    payload: bytes


class Scanner:
    """Split one stream into output and records; keeps what is not yet decidable."""

    def __init__(self) -> None:
        self._buffer = b""
        self._open: str | None = None
        self._expected: frozenset[bytes] = frozenset()
        self._body: list[bytes] = []

    def expect(self, nonces: Iterable[str]) -> None:
        """Name the records that may appear from now on; forget earlier names."""
        self._expected = frozenset(nonce.encode() for nonce in nonces)

    def feed(self, data: bytes) -> Iterator[bytes | Record]:
        """Yield what this piece of the stream completes."""
        self._buffer = self._buffer + data if self._buffer else data
        while self._buffer:
            found = self._next_text() if self._open is None else self._next_payload(self._open)
            if found is None:
                return
            if found:
                yield found

    def rest(self) -> bytes:
        """Return what is held back: the stream ended, so it is output after all."""
        if self._open is not None:
            return b""
        data, self._buffer = self._buffer, b""
        return data

    def _next_text(self) -> bytes | None:
        """Cut output off the buffer, up to a record's start or to what might become one."""
        buffer = self._buffer
        for match in _START.finditer(buffer):
            if match[1] not in self._expected:
                continue
            self._open = match[1].decode()
            self._buffer = buffer[match.end() :]
            return buffer[: match.start()]
        mark = buffer.rfind(b"\x1e", max(0, len(buffer) - _NONCE - 1))
        if mark == -1:
            self._buffer = b""
            return buffer
        if mark == 0:
            return None
        self._buffer = buffer[mark:]
        return buffer[:mark]

    def _next_payload(self, nonce: str) -> Record | None:
        end = f":{nonce}\x1e\n".encode()
        # A payload may be large (an environment of 100 KB): join its pieces once, not per piece.
        index = self._buffer.find(end)
        if index == -1:
            cut = max(0, len(self._buffer) - len(end) + 1)
            self._body.append(self._buffer[:cut])
            self._buffer = self._buffer[cut:]
            return None
        payload = b"".join([*self._body, self._buffer[:index]])
        self._buffer = self._buffer[index + len(end) :]
        self._body.clear()
        self._open = None
        return Record(nonce, payload)
