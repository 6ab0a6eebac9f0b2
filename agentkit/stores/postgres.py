"""Sessions in a PostgreSQL database (``pip install 'agentkit-deepseek[postgres]'``, psycopg 3).

For several processes or machines that work on one set of sessions. The tables live in a schema of
their own. Each ``append`` is one transaction, which tells listeners (``LISTEN``/``NOTIFY``).

Leases are rows with a heartbeat, judged by the database's clock, and not advisory locks: those
belong to a connection, so they vanish when a firewall drops it although the process lives, stay
for hours when a machine vanishes without closing it, and do not say who holds them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from agentkit.errors import SessionInUse, StoreError, UsageError
from agentkit.stores import BIG, Listener, Row, SessionInfo, chain
from agentkit.stores._summary import (
    Summary,
    advance,
    check_contents,
    check_rows,
    digest_of,
    info_of,
    the_one,
)
from agentkit.stores.lease import Keeper, Owner, check_held, may_take, this_process
from agentkit.stores.post import FRESH, KEPT, Letter

if TYPE_CHECKING:
    from psycopg import Connection, Error

    from agentkit.stores._postgres_pool import Pool

T = TypeVar("T")

PATIENCE = 15.0
"""Seconds for which a lost connection is opened anew before the store counts as gone."""
_PAUSE = 0.5
"""Seconds between two tries at most."""
# A content that somebody puts again at the moment when its last session goes must not be lost.
_PUTTING = "SELECT pg_advisory_xact_lock_shared(hashtext(current_schema()))"
_DELETING = "SELECT pg_advisory_xact_lock(hashtext(current_schema()))"
_NOW = "extract(epoch from clock_timestamp())::float8"
_UTC = """to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
_INFO = (
    f"SELECT id, {_UTC % 'created'}, {_UTC % 'updated'}, events, title, status, cost_usd,"
    " workspace, size, owner FROM sessions LEFT JOIN leases ON session = id"
)


