"""The workspace's states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agentkit.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Event):
    """The workspace as it was at this moment can be brought back."""

    type: ClassVar[str] = "checkpoint"
    id: str
    """Unique in its session: ``c1``, ``c2``, …"""
    tree: str = ""
    """Name of the workspace's tree in the store; equal trees have equal names. "" where nothing
    could be kept: ``notice`` says why."""
    reason: str = ""
    turn: int = 0
    """Answers that the session had then."""
    place: str = ""
    """"" is the session's workspace; an attempt that works in a copy has its lane's name here."""
    files: int = 0
    """Entries that it covers: files, links and folders."""
    size: int = 0
    """Bytes of all covered files."""
    read: int = 0
    """Files that were read for it, the others being unchanged."""
    new_bytes: int = 0
    """Bytes that the store did not have yet."""
    notice: str = ""
    """What is not covered and might be expected to be; "" where there is nothing to say."""
    duration: float = 0.0
    """Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored(Event):
    """The workspace was brought back to a checkpoint."""

    type: ClassVar[str] = "checkpoint.restored"
    checkpoint: str
    before: str = ""
    """The checkpoint of the state before, so that this can be undone."""
    changed: int = 0
    """Paths that are different now, removed ones too."""
    removed: int = 0
    paths: tuple[str, ...] = ()
    """Those paths, the first 200."""
    failed: tuple[str, ...] = ()
    """Paths that stayed as they were, each with the reason."""

    def as_note(self) -> str:
        """What the model is told."""
        some = ", ".join(self.paths[:20]) + (" …" if self.changed > 20 else "")
        text = f"The workspace was put back to an earlier state: {self.changed} paths: {some}."
        if self.failed:
            text += f" Not put back: {', '.join(self.failed[:5])}."
        return f"[{text} What you read of them before may be out of date.]"
