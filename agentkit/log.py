"""The session's log: events get their number, become durable, and are shown to watchers."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from agentkit.checkpoints.contents import StoredContents
from agentkit.commits import commit
from agentkit.events import Event, from_dict, now, to_dict
from agentkit.secrets import Redactor
from agentkit.stores import Row, Store

if TYPE_CHECKING:
    from agentkit.tracing import Trace

E = TypeVar("E", bound=Event)
_UNTRACED: AbstractContextManager[Mapping[str, str]] = nullcontext({})

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""Made once: ``json.dumps`` with options makes one for each value."""


class Watch:
    """One watcher's view of a log."""

    def __init__(
        self, inlet: MemoryObjectSendStream[Event], events: MemoryObjectReceiveStream[Event]
    ) -> None:
        self._inlet = inlet
        self._ended = False
        self.events = events
        """The events, in order; the iteration ends after ``end``."""

    def give(self, event: Event) -> None:
        if not self._ended:
            self._inlet.send_nowait(event)

    def end(self) -> None:
        """Let the iteration end once everything given was read."""
        self._ended = True
        self._inlet.close()


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
        self._watches: list[Watch] = []
        self._writing = anyio.Lock()
        self.contents = StoredContents(store, session_id)
        """What events refer to by name; durable with the next commit."""
        self.redactor = Redactor()
        """Takes secrets out of events before anything else sees them."""
        self.trace: Trace | None = None
        """Follows the run that is under way, where somebody listens."""

    def guard(self, redactor: Redactor) -> None:
        """From now on take out what this one knows."""
        self.redactor = redactor
        self.contents.secret = redactor.holds_known

    def append(self, event: E, lane: str = "") -> E:
        """Number the event and keep it for the next commit.

        Args:
            lane: the lane that it belongs to, "" for the one that it names.
        """
        self.last_seq += 1
        event = self.redactor.event(event)
        numbered = replace(event, lane=lane or event.lane, seq=self.last_seq, time=now())
        self._pending.append(numbered)
        if self.trace is not None:
            self.trace.saw(numbered)
        return numbered

    def show(self, event: Event) -> None:
        """Show an event that is not stored."""
        if self.trace is not None:
            self.trace.saw(event)
        self._publish(replace(self.redactor.event(event), time=now()))

    def during(
        self, lane: str, call_id: str = "", address: str = ""
    ) -> AbstractContextManager[Mapping[str, str]]:
        """Around a call, or else a request: its span, where runs are traced, is the active one.

        Gives headers that the request is to carry.
        """
        return _UNTRACED if self.trace is None else self.trace.during(lane, call_id, address)

    async def commit(self) -> None:
        """Make everything appended so far durable.

        Raises:
            StoreError: the store cannot be written; the events stay kept and can be tried again.
        """
        with anyio.CancelScope(shield=True):  # a commit of unknown outcome would fork the log
            async with self._writing:
                batch = self._pending[:]
                if batch:
                    rows = [as_row(event) for event in batch]
                    await commit(self._store, self.session_id, rows)
                    del self._pending[: len(batch)]
                    for event in batch:
                        self._publish(event)

    async def events(self) -> list[Event]:
        """All events so far, in order, those not yet committed too."""
        async with self._writing:  # a commit of another lane would move some from here to there
            stored = await to_thread.run_sync(read, self._store, self.session_id)
            return [*stored, *self._pending]

    @contextmanager
    def watch(self) -> Generator[Watch]:
        """All events from now on, in order."""
        watch = Watch(*anyio.create_memory_object_stream[Event](math.inf))
        self._watches.append(watch)
        try:
            yield watch
        finally:
            self._watches.remove(watch)
            watch.end()
            watch.events.close()

    def _publish(self, event: Event) -> None:
        for watch in self._watches:
            watch.give(event)


def read(store: Store, session_id: str, after: int = 0, upto: int | None = None) -> list[Event]:
    """The stored events of a session, in order: all, or those that ``Store.read`` would give."""
    return [from_dict(json.loads(row.data)) for row in store.read(session_id, after, upto)]


def as_row(event: Event) -> Row:
    """The event as a store keeps it."""
    record = to_dict(event)
    data = _ENCODER.encode(record)
    try:
        data.encode()
    except UnicodeEncodeError:  # a lone surrogate: only escapes survive the round trip
        data = json.dumps(record, separators=(",", ":"))
    return Row(event.seq or 0, event.time, event.type, event.lane, data, event)
