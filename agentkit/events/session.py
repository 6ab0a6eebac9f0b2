"""A session's life: its runs, what people say, its limits, its sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from agentkit.events.base import Event, JsonObject
from agentkit.events.work import CheckReport
from agentkit.models.types import Usage

Status = Literal["finished", "failed", "limit", "cancelled", "error", "waiting"]
"""How a run ended: achieved with every required check passing; not achieved; stopped at a limit;
stopped by the caller; stopped by a fault of provider, sandbox or store; at a call that waits for
somebody's yes, with nobody there to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Event):
    """The first event of a session."""

    type: ClassVar[str] = "session.started"
    session_id: str
    agent: str
    version: str
    workspace: str = ""
    settings: JsonObject = field(default_factory=JsonObject)
    """What the command line needs to resume it: preset, ladder, sandbox, options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionForked(Event):
    """All events before this one are another session's: this one begins with its history.

    What they cost was paid there; limits and totals begin anew here. An undo is the same work,
    taken up at an earlier point: there they go on, with what was spent after that point too.
    """

    type: ClassVar[str] = "session.forked"
    parent: str
    """The other session's id."""
    at: int
    """The last of its events that this session has."""
    turn: int
    """Its answers up to there."""
    reason: Literal["fork", "undo"] = "fork"
    usage: Usage = field(default_factory=Usage)
    """What had been spent on the work, where limits go on."""
    cost_usd: float = 0.0
    turns: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A message was given to the session and work on it begins."""

    type: ClassVar[str] = "run.started"
    checks: tuple[str, ...] = ()
    limits: JsonObject = field(default_factory=JsonObject)
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Event):
    """A user-role text enters the history."""

    type: ClassVar[str] = "message"
    text: str
    source: Literal["user", "agentkit", "hook"] = "user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered(Event):
    """A person's word in mid-run enters the history as user-role text."""

    type: ClassVar[str] = "steered"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitNear(Event):
    """80% of a limit are used, or 95%."""

    type: ClassVar[str] = "limit.near"
    limit: str
    used: float
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited(Event):
    """A run waits before it begins."""

    type: ClassVar[str] = "waited"
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(Event):
    """Something a tool must remember across a resume, for instance a file it has shown."""

    type: ClassVar[str] = "fact"
    kind: str
    data: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOpened(Event):
    """A sandbox is ready."""

    type: ClassVar[str] = "sandbox.opened"
    description: str
    ref: JsonObject = field(default_factory=JsonObject)
    reopened: bool = False
    """True where it is the sandbox of an earlier process, with its files and jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFinished(Event):
    """A run ended; the session can be resumed with a new message."""

    type: ClassVar[str] = "session.finished"
    status: Status
    exit_code: int
    output: str = ""
    """The answer, or what went wrong."""
    error: str = ""
    """Class name of the error, "" where there was none."""
    data: Any = None
    """The structured result, where one was asked for."""
    checks: tuple[CheckReport, ...] = ()
    turns: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    priced: bool = True
    duration: float = 0.0
