"""What the provider refuses, in its own words, and what it only ignores.

``refusal`` gives the HTTP answer to a request that DeepSeek would not take (deepseek.md §1-3 and
deepseek-recipe 0.2.0, 2026-10). ``oddities`` lists what DeepSeek takes in silence although it
has no effect or is not documented: unknown fields, above all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from agentkit.testing.faults import OVERFLOW, REASONING, UNKNOWN_MODEL, HttpFault

WINDOW = 1_048_576
MAX_OUTPUT = 393_216
MODELS = ("deepseek-flash", "deepseek-v4-pro")
ALIASES = {
    "deepseek-v4-flash": "deepseek-flash",
    "deepseek-v4-flash-vision-exp": "deepseek-flash",
}

_FIELDS = {
    "model", "messages", "thinking", "reasoning_effort", "max_tokens", "response_format", "stop",
    "stream", "stream_options", "temperature", "top_p", "tools", "tool_choice", "logprobs",
    "top_logprobs", "user_id", "frequency_penalty", "presence_penalty", "seed", "n",
}  # fmt: skip
_MESSAGE_FIELDS = {
    "system": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "prefix", "reasoning_content", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max")
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_USER_ID = re.compile(r"[a-zA-Z0-9_-]{1,512}")
_UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
    " 'tool_call_id'. (insufficient tool messages following tool_calls message)"
)
_ORPHAN = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
_BAD_NAME = (
    "Invalid 'tools[{}].function.name': string does not match pattern. Expected a string that"
    " matches the pattern '^[a-zA-Z0-9_-]+$'."
)
_NOTHING = "Invalid assistant message: content or tool_calls must be set"


def table(value: object) -> dict[str, Any]:
    """A JSON object, or an empty one in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def tables(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON array, an empty list in place of anything else."""
    return [table(each) for each in cast("list[object]", value)] if isinstance(value, list) else []


def refusal(request: Mapping[str, Any]) -> HttpFault | None:
    """Why the provider would refuse the request, None where it would not."""
    for check in (_model, _thinking, _limits, _tools, _messages, _reasoning, _modes):
        problem = check(request)
        if problem:
            unreadable = problem.startswith("unknown variant")  # 422, seen live (2026-10)
            return HttpFault(422 if unreadable else 400, problem)
    return None


def overflow(request: Mapping[str, Any], prompt_tokens: int) -> HttpFault | None:
    """The refusal of a request that does not fit the window; a limit is never lowered."""
    limit = request.get("max_tokens") or 0
    total = prompt_tokens + limit
    if total <= WINDOW:
        return None
    text = OVERFLOW.format(window=WINDOW, total=total, prompt=prompt_tokens, limit=limit)
    return HttpFault(400, text)


def oddities(request: Mapping[str, Any]) -> Iterator[str]:
    """What the provider lets pass and a careful client does not send."""
    for name in sorted(set(request) - _FIELDS):
        yield f"unknown field {name!r} is ignored"
    user_id = request.get("user_id")
    if user_id is not None and not _USER_ID.fullmatch(str(user_id)):
        yield "user_id should be 1 to 512 letters, digits, '-' and '_'"
    for index, message in enumerate(tables(request.get("messages"))):
        known = _MESSAGE_FIELDS.get(str(message.get("role")), set[str]())
        for name in sorted(set(message) - known):
            yield f"messages[{index}]: unknown field {name!r}"
        if message.get("role") == "system" and index:
            yield f"messages[{index}]: a system message here costs the whole cache on V4-Pro"
        if message.get("role") == "assistant" and message.get("content") is None:
            yield f'messages[{index}]: content should be "", not null'
    for tool in tables(request.get("tools")):
        function = table(tool.get("function"))
        text = str(function.get("parameters"))
        if "'$ref'" in text or "'$defs'" in text:
            yield f"tool {function.get('name')!r}: $defs are dropped, inline them"


def _model(request: Mapping[str, Any]) -> str:
    name = request.get("model")
    if name in MODELS or name in ALIASES:
        return ""
    return UNKNOWN_MODEL.format(names=", ".join(MODELS), name=name)


def _thinking(request: Mapping[str, Any]) -> str:
    effort = request.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        expected = ", ".join(f"`{each}`" for each in _EFFORTS)
        return f"unknown variant `{effort}`, expected one of {expected}"
    choice = request.get("tool_choice")
    if thinks(request) and choice not in (None, "auto", "none"):
        return "Thinking mode does not support this tool_choice"
    return ""


def thinks(request: Mapping[str, Any]) -> bool:
    """Thinking is on unless switched off, or the effort is ``none`` without a switch."""
    switch = table(request.get("thinking")).get("type")
    return switch != "disabled" and (
        switch is not None or request.get("reasoning_effort") != "none"
    )


def _limits(request: Mapping[str, Any]) -> str:
    limit = request.get("max_tokens")
    if limit is not None and not (isinstance(limit, int) and 1 <= limit <= MAX_OUTPUT):
        return f"Invalid max_tokens value, the valid range of max_tokens is [1, {MAX_OUTPUT}]"
    if request.get("stream_options") and not request.get("stream"):
        return "stream_options should be set along with stream = true"
    for name, low, high in (("temperature", 0, 2), ("top_p", 0, 1)):
        value = request.get(name)
        if value is not None and not low <= value <= high:
            return f"Invalid {name} value, the valid range of {name} is [{low}, {high}]"
    return ""


def _tools(request: Mapping[str, Any]) -> str:
    names: list[str] = []
    for tool in tables(request.get("tools")):
        function = table(tool.get("function"))
        name = str(function.get("name"))
        if not _NAME.fullmatch(name):
            return _BAD_NAME.format(len(names))
        kind = table(function.get("parameters", {"type": "object"})).get("type")
        if kind != "object":
            return (
                f"Invalid schema for function '{name}': schema must be a JSON Schema of"
                f" 'type: \"object\"', got 'type: \"{kind}\"'."
            )
        names.append(name)
    return "Tool names must be unique." if len(set(names)) < len(names) else ""


def _messages(request: Mapping[str, Any]) -> str:
    messages = tables(request.get("messages"))
    if not messages:
        return "Empty input messages"
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        problem = _message(message, index, waiting)
        if problem:
            return problem
    return _UNANSWERED if waiting else ""


def _message(message: Mapping[str, Any], index: int, waiting: set[str]) -> str:
    role = message.get("role")
    if role == "tool":
        if message.get("tool_call_id") not in waiting:
            return _ORPHAN
        waiting.discard(str(message.get("tool_call_id")))
        return ""
    if waiting:
        return _UNANSWERED
    if role not in _MESSAGE_FIELDS and role != "latest_reminder":
        return (
            f"unknown variant `{role}`, expected one of `system`, `user`, `assistant`, `tool`,"
            " `latest_reminder`"
        )
    return _assistant(message, index, waiting) if role == "assistant" else ""


def _assistant(message: Mapping[str, Any], index: int, waiting: set[str]) -> str:
    if message.get("tool_calls") is None:
        return _NOTHING if message.get("content") is None else ""
    calls = tables(message.get("tool_calls"))
    if not calls:
        return f"Invalid 'messages[{index}].tool_calls': empty array"
    for call in calls:
        id = str(call.get("id"))
        if id in waiting:
            return f"Duplicate value for 'tool_call_id' of {id} in message[{index}]"
        if not isinstance(table(call.get("function")).get("arguments"), str):
            return f"Invalid 'messages[{index}].tool_calls': arguments must be a string"
        waiting.add(id)
    return ""


def _reasoning(request: Mapping[str, Any]) -> str:
    """The provider's strict mode: every answer since the last user message has its reasoning."""
    if not thinks(request):
        return ""
    for message in reversed(tables(request.get("messages"))):
        if message.get("role") == "user":
            return ""
        answers = message.get("role") == "assistant" and not message.get("prefix")
        if answers and not isinstance(message.get("reasoning_content"), str):
            return REASONING
    return ""


def _modes(request: Mapping[str, Any]) -> str:
    """JSON output and prefix completion (deepseek.md §2.8 and §7)."""
    messages = tables(request.get("messages"))
    wants_json = table(request.get("response_format")).get("type") == "json_object"
    if wants_json and not any("json" in str(each.get("content")).lower() for each in messages):
        return (
            "Prompt must contain the word 'json' in some form to use 'response_format' of type"
            " 'json_object'."
        )
    if messages[-1].get("prefix") and request.get("tools"):
        return "Function call should not be used with prefix"
    return ""
