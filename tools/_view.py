"""What ``view`` shows: numbered lines of a file, or a directory two levels deep."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Sequence

import anyio

from agentkit.errors import FileError, ToolError
from agentkit.sandbox import Sandbox
from agentkit.tools._document import Document
from agentkit.tools._match import numbered
from agentkit.tools._text import OUTPUT_LIMIT, counted, one_line

NOISE = frozenset(
    {"node_modules", "__pycache__", "venv", "target", "dist", "build", "site-packages"}
)
"""Directories that are named in a listing but not opened."""

_MOST_ENTRIES = 300
_MOST_OPENED = 60
_LONGEST_LINE = 2_000
_NEAR = 4
_SNIPPET_LINES = 40


def show(document: Document, view_range: Sequence[int] | None) -> str:
    """The lines of the range, numbered, as far as they fit."""
    lines = document.lines
    first, last = _bounds(len(lines), view_range)
    traits = f"[{document.traits}]\n" if document.traits else ""
    if not lines:
        return f"{traits}(empty file)"
    shown, end = _fitting(lines, first, last)
    missing = last - end
    notice = ""
    if missing:
        notice = (
            f"\n[lines {first}-{end} of {len(lines):,} shown; {counted(missing, 'more line')} "
            f"asked for: continue with view_range [{end + 1}, {last}]]"
        )
    elif view_range and end < len(lines):
        notice = f"\n[the file has {len(lines):,} lines]"
    return f"{traits}{shown}{notice}"


def _bounds(total: int, view_range: Sequence[int] | None) -> tuple[int, int]:
    if not view_range:
        return 1, total
    if len(view_range) != 2:
        raise ToolError("view_range needs two numbers, [first, last]")
    first, last = view_range
    if last == -1:
        last = total
    if first < 1 or last < first <= total:
        raise ToolError(
            f"view_range {list(view_range)} is not a range of lines: first is 1 or more, "
            "last is not before it, or -1 for the end"
        )
    if first > max(total, 1):
        raise ToolError(f"view_range starts at line {first}, but the file has {total} lines")
    return first, min(last, total)


def _fitting(lines: list[str], first: int, last: int) -> tuple[str, int]:
    """Whole numbered lines up to the output limit, and the number of the last one."""
    parts: list[str] = []
    room = OUTPUT_LIMIT
    for number in range(first, last + 1):
        part = numbered([lines[number - 1]], number, width=_LONGEST_LINE)
        room -= len(part) + 1
        if room < 0 and parts:
            return "\n".join(parts), number - 1
        parts.append(part)
    return "\n".join(parts), last


def snippet(document: Document, first: int, last: int) -> str:
    """The lines of an edit with a few around them; the middle of a long one is left out."""
    lines = document.lines
    start, stop = max(first - _NEAR, 1), min(last + _NEAR, len(lines))
    if stop - start < _SNIPPET_LINES:
        return numbered(lines[start - 1 : stop], start)
    half = _SNIPPET_LINES // 2
    upper = numbered(lines[start - 1 : start - 1 + half], start)
    lower = numbered(lines[stop - half : stop], stop - half + 1)
    return f"{upper}\n[… {stop - start + 1 - 2 * half:,} lines …]\n{lower}"


async def directory(sandbox: Sandbox, path: str) -> str:
    """The names in a directory and in its subdirectories, without hidden ones."""
    top = await _names(sandbox, path)
    if not top and not (await sandbox.exec(f"[ -r {shlex.quote(path)} ]")).ok:
        raise ToolError(f"{path} may not be listed: permission denied")
    to_open = [name for name in top if name.endswith("/") and name[:-1] not in NOISE]
    inside: dict[str, list[str]] = {}

    async def open_one(name: str) -> None:
        try:
            inside[name] = await _names(sandbox, posixpath.join(path, name))
        except ToolError:
            inside[name] = []  # closed to us; its name is shown all the same

    async with anyio.create_task_group() as group:
        for name in to_open[:_MOST_OPENED]:
            group.start_soon(open_one, name)
    entries = [
        entry for name in top for entry in (name, *(name + each for each in inside.get(name, ())))
    ]
    shown = "\n".join(one_line(entry) for entry in entries[:_MOST_ENTRIES])
    notes = [f"{path} has {counted(len(top), 'entry')} that are not hidden"]
    if len(entries) > _MOST_ENTRIES:
        notes.append(f"{len(entries) - _MOST_ENTRIES:,} more two levels deep are not shown")
    if len(to_open) > _MOST_OPENED:
        notes.append(f"{len(to_open) - _MOST_OPENED} directories were not opened")
    return f"{shown}\n[{'; '.join(notes)}]".lstrip("\n")


async def _names(sandbox: Sandbox, path: str) -> list[str]:
    try:
        names = await sandbox.list_dir(path)
    except FileError as error:
        raise ToolError(error.what) from error
    return [name for name in names if not name.startswith(".")]
