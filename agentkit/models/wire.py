"""Requests as bytes: a frozen head, one fragment per message, a tail. Each is encoded once.

A body is ``head + b"," + b",".join(fragments) + tail`` (``body`` joins them). Everything that
reaches the model's prompt is in head and fragments, so two bodies with equal starts have equal
prompts up to there. What does not reach the prompt (limit, streaming) is in the tail and may
change from one request to the next without a cold cache (deepseek-recipe 0.2.0, 2026-10).

Pure functions; nothing here knows a transport.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agentkit.errors import UsageError
from agentkit.ladder import Dialect, Rung
from agentkit.models.profiles import PROFILES
from agentkit.models.types import ToolCall

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

NO_OUTPUT = "(no output)"
"""Stands for an empty tool result, as in the vendor's own agent (deepseek-harness, 2026-08)."""


def head(
    rung: Rung, *, system: str, tools: Sequence[Mapping[str, Any]], user_id: str = ""
) -> bytes:
    """The start of every body of one lane, up to and including the system message.

    Args:
        tools: entries as ``tool_entry`` makes them, in the order in which the model reads them.
        user_id: constant per tenant; it selects the cache at the provider. At most 512 bytes of
            letters, digits, ``-`` and ``_`` (api-docs rate_limit page, 2026-11).

    Raises:
        UsageError: a tool's schema holds what JSON cannot (NaN, a set, …).
    """
    profile = PROFILES[rung.speaks]
    fields: dict[str, Any] = {"model": rung.model, **profile.thinking(rung)}
    if rung.temperature is not None:
        fields["temperature"] = rung.temperature
    if rung.top_p is not None:
        fields["top_p"] = rung.top_p
    if user_id and profile.takes_user_id:
        fields["user_id"] = user_id
    if tools:
        fields["tools"] = list(tools)
    opening = encode(fields)[:-1]
    return opening + b',"messages":[' + encode({"role": "system", "content": system})


def tool_entry(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of ``tools``; the parameters as ``schema.normalise`` gives them."""
    function = {"name": name, "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": function}


def user(text: str) -> bytes:
    """A user message; reminders and steering are user text too, never system text."""
    return encode({"role": "user", "content": text})


def assistant(
    answer_content: str, reasoning: str, calls: Sequence[ToolCall], *, dialect: Dialect
) -> bytes:
    """An answer of the model, to be read again by the model.

    The reasoning goes back verbatim on every turn, ``""`` where there was none: the provider
    answers 400 to a missing one (api-docs, 2026-11), and a constant placeholder made two fifths
    of the answers empty (Lingtai-AI/lingtai-kernel issue 9, 2026-08).
    """
    fields: dict[str, Any] = {"role": "assistant", "content": answer_content}
    profile = PROFILES[dialect]
    if profile.reasoning_field:
        fields[profile.reasoning_field] = reasoning
    if calls:
        fields["tool_calls"] = [_call(call, profile.takes_broken_arguments) for call in calls]
    return encode(fields)


def tool_result(call_id: str, text: str) -> bytes:
    """What a call gave back. Results follow their assistant message, one for each call."""
    return encode({"role": "tool", "tool_call_id": call_id, "content": text or NO_OUTPUT})


def translated(history: bytes, dialect: Dialect) -> bytes:
    """Messages that one dialect sent, each behind a comma, as the other sends them."""
    messages: list[dict[str, Any]] = json.loads(b"[" + history[1:] + b"]")
    out: list[bytes] = []
    for message in messages:
        if message["role"] != "assistant":
            out.append(encode(message))
            continue
        calls = [
            ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls", ())
        ]
        reasoning = message.get("reasoning_content", "")
        out.append(assistant(message["content"], reasoning, calls, dialect=dialect))
    return b"".join(b"," + each for each in out)


def tail(
    *,
    max_tokens: int,
    stream: bool,
    dialect: Dialect,
    extra: Mapping[str, Any] | None = None,
) -> bytes:
    """The end of a body: what the model does not see.

    Args:
        max_tokens: limit of the answer, reasoning included.
        extra: further fields, for single questions only: ``response_format`` for one does reach
            the prompt, and would break a lane's prefix.
    """
    fields: dict[str, Any] = {PROFILES[dialect].limit_field: max_tokens, "stream": stream}
    if stream:  # without "stream" DeepSeek answers 400 to stream_options
        fields["stream_options"] = {"include_usage": True}
    fields |= extra or {}
    return b"]," + encode(fields)[1:]


def body(head: bytes, fragments: Iterable[bytes], tail: bytes) -> bytes:
    """One request body: the only copy that a turn makes of its history."""
    return b",".join((head, *fragments)) + tail


def encode(value: object) -> bytes:
    """Compact UTF-8 JSON. Lone surrogates become U+FFFD, split pairs become their character.

    Raises:
        UsageError: the value holds what JSON cannot.
    """
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"this cannot be sent to a model: {error}") from error
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _call(call: ToolCall, takes_broken: bool) -> dict[str, Any]:
    arguments = call.arguments
    if not takes_broken and not _is_object(arguments):
        arguments = encode({"unparsed": arguments}).decode()
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
