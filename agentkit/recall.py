"""``recall``: read back what a fold took out of the context. The log has all of it."""

from __future__ import annotations

from collections.abc import Iterable

from agentkit.errors import ToolError
from agentkit.events import Event, Message, ModelResponded, Steered, ToolFinished
from agentkit.log import EventLog
from agentkit.tool import Tool, tool

MATCHES = 20
AROUND = 120
"""Characters shown on each side of a match."""
PAGE = 12_000
"""Characters of a turn given at once."""


def recall_tool(log: EventLog) -> Tool:
    """The tool over one session's log."""

    @tool(read_only=True)
    async def recall(query: str = "", turn: int = 0, offset: int = 0) -> str:
        """Read back what was folded away: search first, then read a turn.

        Args:
            query: text to look for; gives the turns that hold it.
            turn: number of a turn to read in full.
            offset: where in a long turn to go on.
        """
        turns = as_turns(await log.events())
        if query:
            return _search(turns, query)
        if not 1 <= turn <= len(turns):
            raise ToolError(f"give a query, or a turn from 1 to {len(turns)}")
        return _page(turns[turn - 1], offset)

    return recall


def as_turns(events: Iterable[Event]) -> list[str]:
    """The text of each turn: an answer with what followed it. The first has what came before."""
    turns: list[str] = [""]
    for event in events:
        if isinstance(event, ModelResponded) and turns[-1]:
            turns.append("")
        text = _text(event)
        if text:
            turns[-1] += f"{text}\n"
    return turns


def _text(event: Event) -> str:
    match event:
        case Message() | Steered():
            return f"user: {event.text}"
        case ModelResponded():
            calls = "".join(f"\ncall {call.name} {call.arguments}" for call in event.calls)
            return f"{event.reasoning}\n{event.content}{calls}".strip()
        case ToolFinished() if event.tool != "recall":
            return f"result of {event.tool}: {event.content}"
        case _:
            return ""


def _search(turns: list[str], query: str) -> str:
    wanted = query.lower()
    lines: list[str] = []
    total = 0
    for number, text in enumerate(turns, 1):
        found = text.lower().count(wanted)
        total += found
        if found and len(lines) < MATCHES:
            at = text.lower().index(wanted)
            excerpt = " ".join(text[max(0, at - AROUND) : at + len(query) + AROUND].split())
            lines.append(f"turn {number} ({found}): … {excerpt} …")
    if not total:
        return f"nothing in {len(turns)} turns holds {query!r}"
    return "\n".join([f"{total} matches", *lines])


def _page(text: str, offset: int) -> str:
    page = text[offset : offset + PAGE]
    left = len(text) - offset - len(page)
    more = f"\n[{left} characters more: offset={offset + len(page)}]" if left > 0 else ""
    return page + more
