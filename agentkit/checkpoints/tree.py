"""A workspace as a value: folders of entries, kept like contents, so that equal ones are shared.

The object of a folder lists its entries, those of sub-folders by the name of their own object.
A change of one file makes one object per folder above it; everything else is the same object.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, Protocol, cast

Kind = Literal["f", "l", "d"]
"""A file, a symbolic link, a folder."""


class Entry(NamedTuple):
    """What is remembered of one path."""

    kind: Kind
    mode: int
    """Permission bits; 0 for links."""
    size: int
    """Bytes; 0 for folders."""
    content: str
    """Name of the content (for links: of the target). Of a file too large to keep: ``~`` and its
    time of change, of one that holds a secret ``~s`` and that. Of a folder: "" (its entries are
    in the tree)."""

    @property
    def kept(self) -> bool:
        """Whether the content can be brought back."""
        return not self.content.startswith("~")


Tree = dict[str, dict[str, Entry]]
"""Entries by name, by folder; the workspace is ``""``."""


class Contents(Protocol):
    """Where contents live, by the SHA-256 of their bytes."""

    def add(self, data: bytes) -> str:
        """Keep the bytes; their name. Durable after ``flush``."""
        ...

    def holds_secret(self, data: bytes) -> bool:
        """Whether they may not be kept."""
        ...

    def get(self, name: str) -> bytes:
        """The bytes of that name.

        Raises:
            StoreError: they are not there.
        """
        ...

    def flush(self) -> int:
        """Make what was added durable; how many bytes were new."""
        ...


def name_of(data: bytes) -> str:
    """The name of a content."""
    return hashlib.sha256(data).hexdigest()


def join(folder: str, name: str) -> str:
    """The path of a name in a folder."""
    return f"{folder}/{name}" if folder else name


def split(path: str) -> tuple[str, str]:
    """Folder and name."""
    folder, _, name = path.rpartition("/")
    return folder, name


def flat(tree: Tree) -> Iterator[tuple[str, Entry]]:
    """All paths with their entries; a folder comes before what is in it."""
    pending = [""]
    while pending:
        folder = pending.pop()
        for name, entry in tree.get(folder, {}).items():
            path = join(folder, name)
            yield path, entry
            if entry.kind == "d":
                pending.append(path)


class Keeper:
    """Writes trees, and remembers the objects of the last one: what is equal is not made again."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._last: dict[str, tuple[dict[str, Entry], dict[str, str], str]] = {}

    def keep(self, tree: Tree) -> str:
        """Keep the tree; its name."""
        names: dict[str, str] = {}
        last, self._last = self._last, {}
        for folder in sorted(tree, key=lambda each: (-each.count("/"), each), reverse=False):
            if folder:
                self._keep_folder(folder, tree[folder], names, last)
        return self._keep_folder("", tree.get("", {}), names, last)

    def _keep_folder(
        self,
        folder: str,
        entries: dict[str, Entry],
        names: dict[str, str],
        last: Mapping[str, tuple[dict[str, Entry], dict[str, str], str]],
    ) -> str:
        below = {
            name: names[join(folder, name)] for name, entry in entries.items() if entry.kind == "d"
        }
        known = last.get(folder)
        if known is not None and known[1] == below and known[0] == entries:
            made = known[2]
        else:
            made = self._contents.add(encode(entries, below))
        self._last[folder] = (entries, below, made)
        names[folder] = made
        return made


def encode(entries: Mapping[str, Entry], below: Mapping[str, str]) -> bytes:
    """The object of one folder."""
    lines: list[bytes] = []
    for name in sorted(entries):
        kind, mode, size, content = entries[name]
        line = f"{kind} {mode:o} {size} {below[name] if kind == 'd' else content} ".encode()
        lines.append(line + os.fsencode(name))
    return b"\0".join(lines)


def decode(data: bytes) -> dict[str, Entry]:
    """The entries of one folder; a sub-folder's ``content`` is the name of its object."""
    entries: dict[str, Entry] = {}
    for line in data.split(b"\0") if data else []:
        kind, mode, size, content, name = line.split(b" ", 4)
        entries[os.fsdecode(name)] = Entry(
            cast("Kind", kind.decode()),
            int(mode, 8),
            int(size),
            content.decode(),
        )
    return entries


def load(contents: Contents, name: str) -> Tree:
    """The tree of that name.

    Raises:
        StoreError: part of it is not in the store.
    """
    tree: Tree = {}
    pending = [("", name)]
    while pending:
        folder, object_name = pending.pop()
        entries = decode(contents.get(object_name))
        for each, entry in entries.items():
            if entry.kind == "d":
                pending.append((join(folder, each), entry.content))
                entries[each] = entry._replace(content="")
        tree[folder] = entries
    return tree


def compare(
    contents: Contents, old: str, new: str
) -> Iterable[tuple[str, Entry | None, Entry | None]]:
    """Paths that differ between two kept trees, by name; equal folders are not even read."""
    return sorted(_compare(contents, "", old, new), key=lambda each: each[0])


def _compare(
    contents: Contents, folder: str, old: str, new: str
) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    if old == new:
        return
    before = decode(contents.get(old)) if old else {}
    after = decode(contents.get(new)) if new else {}
    for name in before.keys() | after.keys():
        a, b = before.get(name), after.get(name)
        if a == b:
            continue
        path = join(folder, name)
        plain_a = a._replace(content="") if a is not None and a.kind == "d" else a
        plain_b = b._replace(content="") if b is not None and b.kind == "d" else b
        if plain_a != plain_b:
            yield path, plain_a, plain_b
        below_a = a.content if a is not None and a.kind == "d" else ""
        below_b = b.content if b is not None and b.kind == "d" else ""
        if below_a or below_b:
            yield from _compare(contents, path, below_a, below_b)
