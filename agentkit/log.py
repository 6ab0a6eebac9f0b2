"""The session's log: events get their number, become durable, and are shown to watchers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from agentkit.events import Event, from_dict, now, to_dict
from agentkit.stores import Row, Store

E = TypeVar("E", bound=Event)


class EventLog:
    """Append-only; the only writer of its session.

    ``append`` numbers an event and keeps it; ``commit`` makes all that is kept durable and then
    shows it to watchers, so that nobody has seen what a crash could take back.
    """

    def __init__(self, store: Store, session_id: str, last_seq: int = 0) -> None:
        self.session_id = session_id
        self.last_seq = last_seq
        self._store = store
        self._pending: list[Event] = []
        self._watchers: list[MemoryObjectSendStream[Event]] = []
        self._writing = anyio.Lock()

    def append(self, event: E) -> E:
        """Number the event and keep it for the next commit."""
        self.last_seq += 1
        numbered = replace(event, seq=self.last_seq, time=now())
        self._pending.append(numbered)
        return numbered

    def show(self, event: Event) -> None:
        """Show an event that is not stored."""
        self._publish(replace(event, time=now()))

    async def commit(self) -> None:
        """Make everything appended so far durable.

        Raises:
            StoreError: the store cannot be written; the events stay kept and can be tried again.
        """
        with anyio.CancelScope(shield=True):  # half-known commits would fork the numbering
            async with self._writing:
                batch = self._pending[:]
                if not batch:
                    return
                rows = [_row(event) for event in batch]
                await to_thread.run_sync(self._store.append, self.session_id, rows)
                del self._pending[: len(batch)]
        for event in batch:
            self._publish(event)

    @contextmanager
    def watch(self) -> Iterator[MemoryObjectReceiveStream[Event]]:
        """All events from now on, in order."""
        send, receive = anyio.create_memory_object_stream[Event](math.inf)
        self._watchers.append(send)
        try:
            with receive:
                yield receive
        finally:
            self._watchers.remove(send)
            send.close()

    def _publish(self, event: Event) -> None:
        for watcher in self._watchers:
            watcher.send_nowait(event)


def read(store: Store, session_id: str) -> list[Event]:
    """All stored events of a session, in order."""
    return [from_dict(json.loads(row.data)) for row in store.read(session_id)]


def _row(event: Event) -> Row:
    record = to_dict(event)
    data = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    try:
        data.encode()
    except UnicodeEncodeError:  # a lone surrogate: only escapes survive the round trip
        data = json.dumps(record, separators=(",", ":"))
    return Row(event.seq or 0, event.time, event.type, event.lane, data)
