"""Sessions in one SQLite file: write-ahead log, one durable commit per ``append``."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentkit.errors import StoreError
from agentkit.stores import Row, SessionInfo
from agentkit.stores.memory import advance, the_one

FORMAT = 1
_PATIENCE = 30
"""Seconds to wait for another process that writes."""
_SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL, events INTEGER NOT NULL,
    title TEXT NOT NULL, status TEXT NOT NULL, cost_usd REAL NOT NULL, workspace TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, seq INTEGER NOT NULL,
    time TEXT NOT NULL, type TEXT NOT NULL, lane TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
"""


def home() -> Path:
    """Where sessions live: ``AGENTKIT_HOME``, else ``~/.agentkit``."""
    return Path(os.environ.get("AGENTKIT_HOME") or Path.home() / ".agentkit")


class SQLiteStore:
    """A store in ``DIRECTORY/sessions.db``; may be shared by threads and processes."""

    def __init__(self, directory: Path | str | None = None) -> None:
        self.path = Path(directory or home()) / "sessions.db"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def append(self, session_id: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        with self._database() as db:
            try:
                with db:  # one transaction, one fsync
                    db.execute("BEGIN IMMEDIATE")
                    self._update_summary(db, session_id, rows)
                    db.executemany(
                        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
                        [(session_id, r.seq, r.time, r.type, r.lane, r.data) for r in rows],
                    )
            except sqlite3.IntegrityError as error:
                raise StoreError(
                    f"session {session_id} was changed by another process",
                    hint="Let that process end, then resume",
                ) from error

    def _update_summary(self, db: sqlite3.Connection, session_id: str, rows: Sequence[Row]) -> None:
        found = db.execute(
            "SELECT title, status, cost_usd, workspace, events FROM sessions WHERE id = ?",
            (session_id,),
        ).fetchone()
        *summary, count = found or ("", "open", 0.0, "", 0)
        if rows[0].seq != count + 1:
            raise sqlite3.IntegrityError(f"event {rows[0].seq} does not follow {count}")
        current = (str(summary[0]), str(summary[1]), float(summary[2]), str(summary[3]))
        for row in rows:
            current = advance(current, row.type, json.loads(row.data))
        db.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " updated = excluded.updated, events = excluded.events, title = excluded.title,"
            " status = excluded.status, cost_usd = excluded.cost_usd,"
            " workspace = excluded.workspace",
            (session_id, rows[0].time, rows[-1].time, rows[-1].seq, *current),
        )

    def read(self, session_id: str, after: int = 0) -> list[Row]:
        with self._database() as db:
            found = db.execute(
                "SELECT seq, time, type, lane, data FROM events"
                " WHERE session = ? AND seq > ? ORDER BY seq",
                (session_id, after),
            ).fetchall()
        return [Row(*each) for each in found]

    def sessions(self) -> list[SessionInfo]:
        if not self.path.exists():
            return []
        with self._database() as db:
            found = db.execute(
                "SELECT id, created, updated, events, title, status, cost_usd, workspace"
                " FROM sessions ORDER BY updated DESC"
            ).fetchall()
        return [SessionInfo(*each) for each in found]

    def find(self, prefix: str) -> str:
        ids = (info.id for info in self.sessions())
        return the_one(prefix, (each for each in ids if each.startswith(prefix)))

    def delete(self, session_id: str) -> None:
        with self._database() as db, db:
            db.execute("DELETE FROM sessions WHERE id = ?", (session_id,))

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _database(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise StoreError(
                    f"the session store {self.path} cannot be used: {error}",
                    hint="Check disk space and permissions, or name another folder with --home",
                ) from error

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        db = sqlite3.connect(
            self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            _use_write_ahead_log(db)
            db.execute("PRAGMA synchronous = FULL")  # a commit survives loss of power
            db.execute("PRAGMA foreign_keys = ON")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                # Two processes may both find a new file: the second one sees the tables.
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                        for statement in _SCHEMA.split(";"):
                            db.execute(statement)
                        db.execute(f"PRAGMA user_version = {FORMAT}")
            elif version > FORMAT:
                raise StoreError(
                    f"the session store {self.path} has format {version},"
                    f" this agentkit knows up to {FORMAT}",
                    hint="Update agentkit, or name another folder with --home",
                )
        except BaseException:
            db.close()
            raise
        return db


def _use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Switch the file over; SQLite does not wait for others here, whatever its timeout says."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return