class PostgresStore:
    """A store in a PostgreSQL database (13 or later); may be shared by threads and processes.

    Args:
        url: as libpq reads it: ``postgresql://user@host/database``. A password is better kept
            in ``PGPASSWORD`` or ``~/.pgpass``.
        schema: the schema that holds the tables; it is made where it is missing.
    """

    def __init__(self, url: str, *, schema: str = "agentkit") -> None:
        self._pool = _connect(url, schema)
        self._keeper = Keeper(self._beat)

    @property
    def where(self) -> str:
        return self._pool.where

    @property
    def folder(self) -> Path:
        from agentkit.stores.sqlite import home

        return home()

    def append(self, session_id: str, rows: Sequence[Row]) -> None:
        if rows:
            self._do(lambda db: self._append(db, session_id, rows))

    def _append(self, db: Connection[Any], session_id: str, rows: Sequence[Row]) -> None:
        found = db.execute(
            "SELECT events, head, size, title, status, cost_usd, workspace FROM sessions"
            " WHERE id = %s FOR UPDATE",
            (session_id,),
        ).fetchone()
        count, head, size = found[:3] if found else (0, chain.genesis(session_id), 0)
        self._check_lease(db, session_id)
        if rows[0].seq != count + 1:
            chain.accept_again(
                session_id, rows, count, head, lambda seq: _hash_at(db, session_id, seq)
            )
            return
        summary = advance(Summary(*found[3:]) if found else Summary(), rows)
        size += check_rows(session_id, rows, size)
        hashes = chain.links(head, rows)
        noted = (rows[-1].seq, *summary, size, hashes[-1], session_id)
        if found:
            db.execute(
                "UPDATE sessions SET updated = clock_timestamp(), events = %s, title = %s,"
                " status = %s, cost_usd = %s, workspace = %s, size = %s, head = %s WHERE id = %s",
                noted,
            )
        else:
            db.execute(
                "INSERT INTO sessions (created, updated, events, title, status, cost_usd,"
                " workspace, size, head, id) VALUES (clock_timestamp(), clock_timestamp(),"
                " %s, %s, %s, %s, %s, %s, %s, %s)",
                noted,
            )
        _insert(db, session_id, rows, hashes)
        self._tell(db, session_id, rows[-1].seq)

    def read(self, session_id: str, after: int = 0, upto: int | None = None) -> list[Row]:
        def look(db: Connection[Any]) -> tuple[Any, bytes, list[Any]]:
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            kept = db.execute(
                "SELECT events, head FROM sessions WHERE id = %s", (session_id,)
            ).fetchone()
            before = _hash_at(db, session_id, after)
            found = db.execute(
                "SELECT seq, time, type, lane, coalesce(e.data, convert_from(c.data, 'UTF8')),"
                " hash FROM events e LEFT JOIN contents c ON digest = content"
                " WHERE session = %s AND seq > %s AND seq <= %s ORDER BY seq",
                (session_id, after, upto if upto is not None else (1 << 31) - 1),
            ).fetchall()
            return kept, before, found

        kept, before, found = self._do(look)
        return chain.as_written(session_id, kept, before, found, after, upto)

    def put_contents(self, session_id: str, contents: Sequence[bytes]) -> list[str]:
        def keep(db: Connection[Any]) -> list[str]:
            # Not synchronised here: the next append flushes the same write-ahead log.
            db.execute("SET LOCAL synchronous_commit = off")
            kept = db.execute("SELECT size FROM sessions WHERE id = %s", (session_id,)).fetchone()
            check_contents(session_id, contents, kept[0] if kept else 0)
            db.execute(
                "UPDATE sessions SET size = size + %s WHERE id = %s",
                (sum(len(each) for each in contents), session_id),
            )
            return [each.hex() for each in _put(db, session_id, contents)]

        return self._do(keep)

    def get_content(self, name: str) -> bytes:
        digest = digest_of(name)
        found = self._do(
            lambda db: db.execute(
                "SELECT data FROM contents WHERE digest = %s", (digest,)
            ).fetchone()
        )
        if found is None:
            raise StoreError(f"content {name} is not in {self.where}")
        if sha256(found[0]).hexdigest() != name:
            raise StoreError(f"content {name} in {self.where} is damaged")
        return found[0]

    def share_contents(self, source: str, target: str) -> None:
        def share(db: Connection[Any]) -> None:
            db.execute("SET LOCAL synchronous_commit = off")
            db.execute(_PUTTING)
            db.execute(
                "INSERT INTO uses SELECT %s, digest FROM uses WHERE session = %s"
                " ON CONFLICT DO NOTHING",
                (target, source),
            )

        self._do(share)

    def info(self, session_id: str) -> SessionInfo | None:
        found = self._do(lambda db: db.execute(f"{_INFO} WHERE id = %s", (session_id,)).fetchone())
        return info_of(found) if found else None

    def sessions(self) -> list[SessionInfo]:
        found = self._do(
            lambda db: db.execute(f"{_INFO} ORDER BY updated DESC, id DESC").fetchall()
        )
        return [info_of(each) for each in found]

    def find(self, prefix: str) -> str:
        found = self._do(
            lambda db: db.execute(
                "SELECT id FROM sessions WHERE starts_with(id, %s)", (prefix,)
            ).fetchall()
        )
        return the_one(prefix, (each[0] for each in found))

    def acquire(self, session_id: str) -> Owner:
        owner = this_process()

        def take(db: Connection[Any]) -> None:
            db.execute("SET LOCAL synchronous_commit = off")
            _free(db, session_id, owner.token)
            taken = db.execute(
                f"INSERT INTO leases VALUES (%s, %s, %s, {_NOW}) ON CONFLICT DO NOTHING",
                (session_id, owner.token, owner.to_json()),
            )
            if taken.rowcount == 0:  # somebody was quicker since our look
                _free(db, session_id)
                raise SessionInUse(session_id, "another process, since this moment")

        self._do(take)
        self._keeper.add(session_id, owner)
        return owner

    def release(self, session_id: str) -> None:
        owner = self._keeper.pop(session_id)
        if owner is not None:
            self._do(lambda db: db.execute("DELETE FROM leases WHERE token = %s", (owner.token,)))

    def _beat(self, tokens: list[str]) -> None:
        def renew(db: Connection[Any]) -> None:
            db.execute("SET LOCAL synchronous_commit = off")
            db.execute(f"UPDATE leases SET beat = {_NOW} WHERE token = ANY(%s)", (tokens,))

        self._do(renew)

    def _check_lease(self, db: Connection[Any], session_id: str) -> None:
        held = db.execute(
            "SELECT owner FROM leases WHERE session = %s FOR SHARE", (session_id,)
        ).fetchone()
        check_held(session_id, held[0] if held else None, self._keeper.get(session_id))

    def send(self, session_id: str, text: str) -> str:
        letter_id = secrets.token_hex(8)

        def leave(db: Connection[Any]) -> None:
            db.execute(f"DELETE FROM letters WHERE sent < {_NOW} - %s", (KEPT,))
            db.execute(
                "INSERT INTO letters (id, session, sent, text)"
                f" VALUES (%s, %s, {_NOW}, %s) ON CONFLICT DO NOTHING",
                (letter_id, session_id, json.dumps(text)),
            )
            self._tell(db, session_id, 0)

        self._do(leave)
        return letter_id

    def take(self, session_id: str) -> list[Letter]:
        me = secrets.token_hex(8)  # where the outcome was not told, a second look finds the same
        found = self._do(
            lambda db: db.execute(
                "UPDATE letters SET taken = %s WHERE session = %s AND taken IN ('', %s)"
                f" AND sent > {_NOW} - %s RETURNING sent, id, text",
                (me, session_id, me, FRESH),
            ).fetchall()
        )
        return [Letter(id_, json.loads(text), taken=True) for _, id_, text in sorted(found)]

    def reply(self, session_id: str, letter_id: str, text: str) -> None:
        def answer(db: Connection[Any]) -> None:
            db.execute("UPDATE letters SET reply = %s WHERE id = %s", (json.dumps(text), letter_id))
            self._tell(db, session_id, 0)

        self._do(answer)

    def letter(self, letter_id: str) -> Letter | None:
        statement = "SELECT id, text, taken, reply FROM letters WHERE id = %s"
        return _letter(self._do(lambda db: db.execute(statement, (letter_id,)).fetchone()))

    def withdraw(self, letter_id: str) -> Letter | None:
        statement = "DELETE FROM letters WHERE id = %s RETURNING id, text, taken, reply"
        return _letter(self._do(lambda db: db.execute(statement, (letter_id,)).fetchone()))

    def _tell(self, db: Connection[Any], session_id: str, seq: int) -> None:
        payload = json.dumps([session_id, seq])
        db.execute("SELECT pg_notify(%s, %s)", (self._pool.channel, payload))

    def listen(self) -> Listener:
        from agentkit.stores._postgres_listener import PostgresListener

        self._do(lambda _: None)  # the tables are there, in this format
        return PostgresListener(self._pool)

    def delete(self, *session_ids: str) -> None:
        def remove(db: Connection[Any]) -> None:
            db.execute(_DELETING)
            names = list(session_ids)
            for each in sorted(names):
                _free(db, each)
            used = "SELECT digest FROM uses WHERE session = ANY(%s)"
            gone = [each[0] for each in db.execute(used, (names,)).fetchall()]
            db.execute("DELETE FROM uses WHERE session = ANY(%s)", (names,))
            db.execute(
                "DELETE FROM contents c WHERE digest = ANY(%s)"
                " AND NOT EXISTS (SELECT 1 FROM uses u WHERE u.digest = c.digest)",
                (gone,),
            )
            db.execute("DELETE FROM sessions WHERE id = ANY(%s)", (names,))

        self._do(remove)

    def close(self) -> None:
        for each in self._keeper.sessions():
            self.release(each)
        self._pool.close()

    def _do(self, work: Callable[[Connection[Any]], T]) -> T:
        """Do it in one transaction; where the connection is lost, again on a new one.

        That is safe: each piece of work may be done twice.

        Raises:
            StoreError: what the server says, or that it does not come back.
        """
        from psycopg import Error

        give_up = time.monotonic() + PATIENCE
        pause = 0.05
        while True:
            try:
                with self._pool.connection() as db, db.transaction():
                    return work(db)
            except Error as error:
                worth = self._pool.was_open and _is_passing(error)
                if not worth or time.monotonic() + pause > give_up:
                    raise _explained(self.where, error) from error
                self._pool.close()  # of a restarted server no connection is left
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE)


