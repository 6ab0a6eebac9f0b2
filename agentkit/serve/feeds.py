"""Events on their way to clients: what happens here, what happens elsewhere, what was stored.

Each client has a small buffer of its own. The run never waits for it: when it is full it is
emptied, and the client is served from the store until it has caught up. Only pieces that are not
stored (deltas) are lost to a slow client; they come again, whole, in the event that ends them.
"""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import anyio
from anyio import CapacityLimiter, to_thread

from agentkit.errors import LogDamaged, StoreError
from agentkit.events import Event
from agentkit.log import as_row
from agentkit.serve.pending import ACCEPTED, WITHDRAWN
from agentkit.serve.problems import log
from agentkit.stores import Listener, Notice, Row, Store

ROOM = 256
"""Events that wait for one client at most."""
BATCH = 200
"""Events that are read from the store at a time."""
OUTAGE = 300.0
"""Seconds that a stream waits for a store that is away."""
Until = Literal["", "now", "finished"]
"""When a stream ends: never, when all that is stored was sent, or with the end of the run."""


@dataclass(frozen=True, slots=True)
class Piece:
    """An event that is not stored, and the stored one that it came after."""

    event: Event
    after: int


Item = Event | Piece | int
"""A stored event, a piece of one to come, or the number of an event that is in the store."""


class Feed:
    """What waits for one client: events of a run here, numbers of events that are stored."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._lost = False
        self._wake = anyio.Event()

    def give(self, item: Item) -> None:
        """Never waits."""
        if len(self._waiting) >= ROOM:
            self._waiting.clear()
            self._lost = True
        self._waiting.append(item)
        self._wake.set()

    async def take(self) -> tuple[list[Item], bool]:
        """All that waits, at least one item, and whether something before it was lost."""
        await self._wake.wait()
        self._wake = anyio.Event()
        items, lost = list(self._waiting), self._lost
        self._waiting.clear()
        self._lost = False
        return items, lost


class Hub:
    """Hands events and notices to the feeds of their session."""

    def __init__(self, store: Store) -> None:
        self.on_post: Callable[[str], None] = lambda _: None
        """Called with the session that has post."""
        self._store = store
        self._feeds: defaultdict[str, set[Feed]] = defaultdict(set[Feed])
        self._last: dict[str, int] = {}

    @contextmanager
    def feed(self, session_id: str) -> Generator[Feed]:
        """A client's feed, while it is there."""
        feed = Feed()
        self._feeds[session_id].add(feed)
        try:
            yield feed
        finally:
            self._feeds[session_id].discard(feed)
            if not self._feeds[session_id]:
                del self._feeds[session_id]

    def give(self, session_id: str, item: Event | int) -> None:
        """An event that happened here, or the number of one that is stored."""
        given: Item = item
        if not isinstance(item, int):
            if item.seq is None:
                given = Piece(item, self._last.get(session_id, 0))
            else:
                self._last[session_id] = item.seq
        for feed in self._feeds.get(session_id, set()):
            feed.give(given)

    def end(self, session_id: str) -> None:
        """No run of the session is under way here any more; wakes those who wait for that."""
        self._last.pop(session_id, None)
        self.give(session_id, 0)

    async def listen(self) -> None:
        """Pass on the store's notices, of whichever process, until cancelled.

        A listener outlives an outage of its store: it alone knows what was told before.
        """
        one = CapacityLimiter(1)
        listener: Listener | None = None
        try:
            while True:
                try:
                    if listener is None:
                        listener = await to_thread.run_sync(self._store.listen, limiter=one)
                    notice = await to_thread.run_sync(listener.get, 0.5, limiter=one)
                    if notice is not None:
                        self._heard(notice)
                except StoreError as error:
                    log.warning("notices.interrupted", error=str(error))
                    await anyio.sleep(1)
        finally:
            if listener is not None:
                with anyio.CancelScope(shield=True):
                    await to_thread.run_sync(listener.close, limiter=one)

    def _heard(self, notice: Notice) -> None:
        if notice.seq == 0:
            self.on_post(notice.session_id)
        self.give(notice.session_id, notice.seq)


@dataclass(frozen=True, slots=True)
class Frame:
    """One event for a client; without ``seq`` it is not stored."""

    seq: int | None
    type: str
    data: str


async def follow(
    store: Store,
    feed: Feed,
    session_id: str,
    after: int,
    *,
    until: Until = "",
    deltas: bool = True,
    busy: Callable[[], bool],
) -> AsyncGenerator[Frame]:
    """A session's events from ``after`` on, each stored one exactly once, in order.

    Args:
        feed: was there before the first look into the store, so nothing falls in between.
        busy: whether a run of the session is under way or waits here.
    """
    last, behind = after, True
    rest: bool | None = None
    """Whether no run is under way after ``last``; None where nothing that was sent tells."""
    while True:
        while behind:
            rows = await _page(store, session_id, last, last + BATCH)
            for row in rows:
                yield Frame(row.seq, row.type, row.data)
                last, rest = row.seq, _rests(row, rest)
            behind = len(rows) == BATCH
        if until == "now":
            return
        if until and not busy():
            rest = await _rested(store, session_id, after) if rest is None else rest
            if rest and not busy():
                return
        items, behind = await feed.take()
        for item in items:
            if isinstance(item, int):
                behind = behind or item > last
            elif isinstance(item, Piece):
                # The store may have told what comes after it already.
                if deltas and not behind and item.after == last:
                    yield Frame(None, item.event.type, as_row(item.event).data)
            elif not behind and item.seq == last + 1:
                row = as_row(item)
                yield Frame(row.seq, row.type, row.data)
                last, rest = row.seq, _rests(row, rest)
            else:
                behind = behind or (item.seq or 0) > last


async def _page(store: Store, session_id: str, after: int, upto: int) -> list[Row]:
    """Read from the store; while it is away, wait for it, and the client with us.

    Raises:
        LogDamaged, StoreError: the log cannot be read, or the store stayed away.
    """
    with anyio.move_on_after(OUTAGE):
        while True:
            try:
                return await to_thread.run_sync(store.read, session_id, after, upto)
            except LogDamaged:
                raise
            except StoreError as error:
                log.warning("stream.waits_for_store", error=str(error))
            await anyio.sleep(1)
    raise StoreError("the session store stayed away", hint="Connect again with Last-Event-ID")


async def _rested(store: Store, session_id: str, at: int) -> bool:
    """Whether no run was under way after this event: read backwards, to the one that tells."""
    size = 1  # mostly it is the last one
    while at > 0:
        rest: bool | None = None
        for row in await _page(store, session_id, max(0, at - size), at):
            rest = _rests(row, rest)
        if rest is not None:
            return rest
        at, size = at - size, BATCH
    return False


def _rests(row: Row, before: bool | None) -> bool | None:
    """Whether no run is under way after this event; most, such as an answer, change nothing."""
    kind = json.loads(row.data).get("kind") if row.type == "fact" else ""
    if row.type in ("session.finished", "session.forked") or kind == WITHDRAWN:
        return True
    return False if row.type == "run.started" or kind == ACCEPTED else before
