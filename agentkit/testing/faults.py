"""Faults that DeepSeek is known to produce, by name, to be injected at a chosen request.

``FakeDeepSeek(script, faults={4: "429", 7: "empty*2"})``: request 4 meets one 429, requests 7 and
8 an empty answer. Requests are counted from 1 over the whole server. ``name*3`` repeats; a
number after a colon is seconds (``keep-alive:12*3``). ``CATALOGUE`` lists every name with a line
of explanation; bodies are the provider's own (deepseek.md §6, seen until 2026-10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from agentkit.errors import UsageError
from agentkit.testing.script import Call, Reply


@dataclass(frozen=True, slots=True)
class HttpFault:
    """An answer with a status of its own instead of a completion."""

    status: int
    message: str
    type: str = "invalid_request_error"
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        return error_body(self.message, self.type)


def error_body(message: str, type: str = "invalid_request_error") -> dict[str, Any]:
    """An error as DeepSeek words it: the code is the same for nearly all of them."""
    return {
        "error": {
            "message": message,
            "type": type,
            "param": None,
            "code": "invalid_request_error",
        }
    }


REASONING = "The `reasoning_content` in the thinking mode must be passed back to the API."
BALANCE_429 = (
    "Too many requests. Your current concurrency is {now}, which exceeds your concurrency limit of"
    " {limit} based on your remaining balance. Please top up your balance to restore your"
    " concurrency."
)
OVERFLOW = (
    "This model's maximum context length is {window} tokens. However, you requested {total} tokens"
    " ({prompt} in the messages, {limit} in the completion). Please reduce the length of the"
    " messages or completion."
)
UNKNOWN_MODEL = "The supported API model names are {names}, but you passed {name}."
AUTHENTICATION = "Authentication Fails, Your api key: ****{tail} is invalid"

_RATE = "rate_limit_error"
HTTP: dict[str, HttpFault] = {
    "429": HttpFault(429, "Rate limit reached", _RATE, (("Retry-After", "1"),)),
    "429-bare": HttpFault(429, "Rate limit reached", _RATE),
    "429-balance": HttpFault(429, BALANCE_429.format(now=26, limit=25), _RATE),
    "500": HttpFault(500, "Internal Server Error", "server_error"),
    "502": HttpFault(502, "Bad gateway", "server_error"),
    "503": HttpFault(503, "Service is too busy", "service_unavailable_error"),
    "400-reasoning": HttpFault(400, REASONING),
    "400-context": HttpFault(
        400, OVERFLOW.format(window=1048576, total=1100000, prompt=1000000, limit=100000)
    ),
    "400-model": HttpFault(
        400, UNKNOWN_MODEL.format(names="deepseek-flash, deepseek-v4-pro", name="deepseek-chat")
    ),
    "401": HttpFault(401, AUTHENTICATION.format(tail="0000"), "authentication_error"),
    "402": HttpFault(402, "Insufficient Balance", "unknown_error"),
}

_Change = Callable[[Reply], Reply]


def _first(change: Callable[[Call], Call]) -> _Change:
    def changed(reply: Reply) -> Reply:
        if not reply.calls:
            return reply
        return replace(reply, calls=[change(reply.calls[0]), *reply.calls[1:]])

    return changed


def _text(change: Callable[[str], str]) -> _Change:
    return _first(lambda call: replace(call, arguments=change(call.text)))


def _raw_newline(text: str) -> str:
    if r"\n" in text:
        return text.replace(r"\n", "\n")
    return re.sub(r'"\s*\}\s*$', '\n"}', text)  # every text argument may end in one more newline


def _without_first(text: str) -> str:
    return json.dumps(dict(list(_fields(text).items())[1:]))


def _fields(text: str) -> dict[str, Any]:
    """The arguments of a call; none where the script's own are no object."""
    try:
        found: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _leaked(reply: Reply) -> Reply:
    calls = "\n".join(
        f'<｜DSML｜invoke name="{call.name}">\n'
        + "\n".join(_parameter(name, value) for name, value in _fields(call.text).items())
        + "\n</｜DSML｜invoke>"
        for call in reply.calls
    )
    block = f"<｜DSML｜tool_calls>\n{calls}\n</｜DSML｜tool_calls>"
    return replace(reply, content=f"{reply.content}\n\n{block}", calls=(), finish_reason="stop")


def _parameter(name: str, value: object) -> str:
    is_text = isinstance(value, str)
    shown = value if is_text else json.dumps(value)
    kind = "true" if is_text else "false"
    return f'<｜DSML｜parameter name="{name}" string="{kind}">{shown}</｜DSML｜parameter>'


def _broken_leak(reply: Reply) -> Reply:
    leaked = _leaked(reply)
    return replace(leaked, content=leaked.content[: -len("voke>\n</｜DSML｜tool_calls>")])


def _finish(reason: str, **fields: Any) -> _Change:
    return lambda reply: replace(reply, finish_reason=reason, **fields)


def _same_ids(reply: Reply) -> Reply:
    return replace(reply, calls=[replace(call, id="call_same") for call in reply.calls])


