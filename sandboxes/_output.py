"""Keep the start and the end of a stream, count the rest."""

from __future__ import annotations

from collections import deque

from agentkit.sandbox import Output

__all__ = ["Keeper"]


class Keeper:
    """Collect a stream in bounded memory: the first half of ``keep`` bytes and the last half."""

    def __init__(self, keep: int) -> None:
        self._head_room = keep - keep // 2
        self._tail_room = keep // 2
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        if room := self._head_room - len(self._head):
            self._head += data[:room]
            data = data[room:]
        if data and self._tail_room:
            self._add_tail(data)

    def last(self) -> bytes:
        """Some of the latest output."""
        return self._tail[-1] if self._tail else bytes(self._head[-4096:])

    def result(self) -> Output:
        tail = b"".join(self._tail)
        # Whole pieces are dropped while data arrives; the exact cut is made once, here.
        return Output(bytes(self._head), tail[-self._tail_room :] if tail else b"", self.total)

    def _add_tail(self, data: bytes) -> None:
        self._tail.append(data[-self._tail_room :])
        self._tail_size += len(self._tail[-1])
        while self._tail_size - len(self._tail[0]) >= self._tail_room:
            self._tail_size -= len(self._tail.popleft())
