"""A server's list of tools, made into what the model reads: bounded, named, in a fixed order."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentkit.mcp.schemas import usable

if TYPE_CHECKING:
    from mcp_types import Tool as Theirs

    from agentkit.mcp.config import MCPServer

MOST_TOOLS = 1_000
"""Of one server."""
MOST_WORDS = 2_000
"""Characters of one description."""
LONGEST_NAME = 64
"""Characters of a tool's name that every OpenAI-compatible provider takes."""


@dataclass(frozen=True, slots=True)
class Offered:
    """One tool of a server, as it was when the session began."""

    name: str
    """What the model calls it."""
    server: str
    theirs: str
    """What the server calls it."""
    description: str
    parameters: Mapping[str, Any]
    read_only: bool = False


def offered(server: MCPServer, tools: Iterable[Theirs]) -> tuple[list[Offered], list[str]]:
    """The tools that a session gets of a server, sorted, and what was not as it should be."""
    notes: list[str] = []
    found: dict[str, Offered] = {}
    taken: set[str] = set()
    wanted = set(server.tools)
    listed = sorted(tools, key=lambda one: one.name)
    if len(listed) > MOST_TOOLS and not wanted:
        notes.append(f"it lists {len(listed) - MOST_TOOLS} more tools than {MOST_TOOLS:,}")
        listed = listed[:MOST_TOOLS]
    for each in listed:
        if wanted and each.name not in wanted:
            continue
        if each.name in taken:
            notes.append(f"{each.name!r} is listed twice; the first one counts")
            continue
        taken.add(each.name)
        name = _alias(server.name, each.name, found)
        parameters, lost = usable(each.input_schema)
        if lost:
            notes.append(f"{each.name!r}: {lost}")
        words = _words(each.description or each.title or "", lost)
        read_only = server.reads_only(each.name)
        found[name] = Offered(name, server.name, each.name, words, parameters, read_only)
    notes += [f"{name!r} is not one of its tools" for name in sorted(wanted - taken)]
    return [found[name] for name in sorted(found)], notes


def _alias(server: str, name: str, taken: Mapping[str, object]) -> str:
    """A name that providers take; where it had to be changed, its own hash keeps it apart."""
    plain = f"{server}__{re.sub(r'[^A-Za-z0-9_-]', '_', name)}"
    if len(plain) <= LONGEST_NAME and plain not in taken and plain == f"{server}__{name}":
        return plain
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{plain[: LONGEST_NAME - 7]}_{mark}"


def _words(text: str, lost: str) -> str:
    text = re.sub(r"[^\S\n]+", " ", text.strip()).replace("\x00", "")
    if len(text) > MOST_WORDS:
        text = text[:MOST_WORDS].rstrip() + " …"
    return f"{text} [{lost}]".strip() if lost else text
