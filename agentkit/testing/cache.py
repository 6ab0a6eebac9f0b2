"""Prompts and cache units as the provider counts them, or close to it.

Rules (api-docs kv_cache guide, 2026-11; multiples of 128 from recorded traffic): a unit is a
whole prefix, stored at the end of the input and at the end of the output of each request, at
fixed intervals inside long texts, and where a prefix common to two requests was noticed. A hit is
the longest stored unit that the prompt starts with, rounded down to 128 tokens; per model and
``user_id``. Units here are stored at once and never forgotten; the provider takes seconds and
forgets after hours to days.

A prompt is bytes, four for a token, which makes one code for both renderers: ``Approximate``
joins what the vendor's encoding would render, in its order, and takes four bytes as a token;
``agentkit.testing.vendor`` packs the vendor's own token numbers into four bytes each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

from agentkit.testing.rules import table, tables, thinks

UNIT = 128
"""Tokens; every recorded hit is a multiple of it (deepseek.md §4.2, 2026-08)."""
INTERVAL = 4096
"""Tokens between units inside long texts. The provider does not publish its number."""
_BYTES = 4
_ANSWER = b"<assistant>"
"""Ends each prompt. A unit of the input ends behind it, so it is hit by a prompt in which the
answer follows, not by one in which a user text does: that joins the results before it into one
turn of the user, and their very last token is another (deepseek-recipe 0.2.0, both encodings)."""


class Renderer(Protocol):
    """Turns a request into the pieces of its prompt, also with its answer behind it."""

    def pieces(self, request: Mapping[str, Any]) -> Sequence[bytes]: ...

    def whole(
        self, request: Mapping[str, Any], message: Mapping[str, Any], pieces: Sequence[bytes]
    ) -> bytes:
        """Prompt and answer as the next request will hold them."""
        ...


class Approximate:
    """Same parts and same order as the vendor's encoding, without its tokens."""

    def pieces(self, request: Mapping[str, Any]) -> Sequence[bytes]:
        effort = ""
        if thinks(request):
            effort = f"Reasoning effort: {request.get('reasoning_effort', 'high')}\n"
        tools = "".join(
            json.dumps(_function(tool), ensure_ascii=False) + "\n"
            for tool in tables(request.get("tools"))
        )
        if tools:  # the vendor's instructions about calls are some 212 tokens (V4.1, 2026-10)
            tools = "\n## Tools\n" + " " * 840 + tools
        messages = tables(request.get("messages"))
        system = ""
        if messages and messages[0].get("role") == "system":
            system = _content(messages.pop(0))
        shown = thinks(request) and bool(tools)
        pieces = [(effort + system + tools).encode()]
        for message in messages:
            if message.get("role") == "assistant":
                pieces.append(_ANSWER)
            pieces.append(_rendered(message, shown))
        if messages and messages[-1].get("role") != "assistant":
            pieces.append(_ANSWER)
        return pieces

    def whole(
        self, request: Mapping[str, Any], message: Mapping[str, Any], pieces: Sequence[bytes]
    ) -> bytes:
        shown = thinks(request) and bool(request.get("tools"))
        return b"".join(pieces) + _rendered(message, shown)


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = table(tool.get("function"))
    return {key: function.get(key) for key in ("name", "description", "parameters")}


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n\n".join(str(part.get("text", "")) for part in tables(content))


def _rendered(message: Mapping[str, Any], reasoning_shown: bool) -> bytes:
    parts: list[str] = []
    if message.get("role") == "assistant":
        thought = message.get("reasoning_content") or "" if reasoning_shown else ""
        parts.append(f"<think>{thought}</think>")
    else:
        parts.append(f"<{message.get('role')}>")
    parts.append(_content(message))
    for call in tables(message.get("tool_calls")):
        function = table(call.get("function"))
        # the markup around a call is some 48 tokens
        parts.append(f"\n<call {function.get('name')}>" + " " * 170)
        parts.append(_normal(function.get("arguments") or ""))
    return "".join(parts).encode("utf-8", "replace")


def _normal(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False)
    except ValueError:
        return arguments


@dataclass(slots=True)
class Domain:
    """The units of one model and user."""

    units: set[bytes] = field(default_factory=set[bytes])
    lengths: set[int] = field(default_factory=set[int])
    """Where units end, for renderers that give no pieces to look at."""
    seen: set[bytes] = field(default_factory=set[bytes])
    """Prefixes that were sent and are not stored; sent again, they become units."""


class Cache:
    """All units, by model and user."""

    def __init__(self) -> None:
        self._domains: dict[tuple[str, str], Domain] = {}

    def charge(self, model: str, user: str, pieces: Sequence[bytes]) -> tuple[int, int]:
        """Look a prompt up, then store its units: its tokens, and how many of them hit."""
        domain = self._domains.setdefault((model, user), Domain())
        prompt = b"".join(pieces)
        ends = accumulate(map(len, pieces)) if len(pieces) > 1 else domain.lengths
        marks = _marks(prompt, ends)
        hit = max((at for at, digest in marks if digest in domain.units), default=0)
        shared = [mark for mark in marks if mark[1] in domain.seen and mark[0] > hit]
        if shared:
            domain.units.add(shared[-1][1])
        domain.seen.update(digest for _, digest in marks)
        domain.lengths.add(len(prompt))
        domain.units.update(
            digest for at, digest in marks if at == len(prompt) or at % (INTERVAL * _BYTES) == 0
        )
        return tokens_of(len(prompt)), hit // _BYTES // UNIT * UNIT

    def store(self, model: str, user: str, whole: bytes) -> None:
        """Store the unit at the end of an output: the prompt with its answer."""
        domain = self._domains.setdefault((model, user), Domain())
        domain.units.add(hashlib.blake2b(whole, digest_size=16).digest())
        domain.lengths.add(len(whole))


def tokens_of(size: int) -> int:
    """Tokens of so many bytes of a prompt."""
    return -(-size // _BYTES)


def _marks(prompt: bytes, ends: Iterable[int]) -> list[tuple[int, bytes]]:
    """Positions at which a unit may end, ascending, each with the hash of all before it."""
    view = memoryview(prompt)
    size = len(prompt)
    inside = (at for at in ends if at < size)
    positions = sorted({*inside, *range(INTERVAL * _BYTES, size, INTERVAL * _BYTES), size})
    running = hashlib.blake2b(digest_size=16)
    out: list[tuple[int, bytes]] = []
    last = 0
    for at in positions:
        running.update(view[last:at])
        out.append((at, running.copy().digest()))
        last = at
    return out
