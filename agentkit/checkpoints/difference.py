"""What changed between two kept trees: a patch that git takes, and lines counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agentkit.checkpoints.patch import Entry as PatchEntry
from agentkit.checkpoints.patch import file_diff
from agentkit.checkpoints.tree import Contents, Entry, compare
from agentkit.events.session import RunStarted
from agentkit.events.workspace import Checkpoint, Restored

if TYPE_CHECKING:
    from agentkit.events import Event

BEFORE = "before the first change"
AFTER = "after the turn"
CHECK = "before a check"
"""Reasons of the checkpoints that are taken by themselves."""

_LONGEST = 1 << 20
"""Bytes of a file above which it is named and counted, not shown."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path that differs."""

    path: str
    what: Literal["added", "deleted", "changed", "mode"]
    plus: int | None = None
    """Lines added; None where they were not counted (binary, large, not kept)."""
    minus: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """All of it."""

    patch: bytes
    """In git's format; binary files in full, large ones only named."""
    files: tuple[FileChange, ...]

    @property
    def text(self) -> str:
        """The patch as text; bytes that are no UTF-8 are replaced."""
        return self.patch.decode("utf-8", "replace")

    @property
    def stat(self) -> str:
        """A line per file, and the sum, as ``git diff --stat`` tells it."""
        lines = [f"{_lines_of(each):>12}  {each.path}" for each in self.files]
        plus = sum(each.plus or 0 for each in self.files)
        minus = sum(each.minus or 0 for each in self.files)
        count = len(self.files)
        lines.append(f"{count} file{'s' * (count != 1)} changed, +{plus} -{minus}")
        return "\n".join(lines)


def _lines_of(change: FileChange) -> str:
    if change.plus is None:
        return change.what
    return f"+{change.plus} -{change.minus}"


def difference(contents: Contents, old: str, new: str) -> Difference:
    """The difference of two kept trees.

    Raises:
        StoreError: a content is not in the store.
    """
    pieces: list[bytes] = []
    files: list[FileChange] = []
    for path, before, after in compare(contents, old, new):
        change, text = _one(contents, path, before, after)
        if change is not None:
            files.append(change)
            pieces.append(text)
    return Difference(b"".join(pieces), tuple(files))


def _one(
    contents: Contents, path: str, before: Entry | None, after: Entry | None
) -> tuple[FileChange | None, bytes]:
    before = None if before is not None and before.kind == "d" else before
    after = None if after is not None and after.kind == "d" else after
    if before is None and after is None:
        return None, b""  # a folder came, went or changed its bits: git shows none of these
    what = "added" if before is None else "deleted" if after is None else "changed"
    if any(each and (not each.kept or each.size > _LONGEST) for each in (before, after)):
        sizes = " to ".join(f"{each.size:,}" if each else "none" for each in (before, after))
        line = f"# {path}: {what}, too large to show ({sizes} bytes)\n"
        return FileChange(path, what), line.encode("utf-8", "surrogateescape")
    text = b"".join(file_diff(path, _loaded(contents, before), _loaded(contents, after)))
    if before and after and before.content == after.content and before.kind == after.kind:
        return FileChange(path, "mode", 0, 0), text
    if b"\nGIT binary patch\n" in text:
        return FileChange(path, what), text
    lines = text.split(b"\n")
    body = [line for line in lines if not line.startswith((b"+++ ", b"--- "))]
    plus = sum(line.startswith(b"+") for line in body)
    return FileChange(path, what, plus, sum(line.startswith(b"-") for line in body)), text


def _loaded(contents: Contents, entry: Entry | None) -> PatchEntry | None:
    if entry is None:
        return None
    data = contents.get(entry.content)
    return PatchEntry(data, executable=bool(entry.mode & 0o100), link=entry.kind == "l")


def by_turn(contents: Contents, events: Iterable[Event]) -> dict[int, Difference]:
    """What each turn changed in the session's workspace, by its number; nothing, no entry.

    Raises:
        StoreError: a content is not in the store.
    """
    pairs = trees_by_turn(events)
    return {turn: difference(contents, old, new) for turn, (old, new) in pairs.items()}


def trees_by_turn(events: Iterable[Event]) -> dict[int, tuple[str, str]]:
    """The trees before and after each turn that changed something, by its number.

    What the checks behind a turn changed belongs to it; what happened between two runs, to none.
    """
    trees: dict[str, str] = {}
    found: dict[int, tuple[str, str]] = {}
    last = ""
    """The tree that the next one is compared with; "" where others may have been at work."""
    for event in events:
        if isinstance(event, Checkpoint) and event.tree and not event.place:
            trees[event.id] = event.tree
            if event.reason in (AFTER, CHECK) and last not in ("", event.tree):
                first, _ = found.get(event.turn, (last, ""))
                found[event.turn] = (first, event.tree)
            last = event.tree
        elif isinstance(event, Restored):
            last = trees.get(event.checkpoint, "")
        elif isinstance(event, RunStarted):
            last = ""
    return found
