"""Where sessions live: append-only logs of events, one per session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """One stored event."""

    seq: int
    time: str
    type: str
    lane: str
    data: str
    """The whole event as JSON, ``events.to_dict``."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A line of ``agentkit sessions list``."""

    id: str
    created: str
    updated: str
    events: int
    title: str
    """Start of the first task."""
    status: str
    """The last run's status, or ``open`` where it has not ended (or was killed)."""
    cost_usd: float
    workspace: str


class Store(Protocol):
    """A store of session logs. Methods block; callers use worker threads.

    Every method raises ``StoreError`` with a clear text when the medium fails.
    """

    def append(self, session_id: str, rows: Sequence[Row]) -> None:
        """Write rows durably, all or none. The first ``seq`` must follow the last stored one.

        Raises:
            StoreError: the medium failed, or another process wrote this session meanwhile.
        """
        ...

    def read(self, session_id: str, after: int = 0) -> list[Row]:
        """Rows with a ``seq`` above ``after``, in order; empty for an unknown session."""
        ...

    def sessions(self) -> list[SessionInfo]:
        """All sessions, the last used first."""
        ...

    def find(self, prefix: str) -> str:
        """The one session whose id starts so.

        Raises:
            SessionError: none, or several.
        """
        ...

    def delete(self, session_id: str) -> None: ...

    def close(self) -> None: ...
