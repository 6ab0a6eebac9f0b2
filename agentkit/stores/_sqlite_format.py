"""The tables of the SQLite store, and how a file of an earlier format becomes one of this."""

from __future__ import annotations

import sqlite3
from hashlib import sha256

from agentkit.stores import BIG, Row
from agentkit.stores.chain import genesis, link

FORMAT = 3
"""1: events and sessions only (0.1.0 before 2026-11-25). 2: chained events, contents, leases.
3: letters between processes."""

SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, updated TEXT NOT NULL, events INTEGER NOT NULL,
    title TEXT NOT NULL, status TEXT NOT NULL, cost_usd REAL NOT NULL, workspace TEXT NOT NULL,
    size INTEGER NOT NULL, head BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE events (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, seq INTEGER NOT NULL,
    time TEXT NOT NULL, type TEXT NOT NULL, lane TEXT NOT NULL, data TEXT, content BLOB,
    hash BLOB NOT NULL, PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE contents (digest BLOB NOT NULL UNIQUE, data BLOB NOT NULL) STRICT;
CREATE TABLE uses (
    session TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (session, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX uses_by_digest ON uses (digest);
CREATE TABLE leases (
    session TEXT PRIMARY KEY, token TEXT NOT NULL, owner TEXT NOT NULL, beat REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""
_LETTERS = """
CREATE TABLE letters (
    id TEXT PRIMARY KEY, session TEXT NOT NULL, sent REAL NOT NULL, text TEXT NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0, reply TEXT NOT NULL DEFAULT ''
) STRICT
"""


def create(db: sqlite3.Connection) -> None:
    """Make the tables in an empty file; the caller has begun the transaction."""
    for statement in SCHEMA.split(";"):
        db.execute(statement)
    db.execute(_LETTERS)
    db.execute(f"PRAGMA user_version = {FORMAT}")


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring a file of an earlier format to this one; the caller has begun the transaction."""
    if version == 1:
        _from_1(db)
    else:
        db.execute(_LETTERS)
    db.execute(f"PRAGMA user_version = {FORMAT}")


def _from_1(db: sqlite3.Connection) -> None:
    """Chain what is there: format 1 can vouch for nothing, from here on all is vouched for."""
    db.execute("ALTER TABLE sessions RENAME TO sessions_1")
    db.execute("ALTER TABLE events RENAME TO events_1")
    create(db)
    for (session_id,) in db.execute("SELECT id FROM sessions_1").fetchall():
        db.execute(
            "INSERT INTO sessions SELECT id, created, updated, events, title, status, cost_usd,"
            " workspace, 0, x'' FROM sessions_1 WHERE id = ?",
            (session_id,),
        )
        head, size, last = genesis(session_id), 0, 0
        found = db.execute(
            "SELECT seq, time, type, lane, data FROM events_1 WHERE session = ? ORDER BY seq",
            (session_id,),
        )
        for each in found:
            row = Row(*each)
            head = link(head, row)
            insert(db, session_id, row, head)
            size, last = size + len(row.data), row.seq
        db.execute(
            "UPDATE sessions SET head = ?, size = ?, events = ? WHERE id = ?",
            (head, size, last, session_id),
        )
    db.execute("DROP TABLE events_1")
    db.execute("DROP TABLE sessions_1")


def insert(db: sqlite3.Connection, session_id: str, row: Row, hashed: bytes) -> None:
    """Write one event, a big one as a content."""
    data: str | None = row.data
    digest: bytes | None = None
    if len(row.data) >= BIG:
        digest, data = put(db, session_id, row.data.encode()), None
    db.execute(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (session_id, row.seq, row.time, row.type, row.lane, data, digest, hashed),
    )


def put(db: sqlite3.Connection, session_id: str, content: bytes) -> bytes:
    """Keep a content for a session and give its digest."""
    digest = sha256(content).digest()
    db.execute("INSERT INTO contents VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, content))
    db.execute("INSERT INTO uses VALUES (?, ?) ON CONFLICT DO NOTHING", (session_id, digest))
    return digest
