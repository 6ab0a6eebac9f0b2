"""Assert that requests only ever extend each other, so that the provider's cache can hit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

_REACHES_NO_PROMPT = {"messages", "max_tokens", "max_completion_tokens", "stream", "stream_options"}


def assert_prefix_stable(requests: object, *, conversations: int | None = None) -> None:
    """Fail unless each request starts with the whole of the one before.

    The order of keys counts, in whatever depth: it is the order of the prompt's own text.

    Args:
        requests: bodies as bytes, recorded requests (with ``raw``), or anything that has such a
            list as ``requests``: a ``FakeDeepSeek``, a session. Refused and repeated requests
            count like any other. Several conversations in one list are told apart by their model
            and first message, each must be stable by itself: so a first message that was edited,
            or another model in mid-conversation, is a new conversation and no break.
        conversations: how many there must be; this finds what only looks like a new one.

    Raises:
        AssertionError: which request breaks what, and where.
    """
    last: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, raw in enumerate(_bodies(requests), 1):
        body: dict[str, Any] = json.loads(raw)
        key = json.dumps([body.get("model"), _opening(body)], sort_keys=True)
        if key in last:
            earlier, before = last[key]
            problem = first_break(before, body)
            assert not problem, (
                f"request {number} breaks the prefix of request {earlier}: {problem}"
            )
        last[key] = (number, body)
    assert conversations in (None, len(last)), (
        f"{len(last)} conversations in place of {conversations}: they begin differently"
    )


def first_break(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Where ``after`` stops extending ``before``, "" where it extends it."""
    for name in dict.fromkeys([*before, *after]):
        if name not in _REACHES_NO_PROMPT and _text(before.get(name)) != _text(after.get(name)):
            return f"{name} changed"
    old: list[Any] = before.get("messages", [])
    new: list[Any] = after.get("messages", [])
    if len(new) < len(old):
        return f"{len(old)} messages became {len(new)}"
    for index, (one, other) in enumerate(zip(old, new, strict=False)):
        if _text(one) != _text(other):
            return f"messages[{index}] ({one.get('role')}) changed"
    return ""


def _text(value: object) -> str:
    """The value with its keys in the order in which they were sent; ``==`` would not see it."""
    return json.dumps(value)


def _opening(body: dict[str, Any]) -> list[Any]:
    """What tells one conversation from another: its first message that is not the system's."""
    others = [each for each in body.get("messages", ()) if each.get("role") != "system"]
    return others[:1]


def _bodies(requests: object) -> Sequence[bytes]:
    found = getattr(requests, "requests", requests)
    if not isinstance(found, Iterable):
        raise TypeError(f"no requests in {type(requests).__name__}")
    bodies = [_raw(each) for each in cast("Iterable[object]", found)]
    assert bodies, "there is no request to look at"
    return bodies


def _raw(each: object) -> bytes:
    raw = getattr(each, "raw", each)
    if not isinstance(raw, bytes | bytearray) or not raw:
        raise TypeError("a request without its bytes (a FakeDeepSeek with keep=False has none)")
    return bytes(raw)
