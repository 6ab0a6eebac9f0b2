"""Notices of appends to a PostgreSQL database, from whichever machine."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

from psycopg import Connection, InterfaceError, OperationalError
from psycopg.sql import SQL, Identifier

from agentkit.errors import StoreError
from agentkit.stores import Notice
from agentkit.stores._postgres_pool import Pool


class PostgresListener:
    """Listens on a connection of its own; one that was lost is opened anew, and nothing missed."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[Notice] = deque()
        self._seen: dict[str, int] | None = None
        self._db: Connection[Any] | None = self._open()

    def _open(self) -> Connection[Any]:
        """Listen first, then look: what is appended in between is seen twice, not never."""
        again = self._seen is not None
        db = self._pool.open()
        db.execute(SQL("LISTEN {}").format(Identifier(self._pool.channel)))
        ends: dict[str, int] = dict(db.execute("SELECT id, events FROM sessions").fetchall())
        if self._seen is None:
            self._seen = ends
        for session_id, seq in ends.items():
            self._heard(session_id, seq)
        if again:
            letters = db.execute("SELECT DISTINCT session FROM letters").fetchall()
            self._waiting.extend(Notice(each[0], 0) for each in letters)
        return db

    def _heard(self, session_id: str, seq: int) -> None:
        assert self._seen is not None
        if seq == 0:
            self._waiting.append(Notice(session_id, 0))
        elif self._seen.get(session_id, 0) < seq:
            self._seen[session_id] = seq
            self._waiting.append(Notice(session_id, seq))

    def get(self, timeout: float) -> Notice | None:
        give_up = time.monotonic() + timeout
        while not self._waiting:
            left = give_up - time.monotonic()
            try:
                if self._db is None:
                    self._db = self._open()
                    continue  # it may have found what was missed
                for each in self._db.notifies(timeout=max(0.0, left), stop_after=1):
                    self._heard(*json.loads(each.payload))
            except (OperationalError, InterfaceError) as error:
                self.close()
                if left <= 0:
                    raise StoreError(
                        f"the session store {self._pool.where} does not answer: {error}"
                    ) from error
                time.sleep(min(0.2, left))
            if left <= 0:
                break
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