CHANGES: dict[str, _Change] = {
    "args-truncated": _text(lambda text: text[: len(text) // 2]),
    "args-comma": _text(lambda text: text.rstrip()[:-1] + ",}"),
    "args-newline": _text(_raw_newline),
    "args-fenced": _text(lambda text: f"```json\n{text}\n```"),
    "args-empty": _text(lambda _: "{}"),
    "args-missing": _text(_without_first),
    "args-mistyped": _text(lambda text: json.dumps({key: ["x"] for key in _fields(text)})),
    "unknown-tool": _first(lambda call: replace(call, name=call.name + "_v2")),
    "length": lambda reply: replace(
        _text(lambda text: text[: len(text) // 2])(reply), finish_reason="length"
    ),
    "leak": _leaked,
    "leak-broken": _broken_leak,
    "empty": lambda _: Reply("", finish_reason="stop"),
    "insufficient": _finish("insufficient_system_resource", content="", calls=()),
    "aborted": _finish("aborted", calls=()),
    "content-filter": _finish("content_filter", content="", calls=()),
    "same-ids": _same_ids,
}

TRANSPORT = {
    "reset": "the connection breaks before the answer",
    "reset-reasoning": "it breaks after the reasoning",
    "reset-arguments": "it breaks inside a call's arguments",
    "no-finish": "the stream ends without a finish reason",
    "no-done": "the stream ends after the finish reason, without the terminator",
    "garbage": "one event of the stream is not JSON",
    "error-event": "an error inside the stream, after status 200",
    "stall": "silence, for ever or so many seconds",
    "stall-middle": "silence after the reasoning",
    "keep-alive": "nothing but keep-alives for so many seconds (12), then the answer",
    "usage-late": "the usage comes in an event of its own after the finish reason",
    "no-usage": "no usage at all",
    "bad-usage": "usage that cannot be: negative and text",
}

_SERVED = {"args-comma", "args-newline", "args-fenced", "leak", "same-ids"} | {
    "no-done", "keep-alive", "usage-late", "no-usage", "bad-usage",
}  # fmt: skip
"""Faults with which the step counts as given: a careful client can use the answer."""

UNBILLED = {
    "reset", "reset-reasoning", "reset-arguments", "no-finish", "garbage", "error-event",
    "stall", "stall-middle", "insufficient", "aborted",
}  # fmt: skip
"""Answers that the client never gets whole. What DeepSeek charges for them is not documented;
the fake charges nothing, since no client could account for it."""

CATALOGUE: dict[str, str] = {
    **{name: f"HTTP {fault.status}: {fault.message}" for name, fault in HTTP.items()},
    "args-truncated": "a call whose arguments end in the middle",
    "args-comma": "arguments with a trailing comma",
    "args-newline": "arguments with a raw newline inside a string",
    "args-fenced": "arguments inside a code fence",
    "args-empty": "a call without its arguments",
    "args-missing": "a call without its first argument",
    "args-mistyped": "arguments of the wrong type",
    "unknown-tool": "a tool that does not exist",
    "length": "cut by the limit inside the arguments",
    "leak": "the calls written as text, readable",
    "leak-broken": "the calls written as text, not readable",
    "empty": "an answer with nothing in it",
    "insufficient": "finish reason insufficient_system_resource",
    "aborted": "finish reason aborted",
    "content-filter": "finish reason content_filter",
    "same-ids": "all calls of one answer have the same id",
    **TRANSPORT,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One named fault, as it is to be met by one request."""

    name: str
    seconds: float | None = None

    @property
    def serves(self) -> bool:
        """Whether the script's step counts as given."""
        return self.name in _SERVED

    @property
    def http(self) -> HttpFault | None:
        return HTTP.get(self.name)

    def change(self, reply: Reply) -> Reply:
        change = CHANGES.get(self.name)
        return change(reply) if change else reply

    @classmethod
    def parse(cls, text: str) -> Fault:
        """A fault from ``name`` or ``name:seconds``.

        Raises:
            UsageError: there is no fault of that name.
        """
        name, _, seconds = text.partition(":")
        if name not in CATALOGUE:
            raise UsageError(f"no fault {name!r}", hint=f"Known: {', '.join(CATALOGUE)}")
        try:
            return cls(name, float(seconds) if seconds else None)
        except ValueError as error:
            raise UsageError(f"the seconds of fault {text!r} are not a number") from error


def schedule(faults: Mapping[int, str] | str | None) -> dict[int, Fault]:
    """Which request meets which fault.

    Args:
        faults: ``{4: "429*3"}``, or the same as text: ``4=429*3,9=empty``.

    Raises:
        UsageError: not of this form.
    """
    if isinstance(faults, str):
        faults = dict(_parts(faults))
    out: dict[int, Fault] = {}
    for start, text in (faults or {}).items():
        name, star, times = text.partition("*")
        fault = Fault.parse(name)
        for offset in range(_repeats(text, times) if star else 1):
            out[start + offset] = fault
    return out


def _repeats(text: str, times: str) -> int:
    """What is behind the star; taken for 1 in silence, it would test less than was asked for."""
    if not (times.isascii() and times.isdigit()) or int(times) < 1:
        raise UsageError(
            f"the repeats of fault {text!r} are not a number of at least 1",
            hint="For instance 429*3, or with seconds keep-alive:2*3",
        )
    return int(times)


def _parts(text: str) -> list[tuple[int, str]]:
    parts: list[tuple[int, str]] = []
    for part in filter(None, text.split(",")):
        number, _, name = part.partition("=")
        if not number.strip().isdigit() or not name:
            raise UsageError(f"{part!r} is not REQUEST=FAULT", hint="For instance 4=429*3,9=empty")
        parts.append((int(number), name.strip()))
    return parts
