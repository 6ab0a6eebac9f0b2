"""The tables of the PostgreSQL store."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from agentkit.errors import StoreError

FORMAT = 2
"""1: events, sessions, contents, leases. 2: letters between processes."""
_SCHEMA = """
CREATE TABLE format (number integer NOT NULL);
CREATE TABLE sessions (
    id text PRIMARY KEY, created timestamptz NOT NULL, updated timestamptz NOT NULL,
    events integer NOT NULL, title text NOT NULL, status text NOT NULL, cost_usd float8 NOT NULL,
    workspace text NOT NULL, size bigint NOT NULL, head bytea NOT NULL
);
CREATE TABLE events (
    session text NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, seq integer NOT NULL,
    time text NOT NULL, type text NOT NULL, lane text NOT NULL, data text, content bytea,
    hash bytea NOT NULL, PRIMARY KEY (session, seq)
);
CREATE TABLE contents (digest bytea PRIMARY KEY, data bytea NOT NULL);
CREATE TABLE uses (
    session text NOT NULL, digest bytea NOT NULL, PRIMARY KEY (session, digest)
);
CREATE INDEX uses_by_digest ON uses (digest);
CREATE TABLE leases (
    session text PRIMARY KEY, token text NOT NULL UNIQUE, owner text NOT NULL, beat float8 NOT NULL
);
"""
_LETTERS = """
CREATE TABLE letters (
    id text PRIMARY KEY, session text NOT NULL, sent float8 NOT NULL, text text NOT NULL,
    taken text NOT NULL DEFAULT '', reply text NOT NULL DEFAULT ''
);
CREATE INDEX letters_by_session ON letters (session);
"""


def prepare(db: Connection[Any], schema: str, where: str) -> None:
    """Make the schema and its tables where they are missing, or bring them to this format.

    Raises:
        StoreError: they are of a later format.
    """
    name = Identifier(schema)
    db.execute(SQL("SET search_path TO {}").format(name))
    number = _format(db, schema)
    if number < FORMAT:
        with db.transaction():
            # Two processes may both find nothing: the second one sees the tables.
            db.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (f"agentkit {schema}",))
            number = _format(db, schema)
            if number == 0:
                db.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
                db.execute(_SCHEMA)
                db.execute("INSERT INTO format VALUES (%s)", (FORMAT,))
            if number < FORMAT:
                db.execute(_LETTERS)
                db.execute("UPDATE format SET number = %s", (FORMAT,))
    if number > FORMAT:
        raise StoreError(
            f"the session store {where} has format {number}, this agentkit knows up to {FORMAT}",
            hint="Update agentkit, or name another database",
        )


def _format(db: Connection[Any], schema: str) -> int:
    found = db.execute(
        "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'format'", (schema,)
    ).fetchone()
    number = db.execute("SELECT number FROM format").fetchone() if found else None
    return number[0] if number else 0