def _connect(url: str, schema: str) -> Pool:
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(
            "the PostgreSQL store needs psycopg, which is not installed",
            hint="pip install 'agentkit-deepseek[postgres]'",
        ) from error
    from agentkit.stores._postgres_pool import Pool

    try:
        return Pool(url, schema)
    except psycopg.ProgrammingError as error:
        # Its text would repeat the URL, which may hold a password.
        raise UsageError(
            "this is no address of a PostgreSQL database",
            hint="It looks like postgresql://user@host:5432/database",
        ) from error


def _explained(where: str, error: Exception) -> StoreError:
    words = " ".join(str(error).split())
    return StoreError(
        f"the session store {where} cannot be used: {words or type(error).__name__}",
        hint="Check that the server runs and that this user may create and use the tables",
    )


def _is_passing(error: Error) -> bool:
    """Whether the same work may succeed at once or on a new connection.

    The connection is lost (08), the server restarts (57P) or has no place (53300), transactions
    met (40), or two writers made the same row (23), which the second look will find.
    """
    state = error.sqlstate or "08"
    return state[:2] in ("08", "40", "23") or state[:3] == "57P" or state == "53300"


def _letter(found: tuple[str, str, str, str] | None) -> Letter | None:
    """Texts are kept as JSON: PostgreSQL's know no NUL."""
    if found is None:
        return None
    letter_id, text, taken, reply = found
    return Letter(letter_id, json.loads(text), bool(taken), json.loads(reply) if reply else "")


