"""Here-documents, read as a shell does: the grammar is trusted only where both readings agree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_MARKER = re.compile(rb"([\'\"]?)(\\?)([\w.!+-]+)\1")
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_RUNS = re.compile(rb"`|\$[({\[]")
"""What begins a command or a computation in a text."""


def doubt(node: Node, data: bytes) -> str:
    """Why this here-document may be another one for a shell, "" where it is what it looks like.

    Everything on the marker's line is a node of its own, there is one such text on that line, it
    ends where a shell ends it, and nothing in it runs unless a node says so.
    """
    parts = {each.type: each for each in node.children}
    start, stop = parts.get("heredoc_start"), parts.get("heredoc_end")
    if start is None or stop is None:
        return "a here-document is not understood"
    marker = _MARKER.fullmatch(data[start.start_byte : start.end_byte])
    if marker is None or (marker[1] and marker[2]):
        return "the marker of a here-document is not understood"
    line_end = data.find(b"\n", start.end_byte)
    if line_end < 0 or data[line_end - 1 : line_end] == b"\\":
        return "a here-document has no text"
    others = [each for each in node.children if each.type not in ("heredoc_body", "heredoc_end")]
    if any(each.end_byte > line_end for each in others) or b"<<" in _rest(data, start, line_end):
        return "a here-document's line is not understood"
    quoted = bool(marker[1] or marker[2])
    end = _end(data, line_end + 1, marker[3], dashed="<<-" in parts, quoted=quoted)
    if end is None or end != (stop.start_byte, stop.end_byte):
        return "the end of a here-document is not understood"
    if not quoted and _RUNS.search(_bare(parts.get("heredoc_body"), data, line_end + 1, end[0])):
        return "a here-document holds code that is not understood"
    return ""


def _rest(data: bytes, start: Node, line_end: int) -> bytes:
    """The marker's line without what is before it, except for another such text."""
    line = data.rfind(b"\n", 0, start.start_byte) + 1
    before = data[line : start.start_byte].rstrip(b" \t")
    return before.removesuffix(b"-").removesuffix(b"<<") + b" " + data[start.end_byte : line_end]


def _end(
    data: bytes, place: int, marker: bytes, *, dashed: bool, quoted: bool
) -> tuple[int, int] | None:
    """Where the closing marker is; None where shells differ about it."""
    nearly = re.compile(rb"\s*" + re.escape(marker) + rb"(?!\w)")
    for line in data[place:].split(b"\n"):
        text = line.lstrip(b"\t") if dashed else line
        if text == marker:
            return place + len(line) - len(text), place + len(line)
        if nearly.match(line) or (not quoted and line.endswith(b"\\")):
            return None
        place += len(line) + 1
    return None


def _bare(body: Node | None, data: bytes, place: int, end: int) -> bytes:
    """The text without what nodes of their own hold, and without what is escaped."""
    found: list[bytes] = []
    for child in body.children if body is not None else ():
        if child.is_named and child.type not in ("heredoc_content", "simple_expansion"):
            found.append(data[place : child.start_byte])
            place = max(place, child.end_byte)
    found.append(data[place:end])
    return _ESCAPE.sub(b"", b" ".join(found))
