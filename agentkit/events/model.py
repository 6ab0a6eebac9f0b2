"""Requests, answers, and the lanes they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from agentkit.events.base import Event, JsonObject
from agentkit.models.types import ToolCall, Usage

LaneRole = Literal["main", "hand-off", "consult", "plan", "review", "task", "attempt"]
"""What a lane is for. Work goes on in the last opened ``main`` or ``hand-off`` lane; the others
answer the lane that opened them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOpened(Event):
    """A request history begins; its head never changes."""

    type: ClassVar[str] = "lane.opened"
    rung: JsonObject
    system: str
    tools: tuple[JsonObject, ...] = ()
    user_id: str = ""
    role: LaneRole = "main"
    parent: str = ""
    """The lane that opened this one, "" where the session did."""
    replays: str = ""
    """The lane whose history this one begins with."""
    upto: int = 0
    """Bytes of that history, counted from the end of its head."""
    head: str = ""
    """SHA-256 of the head's bytes, shortened: what was sent, and must be sent again."""
    in_copy: bool = False
    """It works in a copy of the workspace: what its checks say holds only there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequested(Event):
    """A request is about to leave."""

    type: ClassVar[str] = "model.requested"
    model: str
    attempt: int
    """1 for the first try; higher numbers resend the same bytes."""
    size: int
    """Bytes of the body."""
    prefix: str
    """Running SHA-256 of head and fragments, shortened."""
    max_tokens: int = 0
    trailing: str = ""
    """A user text behind the history, for this one request only."""
    upto: int | None = None
    """Bytes of the history that are sent, None for all of it."""
    estimate: int = 0
    """Tokens of the prompt by our own count, before the provider's is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDelta(Event):
    """A piece of an answer under way."""

    type: ClassVar[str] = "model.delta"
    stored: ClassVar[bool] = False
    kind: Literal["reasoning", "content", "call"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResponded(Event):
    """A complete answer; it enters the history."""

    type: ClassVar[str] = "model.responded"
    content: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    priced: bool = True
    """False where the catalogue has no price for the model: the cost is then unknown, not 0."""
    model: str = ""
    """What was asked for."""
    served_model: str = ""
    fingerprint: str = ""
    request_id: str = ""
    duration: float = 0.0
    """Seconds."""
    notes: tuple[str, ...] = ()
    expected_hits: int | None = None
    """Tokens that our model of the provider's cache expected to hit; None where it knows none."""
    missed: int = 0
    """Tokens that were stored and had to hit and did not: the provider's miss, not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChanged(Event):
    """The provider serves something else under the same name than earlier in this session."""

    type: ClassVar[str] = "model.changed"
    model: str
    """What was asked for."""
    served_before: str
    served_now: str
    fingerprint_before: str = ""
    fingerprint_now: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFailed(Event):
    """A request got no usable answer; nothing of it enters the history."""

    type: ClassVar[str] = "model.failed"
    error: str
    """The class name in ``agentkit.errors``, or ``AnswerCut``."""
    message: str
    attempt: int
    wait: float | None = None
    """Seconds until the next try; None where there is none."""
    status: int | None = None
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAdvised(Event):
    """An answer to a request beside the history; it enters no lane by itself."""

    type: ClassVar[str] = "model.advised"
    content: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    priced: bool = True
    served_model: str = ""
    expected_hits: int | None = None
    """Tokens that our model of the provider's cache expected to hit; None where it knows none."""
    missed: int = 0
    """Tokens that were stored and had to hit and did not: the provider's miss, not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixBroken(Event):
    """The lane's next request does not extend its last one, because the caller asked for that."""

    type: ClassVar[str] = "prefix.broken"
    region: str
    """What differs: model, effort, system, tools, user_id, head, or ``message k``."""
    cause: str
    tokens: int
    """About how many are read without the cache."""
    price_usd: float = 0.0
    """What that costs more, 0.0 where the model has no known price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded(Event):
    """The lane was full; a summary of it opens another."""

    type: ClassVar[str] = "folded"
    to: str
    """The new lane."""
    summary: str
    events: int
    """The last event that was folded."""
