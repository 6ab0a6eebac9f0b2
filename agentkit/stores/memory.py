"""Sessions in this process's memory only: for tests, and for work nobody will resume."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from agentkit.errors import StoreError
from agentkit.stores import Listener, Notice, Row, SessionInfo, chain
from agentkit.stores._summary import Summary, advance, check_contents, check_rows, the_one
from agentkit.stores.lease import Owner, check_held, forget, may_take, this_process


class MemoryStore:
    """Keeps logs while the process lives."""

    where = "memory"

    immediate = True
    """Nothing here waits, so no worker thread is needed."""

    def __init__(self) -> None:
        self._logs: dict[str, list[Row]] = {}
        self._hashes: dict[str, list[bytes]] = {}
        self._summaries: dict[str, Summary] = {}
        self._sizes: dict[str, int] = {}
        self._order: dict[str, None] = {}
        self._contents: dict[str, bytes] = {}
        self._uses: dict[str, set[str]] = {}
        self._leases: dict[str, Owner] = {}
        self._listeners: list[_Listener] = []
        self._lock = threading.RLock()

    @property
    def folder(self) -> Path:
        from agentkit.stores.sqlite import home

        return home()

    def append(self, session_id: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        with self._lock:
            held = self._leases.get(session_id)
            check_held(session_id, held.to_json() if held else None, held)
            log = self._logs.get(session_id, [])
            if rows[0].seq != len(log) + 1:
                if log[rows[0].seq - 1 :] == list(rows):
                    return
                raise StoreError(
                    f"session {session_id}: event {rows[0].seq} does not follow {len(log)}"
                )
            size = self._sizes.get(session_id, 0)
            self._sizes[session_id] = size + check_rows(session_id, rows, size)
            hashes = self._hashes.setdefault(session_id, [])
            before = hashes[-1] if hashes else chain.genesis(session_id)
            hashes.extend(chain.links(before, rows))
            self._logs.setdefault(session_id, log).extend(rows)
            self._summaries[session_id] = advance(self._summaries.get(session_id, Summary()), rows)
            self._order.pop(session_id, None)
            self._order[session_id] = None
            for each in self._listeners:
                each.notices.put(Notice(session_id, rows[-1].seq))

    def read(self, session_id: str, after: int = 0, upto: int | None = None) -> list[Row]:
        with self._lock:
            log, hashes = self._logs.get(session_id, []), self._hashes.get(session_id, [])
            before = hashes[after - 1] if 0 < after <= len(hashes) else chain.genesis(session_id)
            part = slice(after, upto)
            stored = zip(log[part], hashes[part], strict=True)
            return chain.verified(session_id, before, after, stored)[0]

    def put_contents(self, session_id: str, contents: Sequence[bytes]) -> list[str]:
        with self._lock:
            size = self._sizes.get(session_id, 0)
            check_contents(session_id, contents, size)
            self._sizes[session_id] = size + sum(len(each) for each in contents)
            names = [sha256(each).hexdigest() for each in contents]
            self._contents.update(zip(names, contents, strict=True))
            self._uses.setdefault(session_id, set()).update(names)
            return names

    def get_content(self, name: str) -> bytes:
        with self._lock:
            if name not in self._contents:
                raise StoreError(f"content {name} is not in {self.where}")
            return self._contents[name]

    def share_contents(self, source: str, target: str) -> None:
        with self._lock:
            self._uses.setdefault(target, set()).update(self._uses.get(source, ()))

    def info(self, session_id: str) -> SessionInfo | None:
        with self._lock:
            rows = self._logs.get(session_id)
            if not rows:
                return None
            owner = self._leases.get(session_id)
            return SessionInfo(
                session_id,
                rows[0].time,
                rows[-1].time,
                len(rows),
                *self._summaries[session_id],
                size=self._sizes[session_id],
                owner=str(owner) if owner else "",
            )

    def sessions(self) -> list[SessionInfo]:
        with self._lock:
            infos = [self.info(each) for each in reversed(self._order)]
        return [each for each in infos if each is not None]

    def find(self, prefix: str) -> str:
        with self._lock:
            return the_one(prefix, [each for each in self._logs if each.startswith(prefix)])

    def acquire(self, session_id: str) -> Owner:
        with self._lock:
            held = self._leases.get(session_id)
            if held is not None:
                may_take(session_id, held.to_json(), 0.0)
            self._leases[session_id] = owner = this_process()
            return owner

    def release(self, session_id: str) -> None:
        with self._lock:
            owner = self._leases.pop(session_id, None)
            if owner is not None:
                forget(owner)

    def listen(self) -> Listener:
        listener = _Listener(self._listeners)
        self._listeners.append(listener)
        return listener

    def delete(self, *session_ids: str) -> None:
        with self._lock:
            for each in session_ids:
                held = self._leases.get(each)
                if held is not None:
                    may_take(each, held.to_json(), 0.0)
            for each in session_ids:
                for table in (self._logs, self._hashes, self._summaries, self._sizes, self._order):
                    table.pop(each, None)
                gone = self._uses.pop(each, set())
                for name in gone.difference(*self._uses.values()):
                    del self._contents[name]

    def close(self) -> None:
        for each in list(self._leases):
            self.release(each)


class _Listener:
    def __init__(self, known: list[_Listener]) -> None:
        self._known = known
        self.notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()

    def get(self, timeout: float) -> Notice | None:
        try:
            return self.notices.get(timeout=timeout) if timeout > 0 else self.notices.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        self._known.remove(self)
