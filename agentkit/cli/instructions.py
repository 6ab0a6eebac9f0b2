"""What a project tells the model itself: ``AGENTS.md``, from the root down to the workspace."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

if TYPE_CHECKING:
    from agentkit.run import Run

FILE = "AGENTS.md"
MOST_BYTES = 32_000
"""Of all instruction files together; about 8,000 tokens."""


def collect(workspace: Path) -> str:
    """All ``AGENTS.md`` from the repository's root down to the workspace, as one text.

    Without a repository only the workspace's own counts.
    """
    root = _root(workspace)
    return as_text([(os.path.relpath(path, root), _read(path)) for path in _files(root, workspace)])


def as_text(files: Sequence[tuple[str, bytes]]) -> str:
    """One text of several files, the nearest last. It says what was cut; "" of nothing."""
    parts: list[str] = []
    room = MOST_BYTES
    for name, content in reversed(files):  # the nearest has the first claim to the room
        data = content.strip()
        kept = data[:room]
        room -= len(kept)
        text = kept.decode("utf-8", "replace" if len(kept) == len(data) else "ignore")
        if len(kept) < len(data):
            text += f"\n[… {len(data) - len(kept):,} bytes of {name} left out; read them there]"
        if text:
            parts.append(f"--- {name}\n{text}")
    if not parts:
        return ""
    head = "[Instructions of the project; where two differ, the later one holds]"
    return "\n".join([head, *reversed(parts)])


class Instructions:
    """``AGENTS.md`` as a fact that may change: the model is told the difference, once."""

    kind = "instructions"
    each_turn = True
    _MOST_LINES = 60

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._seen: tuple[object, ...] = ()
        self._text = ""

    def baseline(self, run: Run) -> str | None:
        return None  # the first look: what the briefing has just said

    async def look(self, run: Run) -> str | None:
        seen = tuple(_stamp(path) for path in _files(_root(self._workspace), self._workspace))
        if seen != self._seen or not seen:  # a look at the files' times costs microseconds
            self._text = await to_thread.run_sync(collect, self._workspace) if seen else ""
            self._seen = seen
        return self._text

    def words(self, before: str, now: str) -> str:
        lines = list(unified_diff(before.split("\n"), now.split("\n"), lineterm="", n=1))[2:]
        if not now:
            return f"{FILE} was removed: its instructions no longer hold."
        if len(lines) > self._MOST_LINES:
            return f"{FILE} was changed in many places. Read it again before you go on."
        return "\n".join([f"{FILE} was changed; this holds from now on:", *lines])


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (str(path), 0, 0)
    return (str(path), found.st_mtime_ns, found.st_size)


def _root(workspace: Path) -> Path:
    return next((p for p in (workspace, *workspace.parents) if (p / ".git").exists()), workspace)


def _files(root: Path, workspace: Path) -> Iterator[Path]:
    folders = [p for p in (workspace, *workspace.parents) if p.is_relative_to(root)]
    for folder in reversed(folders):
        path = folder / FILE
        # A link that leads out of the project would show the model what it must not see.
        if path.is_file() and path.resolve().is_relative_to(root.resolve()):
            yield path


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES * 32)
    except OSError as error:
        return f"(not readable: {error.strerror})".encode()
