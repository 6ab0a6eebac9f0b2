"""Events as JSON and back, and the schema of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, cast

from agentkit.events.base import Event, JsonObject
from agentkit.events.model import (
    Folded,
    LaneOpened,
    ModelAdvised,
    ModelChanged,
    ModelDelta,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    PrefixBroken,
)
from agentkit.events.session import (
    Fact,
    LimitNear,
    Message,
    RunStarted,
    SandboxOpened,
    SessionFinished,
    SessionForked,
    SessionStarted,
    Steered,
    Waited,
)
from agentkit.events.tools import (
    ApprovalAnswered,
    ApprovalAsked,
    ToolFinished,
    ToolOutput,
    ToolStarted,
)
from agentkit.events.work import (
    CheckFailed,
    CheckPassed,
    CheckReport,
    Evidence,
    PlanUpdated,
    RungChanged,
    RungSkipped,
)
from agentkit.events.workspace import Checkpoint, Restored
from agentkit.models.types import ToolCall, Usage

ALL: tuple[type[Event], ...] = (
    SessionStarted,
    SessionForked,
    RunStarted,
    LaneOpened,
    Message,
    Steered,
    ModelRequested,
    ModelDelta,
    ModelResponded,
    ModelChanged,
    ModelFailed,
    ModelAdvised,
    PrefixBroken,
    Folded,
    ToolStarted,
    ToolOutput,
    ToolFinished,
    PlanUpdated,
    CheckPassed,
    CheckFailed,
    Evidence,
    RungChanged,
    RungSkipped,
    ApprovalAsked,
    ApprovalAnswered,
    LimitNear,
    Waited,
    Fact,
    SandboxOpened,
    Checkpoint,
    Restored,
    SessionFinished,
)
_BY_TYPE = {event.type: (event, frozenset(x.name for x in fields(event))) for event in ALL}
_NO_FIELDS: frozenset[str] = frozenset()
_NESTED: dict[str, Any] = {"usage": Usage, "calls": ToolCall, "checks": CheckReport}


def to_dict(event: Event) -> JsonObject:
    """The event as JSON types, ``seq``, ``time``, ``type`` and ``lane`` first."""
    out: JsonObject = {
        "seq": event.seq,
        "time": event.time,
        "type": event.type,
        "lane": event.lane,
    }
    for name in field_names(type(event)):
        if name not in out:
            out[name] = _plain(getattr(event, name))
    return out


@cache
def field_names(cls: type[Event]) -> tuple[str, ...]:
    """The names of an event's fields, in order."""
    return tuple(each.name for each in fields(cls))


def from_dict(data: Mapping[str, Any]) -> Event:
    """The event that ``to_dict`` wrote; fields of a later version are passed over.

    Raises:
        ValueError: the type is not known to this version.
    """
    cls, known = _BY_TYPE.get(str(data.get("type")), (None, _NO_FIELDS))
    if cls is None:
        raise ValueError(f"unknown event type {data.get('type')!r}")
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key in known:
            # A session's opening does this for every event: most values are plain.
            values[key] = _typed(key, value) if isinstance(value, (dict, list)) else value
    return cls(**values)


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
