"""One append-only request history (a lane), kept as the bytes that are sent.

Each message is encoded once, when its event enters the history. A body is the frozen head, the
fragments in their order, and a short tail that does not reach the prompt. There is no method
that edits, reorders or drops anything.
"""

from __future__ import annotations

import hashlib

from agentkit.events import Event, LaneOpened, Message, ModelResponded, Steered, ToolFinished
from agentkit.ladder import Dialect, Rung
from agentkit.models import wire


class Lane:
    """The history of one lane on one rung."""

    __slots__ = ("_buffer", "_hash", "fragments", "head_size", "rung", "turns")

    def __init__(self, opened: LaneOpened, replayed: bytes = b"") -> None:
        """A lane with nothing but its head, or with a history that another lane lived through.

        Args:
            replayed: that history, as ``history_for`` of the other lane gives it.
        """
        self.rung = Rung(**opened.rung)
        self._buffer = bytearray(
            wire.head(self.rung, system=opened.system, tools=opened.tools, user_id=opened.user_id)
        )
        self.head_size = len(self._buffer)
        """Bytes up to and including the system message."""
        self._buffer += replayed
        self._hash = hashlib.sha256(self._buffer)
        self.fragments = 0
        """Messages that entered after the system message, replayed ones apart."""
        self.turns: list[int] = []
        """Size in bytes before each answer: where a shorter history may end."""

    def append(self, event: Event) -> None:
        """Take in an event; those that the model does not see change nothing."""
        fragment = project(event, self.rung.speaks)
        if fragment is not None:
            if isinstance(event, ModelResponded):
                self.turns.append(self.size)
            self._hash.update(fragment)
            self._buffer += b"," + fragment
            self.fragments += 1

    @property
    def size(self) -> int:
        """Bytes of head and fragments."""
        return len(self._buffer)

    def since(self, offset: int) -> bytes:
        """The bytes that came after the history had ``offset`` bytes."""
        return bytes(self._buffer[offset:])

    def history_for(self, dialect: Dialect, upto: int) -> bytes:
        """The first ``upto`` bytes after the head, as a lane of that dialect sends them."""
        history = bytes(self._buffer[self.head_size : self.head_size + upto])
        return history if dialect == self.rung.speaks else wire.translated(history, dialect)

    @property
    def prefix(self) -> str:
        """Identity of everything a request of now would start with."""
        return self._hash.copy().hexdigest()[:16]

    def body(
        self, *, max_tokens: int, stream: bool, trailing: str = "", upto: int | None = None
    ) -> bytes:
        """The next request's body: one copy of the buffer, nothing encoded again.

        Args:
            trailing: a user text behind the history, which does not become part of it.
            upto: send only so many bytes of the history, one of ``turns``.
        """
        tail = wire.tail(max_tokens=max_tokens, stream=stream, dialect=self.rung.speaks)
        extra = b"," + wire.user(trailing) if trailing else b""
        return b"".join((memoryview(self._buffer)[:upto], extra, tail))


def project(event: Event, dialect: Dialect) -> bytes | None:
    """What the model sees of an event, as the bytes that are sent; None where it sees nothing.

    A pure function: the log alone determines every request.
    """
    match event:
        case Message() | Steered():
            return wire.user(event.text)
        case ModelResponded():
            return wire.assistant(event.content, event.reasoning, event.calls, dialect=dialect)
        case ToolFinished():
            return wire.tool_result(event.call_id, event.content)
        case _:
            return None
