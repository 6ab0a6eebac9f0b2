"""What the model has seen of each file, and how its own edits are taken back.

Both are facts in the session's log: a resumed session knows them without reading a file again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import Any, cast

from agentkit.tool import ToolContext

_KEPT_TEXT = 256 << 10
"""Larger files are remembered by their hash alone."""

_KEPT_CHANGE = 256 << 10
"""Undo of an edit that removed more bytes than this is not kept in the log."""

_DIFF_LINES = 40


def digest(data: bytes) -> str:
    """A short name for this content."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


class Observations:
    """The last version of each file that the model of one lane has seen.

    A lane has its own: what another lane's model read or wrote, this one does not know.
    """

    def __init__(self, context: ToolContext) -> None:
        self._record = context.record
        self._lane = context.lane
        facts = [fact for fact in context.facts("observed") if fact["lane"] == context.lane]
        hashes: dict[str, str] = {fact["path"]: fact["hash"] for fact in facts}
        self._hashes = {path: name for path, name in hashes.items() if name}
        self._texts: dict[str, str] = {}

    @classmethod
    def of(cls, context: ToolContext) -> Observations:
        """Those of this call's lane."""
        lanes = cast("dict[str, Observations]", context.state.setdefault("observed", {}))
        if context.lane not in lanes:
            lanes[context.lane] = cls(context)
        return lanes[context.lane]

    def note(self, path: str, data: bytes, text: str) -> None:
        """The model has now seen this version of the file."""
        name = digest(data)
        if self._hashes.get(path) != name:
            self._hashes[path] = name
            self._record("observed", {"lane": self._lane, "path": path, "hash": name})
        self._texts.pop(path, None)
        if len(text) <= _KEPT_TEXT:
            self._texts[path] = text

    def forget(self, path: str) -> None:
        """The file is gone, and the model knows it."""
        self._hashes.pop(path, None)
        self._texts.pop(path, None)
        self._record("observed", {"lane": self._lane, "path": path, "hash": ""})

    def version(self, path: str) -> str:
        """The digest of the version that the model saw last, "" where it saw none."""
        return self._hashes.get(path, "")

    def seen(self, path: str) -> bool:
        return path in self._hashes

    def stale(self, path: str, data: bytes) -> bool:
        """Whether the model saw the file, and in another version than this."""
        return self._hashes.get(path, digest(data)) != digest(data)

    def difference(self, path: str, text: str) -> str:
        """What changed since the model last saw the file, ``""`` where that is not known."""
        old = self._texts.get(path)
        if old is None:
            return ""
        diff = list(unified_diff(old.split("\n"), text.split("\n"), lineterm="", n=2))[2:]
        if len(diff) > _DIFF_LINES:
            diff = [*diff[:_DIFF_LINES], f"… {len(diff) - _DIFF_LINES} more lines of difference"]
        return "\n".join(line[:300] for line in diff)


@dataclass(frozen=True, slots=True)
class Change:
    """One edit, kept as what it replaced: the bytes from ``offset`` on."""

    path: str
    after: str
    """The file's hash after the edit: undo is refused where it has another now."""
    offset: int
    removed: bytes
    added: int
    """Bytes that took the place of ``removed``."""
    created: bool = False
    """The file did not exist before."""

    @classmethod
    def between(cls, path: str, before: bytes | None, after: bytes) -> Change:
        """The smallest single change that leads from one version to the other."""
        old = before or b""
        offset = _common_start(old, after)
        rest = min(len(old), len(after)) - offset
        same = _common_start(old[offset:][::-1][:rest], after[offset:][::-1][:rest])
        removed = old[offset : len(old) - same]
        added = len(after) - same - offset
        return cls(path, digest(after), offset, removed, added, before is None)

    def undo(self, data: bytes) -> bytes:
        """The version before the edit."""
        return data[: self.offset] + self.removed + data[self.offset + self.added :]

    def to_fact(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "after": self.after,
            "offset": self.offset,
            "removed": base64.b64encode(self.removed).decode(),
            "added": self.added,
            "created": self.created,
        }

    @classmethod
    def from_fact(cls, fact: Mapping[str, Any]) -> Change:
        removed = base64.b64decode(fact["removed"])
        return replace(cls(**fact), removed=removed)


class Changes:
    """The edits of this session that can be taken back, newest last, per file."""

    def __init__(self, context: ToolContext) -> None:
        self._record = context.record
        self._stacks: dict[str, list[Change]] = {}
        for fact in context.facts("edited"):
            if fact.get("undone"):
                self._stacks[fact["path"]].pop()
            else:
                self._stacks.setdefault(fact["path"], []).append(Change.from_fact(fact))

    @classmethod
    def of(cls, context: ToolContext) -> Changes:
        """Those of this call's session."""
        if "edited" not in context.state:
            context.state["edited"] = cls(context)
        return cast("Changes", context.state["edited"])

    def push(self, change: Change) -> None:
        """Keep an edit, unless it removed very much: then undo will say that it cannot."""
        if len(change.removed) > _KEPT_CHANGE:
            return
        self._stacks.setdefault(change.path, []).append(change)
        self._record("edited", change.to_fact())

    def last(self, path: str) -> Change | None:
        stack = self._stacks.get(path)
        return stack[-1] if stack else None

    def pop(self, path: str) -> None:
        """The newest edit of the file has been taken back."""
        self._stacks[path].pop()
        self._record("edited", {"path": path, "undone": True})


def _common_start(one: bytes, other: bytes) -> int:
    """How many bytes both begin with: by halving, as a loop over 16 MB takes a second."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
