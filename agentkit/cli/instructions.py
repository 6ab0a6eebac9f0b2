"""What a project tells the model itself: ``AGENTS.md``, from the root down to the workspace."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

FILE = "AGENTS.md"
MOST_BYTES = 32_000
"""Of all instruction files together; about 8,000 tokens."""


def collect(workspace: Path) -> str:
    """All ``AGENTS.md`` from the repository's root down to the workspace, as one text.

    Without a repository only the workspace's own counts.
    """
    root = next((p for p in (workspace, *workspace.parents) if (p / ".git").exists()), workspace)
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
