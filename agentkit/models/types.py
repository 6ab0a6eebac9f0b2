"""What a model request asks and what an answer holds, free of any transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the model wrote it."""

    id: str
    name: str
    arguments: str
    """The model's own text, which may not be JSON."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request, as the provider counted them.

    ``prompt_tokens`` is hits plus misses. DeepSeek reports both apart
    (``prompt_cache_hit_tokens``, ``prompt_cache_miss_tokens``; api-docs, read 2026-11).
    ``reported`` is False where a provider sent no usage: the numbers are then 0, not measured.
    """

    prompt_tokens: int = 0
    hit_tokens: int = 0
    miss_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    reported: bool = True

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.hit_tokens + other.hit_tokens,
            self.miss_tokens + other.miss_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.reported and other.reported,
        )

    @property
    def hit_ratio(self) -> float:
        """Share of the input that was billed at the cache-hit price, 0 to 1."""
        return self.hit_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


FinishReason = Literal["stop", "tool_calls", "length", "content_filter"]
"""The ends an answer can have. The provider's ``insufficient_system_resource`` and ``aborted``
are raised as ``Overloaded``; a stream without an end is raised as ``StreamCut``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer of the model."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    served_model: str = ""
    """What the provider says it served, which need not be what was asked for."""
    fingerprint: str = ""
    """The provider's ``system_fingerprint``, "" where it sent none."""
    request_id: str = ""
    notes: tuple[str, ...] = ()
    """What was repaired or recognised on the way, for the log (leaked markup parsed, …)."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer under way, coalesced for display."""

    kind: Literal["reasoning", "content", "call"]
    text: str


DeltaCallback = Callable[[Delta], None]
