"""Where sessions live: append-only logs of events, one per session, and what they refer to.

Every store keeps the same promises (``tests/stores/test_contract.py`` runs on all of them):

- ``append`` is durable when it returns, all or none, and may be repeated after a failure.
- Each event is chained to the one before it by SHA-256, so that a torn or edited log is found
  when it is read, and named.
- Contents are kept under their SHA-256 and once only, however many sessions use them.
- One writer: a session that is leased to another living process is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agentkit.events import Event
    from agentkit.stores.lease import Owner

MAX_EVENT = 64 << 20
"""Bytes of one event as JSON; more is refused."""
MAX_CONTENT = 256 << 20
"""Bytes of one content; more is refused."""
MAX_SESSION = 16 << 30
"""Bytes of a session, events and contents together; what comes above is refused."""
BIG = 8 << 10
"""Bytes from which an event's JSON is kept as a content: a fork, or the same head in many
sessions, then costs nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One stored event."""

    seq: int
    time: str
    type: str
    lane: str
    data: str
    """The whole event as JSON, ``events.to_dict``."""
    event: Event | None = field(default=None, compare=False, repr=False)
    """The same not yet encoded, where the writer has it: it spares the store reading ``data``."""


Batches = Sequence[tuple[str, Sequence[Row]]]
"""Rows of several sessions, each as ``Store.append`` takes them."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A line of ``agentkit sessions list``."""

    id: str
    created: str
    updated: str
    """When it was last written to, by the store's clock where it has one of its own."""
    events: int
    title: str
    """Start of the first task."""
    status: str
    """The last run's status, or ``open`` where it has not ended (or was killed)."""
    cost_usd: float
    workspace: str
    size: int = 0
    """Bytes of its events and contents."""
    owner: str = ""
    """The process that has it open now, "" where none has."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A session was written to, or has post (``agentkit.stores.post``)."""

    session_id: str
    seq: int
    """Its last event; 0 for post: a letter or a reply."""


class Listener(Protocol):
    """Notices of all appends to a store, whichever process made them, from its making on."""

    def get(self, timeout: float) -> Notice | None:
        """The next notice, or None after ``timeout`` seconds without one.

        Notices of one session may be joined: the last ``seq`` counts.
        """
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """A store of session logs. Methods block; callers use worker threads.

    Every method raises ``StoreError`` with a clear text when the medium fails.
    """

    @property
    def where(self) -> str:
        """What to call this store in a message; never holds a password."""
        ...

    @property
    def folder(self) -> Path:
        """The folder for what sessions have beside their logs, on this machine."""
        ...

    def append(self, session_id: str, rows: Sequence[Row]) -> None:
        """Write rows durably, all or none. The first ``seq`` must follow the last stored one.

        Rows that are stored already, exactly these and nothing after them, are accepted: a
        writer that was not told the outcome may try again.

        Raises:
            StoreError: the medium failed, a limit of size is reached, or another process wrote
                or leased this session meanwhile.
        """
        ...

    def read(self, session_id: str, after: int = 0, upto: int | None = None) -> list[Row]:
        """Rows with a ``seq`` above ``after``, in order; empty for an unknown session.

        Args:
            upto: the last ``seq`` wanted, None for all.

        Raises:
            LogDamaged: a row is not what was written, or is missing.
        """
        ...

    def put_contents(self, session_id: str, contents: Sequence[bytes]) -> list[str]:
        """Keep contents for a session and give their names (SHA-256, hex).

        They are durable when the next ``append`` is, and cost no synchronisation of their own:
        put them first, then log the event that names them. Each is kept once in the store. They
        go when the last session that put them is deleted.
        """
        ...

    def get_content(self, name: str) -> bytes:
        """The content of that name.

        Raises:
            StoreError: it is not here, or is not what was put.
        """
        ...

    def share_contents(self, source: str, target: str) -> None:
        """Keep all contents of one session for another as well, as a fork needs them."""
        ...

    def info(self, session_id: str) -> SessionInfo | None:
        """What is known of one session, None where it has no events."""
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

    def acquire(self, session_id: str) -> Owner:
        """Lease a session to this process, until ``release``; it need not have events yet.

        Raises:
            SessionInUse: a living process has it.
        """
        ...

    def release(self, session_id: str) -> None:
        """End this store's lease of a session, if it has one."""
        ...

    def listen(self) -> Listener:
        """Begin to listen to appends."""
        ...

    def delete(self, *session_ids: str) -> None:
        """Delete sessions with what only they refer to, and give the space back.

        Raises:
            SessionInUse: a living process has one of them; none is deleted.
        """
        ...

    def close(self) -> None:
        """End this store's leases and connections."""
        ...


def open_store(where: str = "") -> Store:
    """The store of that name.

    Args:
        where: a folder, or the URL of a PostgreSQL database (``postgresql://…``). "" is
            ``AGENTKIT_STORE``, else the folder ``AGENTKIT_HOME``, else ``~/.agentkit``.
    """
    import os

    from agentkit.stores.sqlite import SQLiteStore

    where = where or os.environ.get("AGENTKIT_STORE", "")
    if where.startswith(("postgresql://", "postgres://")):
        from agentkit.stores.postgres import PostgresStore

        return PostgresStore(where)
    return SQLiteStore(Path(where).expanduser() if where else None)
