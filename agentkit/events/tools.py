"""Tool calls and what was permitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from agentkit.events.base import Event, JsonObject

Risk = Literal["", "low", "medium", "high"]
"""What a call could do: only read; change files of the workspace, or something that is not known;
reach beyond the workspace, destroy, or run what nobody can read beforehand. "" was not judged."""
ToolStatus = Literal["done", "failed", "invalid", "refused", "cancelled", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted(Event):
    """A call is about to run. Without a ``tool.finished`` its outcome is unknown."""

    type: ClassVar[str] = "tool.started"
    call_id: str
    tool: str
    arguments: JsonObject = field(default_factory=JsonObject)
    repeatable: bool = False
    repairs: tuple[str, ...] = ()
    """What was mended in the model's arguments; the history keeps its own text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput(Event):
    """A piece of a running tool's output."""

    type: ClassVar[str] = "tool.output"
    stored: ClassVar[bool] = False
    call_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(Event):
    """A call's result, as the model reads it; it enters the history."""

    type: ClassVar[str] = "tool.finished"
    call_id: str
    tool: str
    status: ToolStatus
    content: str
    display: str = ""
    data: JsonObject = field(default_factory=JsonObject)
    writes: bool = False
    """The call may have changed files: checks that passed before it are stale."""
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(Event):
    """A call waits for somebody's yes, until it is answered; a resumed session asks anew."""

    type: ClassVar[str] = "approval.asked"
    call_id: str
    tool: str
    arguments: JsonObject = field(default_factory=JsonObject)
    """What would run, exactly: a yes is for this and nothing else."""
    risk: Risk = ""
    reasons: tuple[str, ...] = ()
    """Why it is asked and what could go wrong, in words for the person who is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered(Event):
    """Somebody, or the policy, answered; also while no process worked on the session."""

    type: ClassVar[str] = "approval.answered"
    call_id: str
    allowed: bool
    reason: str = ""
