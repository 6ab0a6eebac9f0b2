"""One append-only request history (a lane), kept as the bytes that are sent.

Each message is encoded once, when its event enters the history. A body is the frozen head, the
fragments in their order, and a short tail that does not reach the prompt. There is no method
that edits, reorders or drops anything. A lane may begin with another lane's history (a fork):
then its bytes begin with the other's bytes.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from dataclasses import dataclass

from agentkit.events import (
    Event,
    LaneOpened,
    Message,
    ModelRequested,
    ModelResponded,
    PrefixBroken,
    Steered,
    ToolFinished,
)
from agentkit.ladder import Dialect, Rung
from agentkit.models import wire
from agentkit.models.types import Usage
from agentkit.units import Units, plausible

_OTHER_BYTES = "it is encoded in other bytes than then, or the log was edited"

_ANSWER, _RESULT, _USER = b"art"


@dataclass(frozen=True, slots=True)
class Break:
    """Where a history that is rebuilt from the log stops being what was sent."""

    region: str
    """``head``, or ``message k`` (the system message is 0)."""
    cause: str


class Lane:
    """The history of one lane on one rung.

    Args:
        opened: the event that opens it.
        parent: the lane whose history, up to ``opened.upto``, it begins with. The head is the
            lane's own: where it is another than the parent's, the cache is cold.
    """

    __slots__ = (
        "_buffer", "_hash", "_hashed", "_kinds", "_sent", "_seqs", "_sizes", "broken", "counted",
        "head_size", "rung", "units",
    )  # fmt: skip

    def __init__(self, opened: LaneOpened, parent: Lane | None = None) -> None:
        self.rung = Rung(**opened.rung)
        self._buffer = bytearray(_head(opened))
        self.head_size = len(self._buffer)
        """Bytes up to and including the system message."""
        self._seqs = array("q")  # per fragment: its event's number,
        self._sizes = array("q")  # the history's bytes behind it,
        self._kinds = bytearray()  # and what it is
        self._hash = hashlib.sha256()
        self._hashed = 0
        self.units = Units()
        """What the provider should have stored of it."""
        self.counted = Usage()
        """The last answer's usage; empty where there was none, or nonsense."""
        self.broken: Break | None = None
        """What the guard has found: the next request would not extend the last one."""
        self._sent = (0, 0)  # messages of the last request, and their tokens by our estimate
        if opened.head not in ("", self.head_hash):
            self.broken = Break("head", _OTHER_BYTES)
        if parent is not None:
            self._inherit(parent, opened.upto)

    def _inherit(self, parent: Lane, upto: int) -> None:
        if parent.head == self.head:
            self.units.inherit(parent.units, parent.head_size + upto)
        same = parent.rung.speaks == self.rung.speaks
        start = parent.head_size
        for seq, end, kind in zip(parent._seqs, parent._sizes, parent._kinds, strict=True):
            if end - parent.head_size > upto:
                return
            fragment = bytes(memoryview(parent._buffer)[start:end])
            self._buffer += fragment if same else wire.translated(fragment, self.rung.speaks)
            self._enter(seq, kind)
            start = end

    def _enter(self, seq: int, kind: int) -> None:
        self._seqs.append(seq)
        self._sizes.append(len(self._buffer))
        self._kinds.append(kind)

    def take(self, event: Event) -> None:
        """Take in an event; what the model does not see changes no byte."""
        match event:
            case ModelRequested():
                self._requested(event)
            case ModelResponded():
                self._responded(event)
            case PrefixBroken():
                self.broken = None
                self.units.forget()
            case _:
                self._append(event)

    def _requested(self, event: ModelRequested) -> None:
        """Compare the history with what was sent then; live, the two are the same."""
        if event.upto is not None:
            return
        if event.prefix != self.prefix and self.broken is None:
            first, last = self._sent[0] + 1, self.fragments
            region = f"message {first}" if first >= last else f"messages {first} to {last}"
            self.broken = Break(region, _OTHER_BYTES)
        self._sent = (self.fragments, event.estimate)

    def _responded(self, event: ModelResponded) -> None:
        """An answer enters; its usage tells what the provider now has stored."""
        usage, estimate = event.usage, self._sent[1]
        known = plausible(usage, estimate or usage.prompt_tokens)
        self.counted = usage if known else Usage()
        if known:
            self.units.store(self.size, usage.prompt_tokens, sure=True)
        self._append(event)
        if known:
            tokens = usage.prompt_tokens + usage.completion_tokens
            self.units.store(self.size, tokens, sure=False)

    def _append(self, event: Event) -> None:
        fragment = project(event, self.rung.speaks)
        if fragment is not None:
            kind = _kind(event)
            if kind == _USER and self._kinds and self._kinds[-1] != _ANSWER:
                # It joins the user's turn before it, so an input that ended there is none of ours
                # (a fork's, where the origin went on with an answer).
                self.units.drop(self.size)
            self._buffer += b"," + fragment
            self._enter(event.seq or 0, kind)

    @property
    def size(self) -> int:
        """Bytes of head and fragments."""
        return len(self._buffer)

    @property
    def head(self) -> bytes:
        """The bytes that never change, up to and including the system message."""
        return bytes(memoryview(self._buffer)[: self.head_size])

    @property
    def head_hash(self) -> str:
        """Identity of the head."""
        return hashlib.sha256(self.head).hexdigest()[:16]

    @property
    def fragments(self) -> int:
        """Messages after the system message."""
        return len(self._kinds)

    @property
    def last_seq(self) -> int:
        """Number of the event that entered last, 0 of an empty history."""
        return self._seqs[-1] if self._seqs else 0

    @property
    def turns(self) -> list[int]:
        """Size in bytes before each answer: where a shorter history may end."""
        return [
            self._sizes[index - 1] if index else self.head_size
            for index, kind in enumerate(self._kinds)
            if kind == _ANSWER
        ]

    def size_at(self, seq: int) -> int:
        """Size in bytes behind the last fragment whose event has at most this number."""
        index = bisect_right(self._seqs, seq)
        return self._sizes[index - 1] if index else self.head_size

    def boundary(self, turn: int) -> int:
        """Number of the last event of a turn: its answer, or the last result of its calls.

        Args:
            turn: counts this history's answers from 1; 0 is what came before the first one.

        Raises:
            ValueError: there is no such turn.
        """
        answers = [index for index, kind in enumerate(self._kinds) if kind == _ANSWER]
        if not 0 <= turn <= len(answers):
            raise ValueError(f"turn {turn} is not one of 0 to {len(answers)}")
        if turn == 0:
            first = answers[0] if answers else len(self._kinds)
            return self._seqs[first - 1] if first else 0
        index = answers[turn - 1]
        while index + 1 < len(self._kinds) and self._kinds[index + 1] == _RESULT:
            index += 1
        return self._seqs[index]

    def is_stored(self, seq: int) -> bool:
        """Whether the provider has a cache unit that ends behind this event.

        It stores one at the end of each answered request's input and of each answer (api-docs
        kv_cache guide, 2026-11).
        """
        index = bisect_right(self._seqs, seq) - 1
        answered = index >= 0 and self._kinds[index] == _ANSWER
        return answered or bytes(self._kinds[index + 1 : index + 2]) == bytes([_ANSWER])

    def since(self, offset: int) -> bytes:
        """The bytes that came after the history had ``offset`` bytes."""
        return bytes(memoryview(self._buffer)[offset:])

    @property
    def prefix(self) -> str:
        """Identity of everything a request of now would start with: a running SHA-256.

        Only what came since the last look is hashed.
        """
        self._hash.update(memoryview(self._buffer)[self._hashed :])
        self._hashed = len(self._buffer)
        return self._hash.hexdigest()[:16]

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


def _head(opened: LaneOpened) -> bytes:
    rung = Rung(**opened.rung)
    return wire.head(rung, system=opened.system, tools=opened.tools, user_id=opened.user_id)


def head_hash(opened: LaneOpened) -> str:
    """Identity of the head that this event makes, for ``LaneOpened.head``."""
    return hashlib.sha256(_head(opened)).hexdigest()[:16]


def _kind(event: Event) -> int:
    if isinstance(event, ModelResponded):
        return _ANSWER
    return _RESULT if isinstance(event, ToolFinished) else _USER


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
