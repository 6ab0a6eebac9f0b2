"""What was said, in the conventions' JSON, for those who asked for it.

A request's input is what came since the lane's last answer: the whole history in each span would
cost the square of its length. What came before stands in the spans before.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from agentkit.events import Event, LaneOpened, Message, ModelResponded, Steered, ToolFinished

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_ON_SPANS = ("true", "1", "span_only", "span_and_event")


def wanted(argument: bool | None) -> bool:
    """Whether spans hold contents: the argument's word first, then the environment's."""
    if argument is not None:
        return argument
    return os.environ.get(VARIABLE, "").strip().lower() in _ON_SPANS


def said(event: Event) -> dict[str, Any] | None:
    """A message of the history; None where the event is none."""
    match event:
        case Message() | Steered():
            return {"role": "user", "parts": [{"type": "text", "content": event.text}]}
        case ToolFinished():
            part = {"type": "tool_call_response", "id": event.call_id, "response": event.content}
            return {"role": "tool", "parts": [part]}
        case _:
            return None


def answered(event: ModelResponded) -> str:
    """The answer as ``gen_ai.output.messages``."""
    parts: list[dict[str, Any]] = []
    if event.reasoning:
        parts.append({"type": "reasoning", "content": event.reasoning})
    if event.content:
        parts.append({"type": "text", "content": event.content})
    parts += [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in event.calls
    ]
    return as_json([{"role": "assistant", "parts": parts, "finish_reason": event.finish_reason}])


def head(event: LaneOpened) -> dict[str, str]:
    """What a lane begins with."""
    definitions = [_definition(each) for each in event.tools]
    return {
        "gen_ai.system_instructions": as_json([{"type": "text", "content": event.system}]),
        **({"gen_ai.tool.definitions": as_json(definitions)} if definitions else {}),
    }


def _definition(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", **entry.get("function", entry)}


def as_json(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
