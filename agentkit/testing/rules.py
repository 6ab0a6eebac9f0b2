"""What the provider refuses, in its own words, and what it only ignores.

``refusal`` gives the HTTP answer to a request that DeepSeek would not take (deepseek.md §1-3 and
deepseek-recipe 0.2.0, 2026-10). ``oddities`` lists what DeepSeek takes in silence although it
has no effect or is not documented: unknown fields, above all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from agentkit.testing.faults import OVERFLOW, REASONING, UNKNOWN_MODEL, HttpFault
from agentkit.testing.shape import misshapen

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
    "latest_reminder": {"role", "content"},
}
_RANGES = (
    ("presence_penalty", -2, 2, "[-2, 2]"),
    ("frequency_penalty", -2, 2, "[-2, 2]"),
    ("temperature", 0, 2, "[0, 2]"),
    ("top_p", 5e-324, 1, "(0, 1.0]"),
)
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_USER_ID = re.compile(r"[a-zA-Z0-9_-]{1,512}")
_UNANSWERED = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
    " 'tool_call_id'. (insufficient tool messages following tool_calls message)"
)
_UNKNOWN_ID = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
    " 'tool_call_id', The following tool_call_ids did not have response messages: {}"
)
_ORPHAN = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
_BAD_NAME = (
    "Invalid 'tools[{}].function.name': string does not match pattern. Expected a string that"
    " matches the pattern '^[a-zA-Z0-9_-]+$'."
)
_EMPTY_STRING = (
    "empty string. Expected a string with minimum length 1, but got an empty string instead."
)
_NO_CALLS = (
    "Invalid 'messages[{}].tool_calls': empty array. Expected an array with minimum length 1, but"
    " got an empty array instead."
)
_NO_FUNCTION = (
    "Invalid value for 'tool_call': no function named '{}' was specified in the 'tools' parameter."
)
_TWICE = "Duplicate value for 'tool_call_id' of {} in message[{}]"
_NOTHING = "Invalid assistant message: content or tool_calls must be set"


def table(value: object) -> dict[str, Any]:
    """A JSON object, or an empty one in place of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def tables(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON array, an empty list in place of anything else."""
    return [table(each) for each in cast("list[object]", value)] if isinstance(value, list) else []


def refusal(request: Mapping[str, Any]) -> HttpFault | None:
    """Why the provider would refuse the request, None where it would not."""
    unreadable = misshapen(request)
    if unreadable:
        return HttpFault(422, unreadable)
    for check in _CHECKS:
        problem = check(request)
        if problem:
            return HttpFault(400, problem)
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


def _choice(request: Mapping[str, Any]) -> str:
    choice = request.get("tool_choice")
    if not request.get("tools") or choice in (None, "auto", "none"):
        return ""
    if choice != "required":
        name = choice["function"]["name"]
        if all(tool["function"]["name"] != name for tool in request["tools"]):
            return _NO_FUNCTION.format(name)
    return "Thinking mode does not support this tool_choice" if thinks(request) else ""


def thinks(request: Mapping[str, Any]) -> bool:
    """Thinking is on unless switched off, or the effort is ``none`` without a switch."""
    switch = table(request.get("thinking")).get("type")
    return switch != "disabled" and (
        switch is not None or request.get("reasoning_effort") != "none"
    )


def _limits(request: Mapping[str, Any]) -> str:
    wrong_stop = _stop(request.get("stop"))
    if wrong_stop:
        return wrong_stop
    if request.get("stream_options") is not None and not request.get("stream"):
        return "stream_options should be set along with stream = true"
    if request.get("n") not in (None, 1):
        return "Invalid n value (currently only n = 1 is supported)"
    for name, low, high, shown in _RANGES:
        value = request.get(name)
        if value is not None and not low <= value <= high:
            return f"Invalid {name} value, the valid range of {name} is {shown}"
    wrong_logprobs = _logprobs(request)
    if wrong_logprobs:
        return wrong_logprobs
    limit = request.get("max_tokens")
    if limit is not None and not 1 <= limit <= MAX_OUTPUT:
        return f"Invalid max_tokens value, the valid range of max_tokens is [1, {MAX_OUTPUT}]"
    if (request.get("seed") or 0) >= 2**63:
        return "Invalid seed value, the valid range of seed is [0, 2^63)"
    return ""


def _logprobs(request: Mapping[str, Any]) -> str:
    top = request.get("top_logprobs")
    if top is not None and not request.get("logprobs"):
        return (
            "Invalid top_logprobs and logprobs value, logprobs must be set to true if"
            " top_logprobs is used."
        )
    if top is not None and top > 20:
        return "Invalid top_logprobs value, the valid range of top_logprobs is [0, 20]."
    return ""


def _stop(stop: str | list[str] | None) -> str:
    if stop == "":
        return f"Invalid 'stop': {_EMPTY_STRING}"
    if isinstance(stop, str) or stop is None:
        return ""
    if len(stop) > 16:
        return f"Stop string array too long: {len(stop)}"
    for index, each in enumerate(stop):
        if not each:
            return f"Invalid 'stop[{index}]': {_EMPTY_STRING}"
    return ""


def _tools(request: Mapping[str, Any]) -> str:
    functions = [tool["function"] for tool in request.get("tools") or ()]
    names: list[str] = [function["name"] for function in functions]
    for index, name in enumerate(names):
        if not name:
            return f"Invalid 'tools[{index}].function.name': {_EMPTY_STRING}"
        if not _NAME.fullmatch(name):
            return _BAD_NAME.format(index)
    if request.get("tool_choice") == "none":  # then they are not shown to the model
        return ""
    if len(set(names)) < len(names):
        return "Tool names must be unique."
    for function in functions:
        parameters = function.get("parameters")
        problem = "" if parameters is None else _schema(parameters)
        if problem:
            return f"Invalid schema for function '{function['name']}': {problem}"
    return ""


def _schema(parameters: object) -> str:
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(cast("dict[str, Any]", parameters))
    except SchemaError as error:
        return error.message
    kind = table(parameters).get("type")
    if kind == "object":
        return ""
    shown = "null" if kind is None else f'"{kind}"'
    return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {shown}'."


def _messages(request: Mapping[str, Any]) -> str:
    messages = tables(request.get("messages"))
    if not messages:
        return "Empty input messages"
    open_calls = _Open()
    for index, message in enumerate(messages):
        problem = _message(message, index, open_calls)
        if problem:
            return problem
    return _UNANSWERED if open_calls.waiting else ""


@dataclass(slots=True)
class _Open:
    """The calls of the last answer."""

    waiting: set[str] = field(default_factory=set[str])
    answered: set[str] = field(default_factory=set[str])


def _message(message: Mapping[str, Any], index: int, calls: _Open) -> str:
    if message["role"] == "tool":
        return _result(message["tool_call_id"], index, calls)
    if calls.waiting:
        return _UNANSWERED
    return _assistant(message, index, calls) if message["role"] == "assistant" else ""


def _result(id: str, index: int, calls: _Open) -> str:
    if not calls.waiting:
        return _ORPHAN
    if id in calls.answered:
        return _TWICE.format(id, index)
    if id not in calls.waiting:
        return _UNKNOWN_ID.format(id)
    calls.waiting.remove(id)
    calls.answered.add(id)
    return ""


def _assistant(message: Mapping[str, Any], index: int, calls: _Open) -> str:
    if any(part.get("type") == "image_url" for part in tables(message.get("content"))):
        return "Image in assistant message is not supported"
    if message.get("tool_calls") is None:
        return _NOTHING if message.get("content") is None else ""
    if not message["tool_calls"]:
        return _NO_CALLS.format(index)
    calls.answered.clear()
    for call in message["tool_calls"]:
        if call["id"] in calls.waiting:
            return _TWICE.format(call["id"], index)
        calls.waiting.add(call["id"])
    return ""


def _reasoning(request: Mapping[str, Any]) -> str:
    """The provider's strict mode: every answer since the last user message has its reasoning.

    Where the request has no tools, only answers with calls are looked at.
    """
    if not thinks(request):
        return ""
    for message in reversed(tables(request["messages"])):
        if message["role"] == "user":
            return ""
        answers = message["role"] == "assistant" and not message.get("prefix")
        shown = request.get("tools") or message.get("tool_calls")
        if answers and shown and message.get("reasoning_content") is None:
            return REASONING
    return ""


def _modes(request: Mapping[str, Any]) -> str:
    """JSON output and prefix completion (deepseek.md §2.8 and §7)."""
    messages = tables(request["messages"])
    wants_json = table(request.get("response_format")).get("type") == "json_object"
    if wants_json and not any("json" in str(each.get("content")).lower() for each in messages):
        return (
            "Prompt must contain the word 'json' in some form to use 'response_format' of type"
            " 'json_object'."
        )
    begun = [each for each in messages if each["role"] == "assistant" and each.get("prefix")]
    if begun and (len(begun) > 1 or not messages[-1].get("prefix")):
        return (
            "Invalid completion message: prefix set true with message which is not final message"
            " or message role is not assistant"
        )
    if begun and request.get("tools"):
        return "Function call should not be used with prefix"
    return (
        "response_format json_object should not be used with prefix"
        if (begun and wants_json)
        else ""
    )


_CHECKS = (_model, _messages, _modes, _reasoning, _tools, _choice, _limits)
"""In the vendor's order, for a body with several faults."""
