"""Sessions in one SQLite file: write-ahead log, one durable commit per ``append``."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
import weakref
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from agentkit.errors import AgentkitError, StoreError
from agentkit.stores import Batches, Listener, Row, SessionInfo, _sqlite_format, chain
from agentkit.stores._sqlite_format import FORMAT, insert, put
from agentkit.stores._sqlite_listener import SQLiteListener
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

__all__ = ["FORMAT", "SQLiteStore", "home"]

_PATIENCE = 30
"""Seconds to wait for another process that writes."""
_INFO = (
    "SELECT id, created, updated, events, title, status, cost_usd, workspace, size, owner"
    " FROM sessions LEFT JOIN leases ON session = id"
)


def home() -> Path:
    """Where sessions live: ``AGENTKIT_HOME``, else ``~/.agentkit``."""
    return Path(os.environ.get("AGENTKIT_HOME") or Path.home() / ".agentkit")


class SQLiteStore:
    """A store in ``DIRECTORY/sessions.db``; may be shared by threads and processes."""

    def __init__(self, directory: Path | str | None = None) -> None:
        self.path = Path(directory or home()) / "sessions.db"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._keeper = Keeper(self._beat)

    @property
    def where(self) -> str:
        return str(self.path)

    @property
    def folder(self) -> Path:
        return self.path.parent

    def append(self, session_id: str, rows: Sequence[Row]) -> None:
        if not rows:
            return
        with self._database() as db, _transaction(db):  # one transaction, one fsync
            self._append(db, session_id, rows)

    def append_all(self, batches: Batches) -> list[AgentkitError | None]:
        """``append`` for several sessions in one transaction; an error concerns its own only.

        Raises:
            StoreError: the file cannot be written; then nothing was.
        """
        errors: list[AgentkitError | None] = []
        with self._database() as db, _transaction(db):
            for session_id, rows in batches:
                db.execute("SAVEPOINT one")
                try:
                    self._append(db, session_id, rows)
                except AgentkitError as error:
                    db.execute("ROLLBACK TO one")
                    errors.append(error)
                else:
                    errors.append(None)
                db.execute("RELEASE one")
        return errors

    def _append(self, db: sqlite3.Connection, session_id: str, rows: Sequence[Row]) -> None:
        found = db.execute(
            "SELECT events, head, size, title, status, cost_usd, workspace FROM sessions"
            " WHERE id = ?",
            (session_id,),
        ).fetchone()
        count, head, size = found[:3] if found else (0, chain.genesis(session_id), 0)
        summary = advance(Summary(*found[3:]) if found else Summary(), rows)
        self._check_lease(db, session_id)
        if rows[0].seq != count + 1:
            chain.accept_again(
                session_id, rows, count, head, lambda seq: _hash_at(db, session_id, seq)
            )
            return
        size += check_rows(session_id, rows, size)
        hashes = chain.links(head, rows)
        db.execute(
            "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
            " SET updated = excluded.updated, events = excluded.events, title = excluded.title,"
            " status = excluded.status, cost_usd = excluded.cost_usd,"
            " workspace = excluded.workspace, size = excluded.size, head = excluded.head",
            (session_id, rows[0].time, rows[-1].time, rows[-1].seq, *summary, size, hashes[-1]),
        )
        for row, hashed in zip(rows, hashes, strict=True):
            insert(db, session_id, row, hashed)

    def read(self, session_id: str, after: int = 0, upto: int | None = None) -> list[Row]:
        with self._database() as db, _transaction(db, "DEFERRED"):
            kept = db.execute(
                "SELECT events, head FROM sessions WHERE id = ?", (session_id,)
            ).fetchone()
            before = _hash_at(db, session_id, after)
            found = db.execute(
                "SELECT seq, time, type, lane, coalesce(e.data, CAST(c.data AS TEXT)), hash"
                " FROM events e LEFT JOIN contents c ON digest = content"
                " WHERE session = ? AND seq > ? AND seq <= ? ORDER BY seq",
                (session_id, after, upto if upto is not None else 1 << 62),
            ).fetchall()
        return chain.as_written(session_id, kept, before, found, after, upto)

    def put_contents(self, session_id: str, contents: Sequence[bytes]) -> list[str]:
        # Not synchronised here: the next append writes the same write-ahead log, behind this.
        with self._database() as db, _unsynchronised(db), _transaction(db):
            kept = db.execute("SELECT size FROM sessions WHERE id = ?", (session_id,)).fetchone()
            check_contents(session_id, contents, kept[0] if kept else 0)
            db.execute(
                "UPDATE sessions SET size = size + ? WHERE id = ?",
                (sum(len(each) for each in contents), session_id),
            )
            return [put(db, session_id, each).hex() for each in contents]

    def get_content(self, name: str) -> bytes:
        with self._database() as db:
            found = db.execute(
                "SELECT data FROM contents WHERE digest = ?", (digest_of(name),)
            ).fetchone()
        if found is None:
            raise StoreError(f"content {name} is not in {self.where}")
        if sha256(found[0]).hexdigest() != name:
            raise StoreError(f"content {name} in {self.where} is damaged")
        return found[0]

    def share_contents(self, source: str, target: str) -> None:
        with self._database() as db, _unsynchronised(db), _transaction(db):
            db.execute(
                "INSERT INTO uses SELECT ?, digest FROM uses WHERE session = ?"
                " ON CONFLICT DO NOTHING",
                (target, source),
            )

    def info(self, session_id: str) -> SessionInfo | None:
        with self._database() as db:
            found = db.execute(f"{_INFO} WHERE id = ?", (session_id,)).fetchone()
        return info_of(found) if found else None

    def sessions(self) -> list[SessionInfo]:
        if not self.path.exists():
            return []
        with self._database() as db:
            found = db.execute(f"{_INFO} ORDER BY updated DESC, id DESC").fetchall()
        return [info_of(each) for each in found]

    def find(self, prefix: str) -> str:
        with self._database() as db:
            found = db.execute(
                "SELECT id FROM sessions WHERE substr(id, 1, ?) = ?", (len(prefix), prefix)
            ).fetchall()
        return the_one(prefix, (each[0] for each in found))

    def acquire(self, session_id: str) -> Owner:
        owner = this_process()
        with self._database() as db, _unsynchronised(db), _transaction(db):
            found = db.execute(
                "SELECT owner, beat FROM leases WHERE session = ?", (session_id,)
            ).fetchone()
            if found is not None:
                may_take(session_id, found[0], time.time() - found[1])
            db.execute(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)",
                (session_id, owner.token, owner.to_json(), time.time()),
            )
        self._keeper.add(session_id, owner)
        return owner

    def release(self, session_id: str) -> None:
        owner = self._keeper.pop(session_id)
        if owner is not None:
            with self._database() as db, _unsynchronised(db), _transaction(db):
                db.execute("DELETE FROM leases WHERE token = ?", (owner.token,))

    def _beat(self, tokens: list[str]) -> None:
        with self._database() as db, _unsynchronised(db), _transaction(db):
            db.executemany(
                "UPDATE leases SET beat = ? WHERE token = ?", [(time.time(), t) for t in tokens]
            )

    def _check_lease(self, db: sqlite3.Connection, session_id: str) -> None:
        held = db.execute("SELECT owner FROM leases WHERE session = ?", (session_id,)).fetchone()
        check_held(session_id, held[0] if held else None, self._keeper.get(session_id))

    def send(self, session_id: str, text: str) -> str:
        letter_id, moment = secrets.token_hex(8), time.time()
        with self._database() as db, _transaction(db):
            db.execute("DELETE FROM letters WHERE sent < ?", (moment - KEPT,))
            db.execute(
                "INSERT INTO letters (id, session, sent, text) VALUES (?, ?, ?, ?)",
                (letter_id, session_id, moment, text),
            )
        return letter_id

    def take(self, session_id: str) -> list[Letter]:
        fresh = "FROM letters WHERE session = ? AND NOT taken AND sent > ? ORDER BY sent, rowid"
        which = (session_id, time.time() - FRESH)
        with self._database() as db:
            if db.execute(f"SELECT 1 {fresh}", which).fetchone() is None:
                return []  # mostly so, and then nothing is written
            with _transaction(db):
                found = db.execute(f"SELECT id, text {fresh}", which).fetchall()
                db.executemany("UPDATE letters SET taken = 1 WHERE id = ?", [x[:1] for x in found])
        return [Letter(*each, taken=True) for each in found]

    def reply(self, session_id: str, letter_id: str, text: str) -> None:
        with self._database() as db, _transaction(db):
            db.execute("UPDATE letters SET reply = ? WHERE id = ?", (text, letter_id))

    def letter(self, letter_id: str) -> Letter | None:
        with self._database() as db:
            return _letter(db, letter_id)

    def withdraw(self, letter_id: str) -> Letter | None:
        with self._database() as db, _transaction(db):
            found = _letter(db, letter_id)
            db.execute("DELETE FROM letters WHERE id = ?", (letter_id,))
        return found

    def listen(self) -> Listener:
        with self._database():
            pass  # the file is there, in this format
        return SQLiteListener(self.path)

    def delete(self, *session_ids: str) -> None:
        with self._database() as db:
            with _transaction(db):
                for each in session_ids:
                    self._delete(db, each)
            _give_back(db)

    def _delete(self, db: sqlite3.Connection, session_id: str) -> None:
        held = db.execute(
            "SELECT owner, beat FROM leases WHERE session = ?", (session_id,)
        ).fetchone()
        if held is not None:
            may_take(session_id, held[0], time.time() - held[1])
        db.execute("DELETE FROM leases WHERE session = ?", (session_id,))
        db.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
        used = db.execute("SELECT digest FROM uses WHERE session = ?", (session_id,)).fetchall()
        db.execute("DELETE FROM uses WHERE session = ?", (session_id,))
        db.executemany(
            "DELETE FROM contents WHERE digest = :digest"
            " AND NOT EXISTS (SELECT 1 FROM uses WHERE digest = :digest)",
            [{"digest": each[0]} for each in used],
        )

    def close(self) -> None:
        for each in self._keeper.sessions():
            self.release(each)
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _database(self) -> Generator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = _open(self.path)
                    # Of a store that nobody closes; Python 3.13 warns of a connection left open.
                    weakref.finalize(self, self._connection.close)
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise _explained(self.path, error) from error


def _explained(path: Path, error: Exception) -> StoreError:
    what = f"the session store {path} cannot be used: {error}"
    if isinstance(error, sqlite3.DatabaseError) and (
        "malformed" in str(error) or "not a database" in str(error)
    ):
        return StoreError(
            f"{what}: the file is damaged",
            hint="Copy it away with its -wal file, then `agentkit sessions check` tells which"
            " sessions are intact; --home names another folder",
        )
    return StoreError(
        what, hint="Check disk space and permissions, or name another folder with --home"
    )


def _letter(db: sqlite3.Connection, letter_id: str) -> Letter | None:
    found = db.execute(
        "SELECT id, text, taken, reply FROM letters WHERE id = ?", (letter_id,)
    ).fetchone()
    return Letter(found[0], found[1], bool(found[2]), found[3]) if found else None


def _hash_at(db: sqlite3.Connection, session_id: str, seq: int) -> bytes:
    if seq <= 0:
        return chain.genesis(session_id)
    found = db.execute(
        "SELECT hash FROM events WHERE session = ? AND seq = ?", (session_id, seq)
    ).fetchone()
    return found[0] if found else b""


@contextmanager
def _transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Generator[None]:
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # some failures have ended it already
            db.execute("ROLLBACK")
        raise


@contextmanager
def _unsynchronised(db: sqlite3.Connection) -> Generator[None]:
    """Commits inside survive a crash of this process, but loss of power only with the next one."""
    db.execute("PRAGMA synchronous = NORMAL")
    try:
        yield
    finally:
        db.execute("PRAGMA synchronous = FULL")


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        db.execute(
            "PRAGMA auto_vacuum = INCREMENTAL"
        )  # of a new file: what is deleted is given back
        _use_write_ahead_log(db)
        db.execute("PRAGMA synchronous = FULL")  # a commit survives loss of power
        db.execute("PRAGMA foreign_keys = ON")
        _bring_to_format(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _bring_to_format(db: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or migrate those of an earlier format.

    Raises:
        StoreError: the format is a later one.
    """
    version = _version(db)
    if version > FORMAT:
        raise StoreError(
            f"the session store {path} has format {version}, this agentkit knows up to {FORMAT}",
            hint="Update agentkit, or name another folder with --home",
        )
    if version == FORMAT:
        return
    with _transaction(db):  # two processes may both come here: the second one finds it done
        version = _version(db)
        if version == 0:
            _sqlite_format.create(db)
        elif version < FORMAT:
            _sqlite_format.migrate(db, version)


def _give_back(db: sqlite3.Connection) -> None:
    """Return free space of the file to the system."""
    if db.execute("PRAGMA auto_vacuum").fetchone()[0]:
        db.executescript("PRAGMA incremental_vacuum")  # execute() frees one page only
    else:  # a file of format 1; from here on it gives space back
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


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