def _free(db: Connection[Any], session_id: str, mine: str = "") -> None:
    """Remove the lease of a dead owner, or one that we took without being told.

    Raises:
        SessionInUse: a living process has it.
    """
    found = db.execute(
        f"SELECT owner, {_NOW} - beat, token FROM leases WHERE session = %s FOR UPDATE",
        (session_id,),
    ).fetchone()
    if found is not None:
        if found[2] != mine:
            may_take(session_id, found[0], found[1])
        db.execute("DELETE FROM leases WHERE token = %s", (found[2],))


def _insert(
    db: Connection[Any], session_id: str, rows: Sequence[Row], hashes: Sequence[bytes]
) -> None:
    """Write events, big ones as contents."""
    large = [row.data.encode() for row in rows if len(row.data) >= BIG]
    digests = iter(_put(db, session_id, large) if large else [])
    values = [
        (session_id, row.seq, row.time, row.type, row.lane)
        + ((None, next(digests)) if len(row.data) >= BIG else (row.data, None))
        + (hashed,)
        for row, hashed in zip(rows, hashes, strict=True)
    ]
    with db.cursor() as cursor:
        cursor.executemany("INSERT INTO events VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", values)


def _put(db: Connection[Any], session_id: str, contents: Sequence[bytes]) -> list[bytes]:
    """Keep contents for a session and give their digests."""
    by_digest = {sha256(each).digest(): each for each in contents}
    db.execute(_PUTTING)
    known = db.execute(
        "SELECT digest FROM contents WHERE digest = ANY(%s)", (list(by_digest),)
    ).fetchall()
    fresh = by_digest.keys() - {each[0] for each in known}
    with db.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO contents VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [(each, by_digest[each]) for each in fresh],
        )
        cursor.executemany(
            "INSERT INTO uses VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [(session_id, each) for each in by_digest],
        )
    return [sha256(each).digest() for each in contents]


def _hash_at(db: Connection[Any], session_id: str, seq: int) -> bytes:
    if seq <= 0:
        return chain.genesis(session_id)
    found = db.execute(
        "SELECT hash FROM events WHERE session = %s AND seq = %s", (session_id, seq)
    ).fetchone()
    return found[0] if found else b""
