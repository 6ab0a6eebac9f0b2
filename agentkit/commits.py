"""Commits of many sessions at once: one transaction, one synchronisation of the disk.

Each turn makes its events durable twice. With a thousand sessions in one event loop, a worker
thread and a transaction for each would cost more than the turn itself; what waits while one
transaction is being written goes into the next one together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast
from weakref import WeakKeyDictionary

import anyio
from anyio import to_thread
from anyio.lowlevel import RunVar, checkpoint

from agentkit.errors import AgentkitError
from agentkit.stores import Batches, Row, Store

MOST = 256
"""Sessions in one transaction."""


class Gathering(Protocol):
    """A store that can write for several sessions in one transaction."""

    def append_all(self, batches: Batches) -> list[AgentkitError | None]:
        """``append`` for each, all durable when it returns; an error concerns one batch only.

        Raises:
            StoreError: the medium failed; nothing was written.
        """
        ...


@dataclass(slots=True)
class _Waiting:
    """Rows of one session on their way, and how that ended."""

    session_id: str
    rows: Sequence[Row]
    done: anyio.Event = field(default_factory=anyio.Event)
    error: Exception | None = None
    leads: bool = False
    """It was woken to write for all that wait, its own rows among them."""


@dataclass(slots=True)
class _Gatherer:
    """One event loop's commits to one store."""

    waiting: list[_Waiting] = field(default_factory=list[_Waiting])
    writing: bool = False

    async def commit(self, store: Gathering, own: _Waiting) -> None:
        self.waiting.append(own)
        if self.writing:
            await own.done.wait()
            if not own.leads:
                return
        self.writing = True
        batch, self.waiting = self.waiting[:MOST], self.waiting[MOST:]
        try:
            await self._write(store, batch)
        finally:
            self._hand_on(batch, own)

    async def _write(self, store: Gathering, batch: list[_Waiting]) -> None:
        errors: Sequence[Exception | None]
        try:
            errors = await to_thread.run_sync(
                store.append_all, [(each.session_id, each.rows) for each in batch]
            )
        except Exception as error:  # of whatever kind: nobody may take it for written
            errors = [error] * len(batch)
        for each, error in zip(batch, errors, strict=True):
            each.error = error

    def _hand_on(self, batch: list[_Waiting], own: _Waiting) -> None:
        """Wake those whose rows are written, and the next that writes."""
        for each in batch:
            if each is not own:
                each.leads = False
                each.done.set()
        self.writing = bool(self.waiting)
        if self.waiting:
            self.waiting[0].leads = True
            self.waiting[0].done.set()


# Per event loop: what one loop's tasks wait for, another loop's cannot wake.
_gatherers: RunVar[WeakKeyDictionary[Gathering, _Gatherer]] = RunVar("agentkit.commits")


async def commit(store: Store, session_id: str, rows: Sequence[Row]) -> None:
    """Make rows of a session durable. Not to be cancelled: its outcome would be unknown.

    Raises:
        StoreError: as ``Store.append``.
    """
    if getattr(store, "immediate", False):  # neither blocks nor waits: needs no thread
        store.append(session_id, rows)
        await checkpoint()
        return
    if not hasattr(store, "append_all"):
        await to_thread.run_sync(store.append, session_id, rows)
        return
    try:
        gatherers = _gatherers.get()
    except LookupError:
        gatherers: WeakKeyDictionary[Gathering, _Gatherer] = WeakKeyDictionary()
        _gatherers.set(gatherers)
    own = _Waiting(session_id, rows)
    gathering = cast("Gathering", store)
    await gatherers.setdefault(gathering, _Gatherer()).commit(gathering, own)
    if own.error is not None:
        raise own.error
