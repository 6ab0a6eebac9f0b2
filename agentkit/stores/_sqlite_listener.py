"""Notices of appends to a SQLite file: SQLite tells nobody, but a look costs a page of memory."""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from pathlib import Path

from agentkit.errors import StoreError
from agentkit.stores import Notice

LOOK = 0.05
"""Seconds between two looks."""


class SQLiteListener:
    """Looks whether another connection has committed, and then at what."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._version = self._look()
        self._seen = dict(self._ends())
        self._post = self._letters()
        self._waiting: deque[Notice] = deque()

    def get(self, timeout: float) -> Notice | None:
        give_up = time.monotonic() + timeout
        while not self._waiting:
            self._notice()
            left = give_up - time.monotonic()
            if self._waiting or left <= 0:
                break
            time.sleep(min(LOOK, left))
        return self._waiting.popleft() if self._waiting else None

    def _notice(self) -> None:
        try:
            version = self._look()
            if version == self._version:
                return
            self._version = version
            ends, post = dict(self._ends()), self._letters()
        except sqlite3.Error as error:
            raise StoreError(f"the session store {self._path} cannot be read: {error}") from error
        for session_id, seq in ends.items():
            if self._seen.get(session_id, 0) < seq:
                self._waiting.append(Notice(session_id, seq))
        names = {session_id for session_id, *_ in post - self._post}
        self._waiting.extend(Notice(each, 0) for each in sorted(names))
        self._seen, self._post = ends, post

    def _look(self) -> int:
        """A number that changes with every commit of another connection."""
        return self._db.execute("PRAGMA data_version").fetchone()[0]

    def _ends(self) -> list[tuple[str, int]]:
        return self._db.execute("SELECT id, events FROM sessions").fetchall()

    def _letters(self) -> set[tuple[str, str, bool]]:
        return set(self._db.execute("SELECT session, id, reply != '' FROM letters"))

    def close(self) -> None:
        self._db.close()
