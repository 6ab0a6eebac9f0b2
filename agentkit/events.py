"""The one vocabulary of what happens in a session.

The log, the CLI's ``--json``, the HTTP stream, hooks and exports all speak it. A stored event has
a ``seq``, gap-free from 1 in its session; ``model.delta`` and ``tool.output`` are shown while
they happen and not stored, so their ``seq`` is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, cast

from agentkit.models.types import ToolCall, Usage

JsonObject = dict[str, Any]

Status = Literal["finished", "failed", "limit", "cancelled", "error"]
"""How a run ended: achieved with every required check passing; not achieved; stopped at a limit;
stopped by the caller; stopped by a fault of provider, sandbox or store."""


def now() -> str:
    """The present moment in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have in common."""

    type: ClassVar[str] = ""
    stored: ClassVar[bool] = True

    lane: str = "main"
    seq: int | None = None
    time: str = ""


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
class RunStarted(Event):
    """A message was given to the session and work on it begins."""

    type: ClassVar[str] = "run.started"
    checks: tuple[str, ...] = ()
    limits: JsonObject = field(default_factory=JsonObject)
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOpened(Event):
    """A request history begins; its head never changes."""

    type: ClassVar[str] = "lane.opened"
    rung: JsonObject
    system: str
    tools: tuple[JsonObject, ...] = ()
    user_id: str = ""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded(Event):
    """The lane was full; a summary of it opens another."""

    type: ClassVar[str] = "folded"
    to: str
    """The new lane."""
    summary: str
    events: int
    """The last event that was folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolStarted(Event):
    """A call is about to run. Without a ``tool.finished`` its outcome is unknown."""

    type: ClassVar[str] = "tool.started"
    call_id: str
    tool: str
    arguments: JsonObject = field(default_factory=JsonObject)
    repeatable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutput(Event):
    """A piece of a running tool's output."""

    type: ClassVar[str] = "tool.output"
    stored: ClassVar[bool] = False
    call_id: str
    text: str


ToolStatus = Literal["done", "failed", "invalid", "refused", "cancelled", "unknown"]


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
class PlanUpdated(Event):
    """The visible plan is now this."""

    type: ClassVar[str] = "plan.updated"
    steps: tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPassed(Event):
    """A required check exited 0 in the sandbox."""

    type: ClassVar[str] = "check.passed"
    command: str
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailed(Event):
    """A required check did not exit 0, or could not run at all."""

    type: ClassVar[str] = "check.failed"
    command: str
    exit_code: int
    output: str
    ran: bool = True
    """False where the command could not run (not found, not executable)."""
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAsked(Event):
    """A call waits for somebody's yes."""

    type: ClassVar[str] = "approval.asked"
    call_id: str
    tool: str
    arguments: JsonObject = field(default_factory=JsonObject)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswered(Event):
    """Somebody, or the policy, answered."""

    type: ClassVar[str] = "approval.answered"
    call_id: str
    allowed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitNear(Event):
    """80% of a limit are used."""

    type: ClassVar[str] = "limit.near"
    limit: str
    used: float
    allowed: float


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
class CheckReport:
    """The last word on one required check."""

    command: str
    passed: bool
    exit_code: int | None = None
    """None where it never ran."""


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


ALL: tuple[type[Event], ...] = (
    SessionStarted,
    RunStarted,
    LaneOpened,
    Message,
    Steered,
    ModelRequested,
    ModelDelta,
    ModelResponded,
    ModelFailed,
    ModelAdvised,
    Folded,
    ToolStarted,
    ToolOutput,
    ToolFinished,
    PlanUpdated,
    CheckPassed,
    CheckFailed,
    ApprovalAsked,
    ApprovalAnswered,
    LimitNear,
    Fact,
    SandboxOpened,
    SessionFinished,
)
_BY_TYPE = {event.type: event for event in ALL}
_NESTED: dict[str, Any] = {"usage": Usage, "calls": ToolCall, "checks": CheckReport}


def to_dict(event: Event) -> JsonObject:
    """The event as JSON types, ``seq``, ``time``, ``type`` and ``lane`` first."""
    out: JsonObject = {
        "seq": event.seq,
        "time": event.time,
        "type": event.type,
        "lane": event.lane,
    }
    for each in fields(event):
        if each.name not in out:
            out[each.name] = _plain(getattr(event, each.name))
    return out


def from_dict(data: Mapping[str, Any]) -> Event:
    """The event that ``to_dict`` wrote; fields of a later version are passed over.

    Raises:
        ValueError: the type is not known to this version.
    """
    cls = _BY_TYPE.get(str(data.get("type")))
    if cls is None:
        raise ValueError(f"unknown event type {data.get('type')!r}")
    known = {each.name for each in fields(cls)}
    return cls(**{key: _typed(key, value) for key, value in data.items() if key in known})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in cast("tuple[Any, ...]", value)]
    if isinstance(value, (Usage, ToolCall, CheckReport)):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return value


def _typed(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_shaped(key, each) for each in cast("list[Any]", value))
    return _shaped(key, value)


def _shaped(key: str, value: Any) -> Any:
    # Only mappings take a shape: ``run.started`` has its checks as plain strings.
    shape = _NESTED.get(key)
    return shape(**value) if shape is not None and isinstance(value, dict) else value


def json_schema() -> JsonObject:
    """JSON Schema of all events, as committed in ``docs/events.schema.json``."""
    from pydantic import TypeAdapter

    variants: list[JsonObject] = []
    definitions: JsonObject = {}
    for event in ALL:
        schema = TypeAdapter(event).json_schema(ref_template="#/$defs/{model}")
        definitions |= schema.pop("$defs", {})
        schema["properties"] = {"type": {"const": event.type}} | schema["properties"]
        schema["required"] = ["type", *schema.get("required", [])]
        variants.append(schema)
    return {"title": "agentkit events", "oneOf": variants, "$defs": definitions}
