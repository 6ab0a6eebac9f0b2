"""What both readers of a workspace have in common: what they find, and what they are told to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from agentkit.checkpoints.tree import Contents, Entry, Tree


class Stamp(NamedTuple):
    """By this a file is known to be unchanged without reading it.

    A command can set a file's time of modification, but not its time of change.
    """

    mode: int
    size: int
    mtime: int
    """Nanoseconds."""
    ctime: int
    """Nanoseconds, or what the sandbox's tools know."""
    inode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much a checkpoint may hold.

    Args:
        file_bytes: larger files are noticed when they change, and not kept.
        files: a workspace with more entries gets no checkpoints at all.
        session_bytes: so many bytes of contents for one session; then checkpoints end.
    """

    file_bytes: int = 8 << 20
    files: int = 100_000
    session_bytes: int = 1 << 30


class TooMany(Exception):
    """The workspace has more entries than the bounds allow."""


@dataclass(slots=True)
class Scan:
    """A workspace at one moment."""

    tree: Tree = field(default_factory=Tree)
    stamps: dict[str, dict[str, Stamp]] = field(default_factory=dict[str, dict[str, Stamp]])
    """By folder and name, of files whose stamp can be trusted the next time."""
    files: int = 0
    size: int = 0
    """Bytes of all covered files together."""
    read: int = 0
    """Files whose content was read."""
    unkept: dict[str, str] = field(default_factory=dict[str, str])
    """Files that are noticed only, with their entry's content."""
    skipped: list[str] = field(default_factory=list[str])
    """Paths that could not be read."""

    def entry(self, path: str) -> Entry | None:
        folder, _, name = path.rpartition("/")
        return self.tree.get(folder, {}).get(name)

    def stamp(self, path: str) -> Stamp | None:
        folder, _, name = path.rpartition("/")
        return self.stamps.get(folder, {}).get(name)

    def trust(self, path: str, stamp: Stamp) -> None:
        folder, _, name = path.rpartition("/")
        self.stamps.setdefault(folder, {})[name] = stamp


@dataclass(slots=True)
class Plan:
    """What leads from one tree to another, in the order in which it is done."""

    remove: list[tuple[str, Entry]] = field(default_factory=list[tuple[str, Entry]])
    """Paths to take away, contents of folders before the folders."""
    folders: list[tuple[str, Entry]] = field(default_factory=list[tuple[str, Entry]])
    """Folders to make, parents first."""
    files: list[tuple[str, Entry]] = field(default_factory=list[tuple[str, Entry]])
    """Files and links to write."""
    modes: list[tuple[str, Entry]] = field(default_factory=list[tuple[str, Entry]])
    """Paths of which only the permission bits differ, and new folders' (deepest first)."""

    def __bool__(self) -> bool:
        return bool(self.remove or self.folders or self.files or self.modes)


@dataclass(slots=True)
class Done:
    """What came of a plan."""

    written: list[str] = field(default_factory=list[str])
    removed: list[str] = field(default_factory=list[str])
    failed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Paths that stayed as they were, with the reason."""


class Folder(Protocol):
    """A workspace, wherever it lies."""

    async def scan(self, last: Scan, contents: Contents) -> Scan:
        """Look at the workspace; contents of changed files go into ``contents``.

        Args:
            last: the scan before this one; an empty one where there is none. What it covered
                is covered again, whatever the rules say now.

        Raises:
            TooMany: it is over the bounds.
            SandboxError: it cannot be read at all.
        """
        ...

    async def apply(self, plan: Plan, contents: Contents) -> Done:
        """Do what the plan says; one path that fails does not stop the others."""
        ...


def plan(
    now: Tree, target: Tree, *, spare: Iterable[str] = (), only: Iterable[str] | None = None
) -> Plan:
    """What leads from ``now`` to ``target``.

    Args:
        spare: paths of ``now`` that are not to be removed.
        only: touch nothing but these.
    """
    made = Plan()
    kept, chosen = set(spare), None if only is None else set(only)
    for folder in sorted(now.keys() | target.keys()):
        before, after = now.get(folder, {}), target.get(folder, {})
        for name in sorted(before.keys() | after.keys()):
            path = f"{folder}/{name}" if folder else name
            if chosen is None or path in chosen:
                _step(made, path, before.get(name), after.get(name), kept)
    made.remove.sort(key=lambda each: each[0], reverse=True)
    made.modes.sort(key=lambda each: each[0], reverse=True)
    return made


def _step(made: Plan, path: str, old: Entry | None, new: Entry | None, kept: set[str]) -> None:
    if old == new:
        return
    if new is None:
        if old is not None and path not in kept:
            made.remove.append((path, old))
        return
    if old is not None and "d" in (old.kind, new.kind) and old.kind != new.kind:
        made.remove.append((path, old))
        old = None
    if new.kind == "d":
        if old is None:
            made.folders.append((path, new))
        made.modes.append((path, new))
    elif old is not None and old.kind == new.kind == "f" and old.content == new.content:
        made.modes.append((path, new))
    else:
        made.files.append((path, new))
