"""What is particular to the SQLite store: formats, several handles, damage, bad places."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit.errors import LogDamaged, StoreError
from agentkit.events import SessionFinished, ToolStarted
from agentkit.log import read
from agentkit.state import replay
from agentkit.stores import BIG, Row
from agentkit.stores.sqlite import FORMAT, SQLiteStore

FIXTURES = Path(__file__).parent / "fixtures"


def row(seq: int, text: str = "") -> Row:
    return Row(
        seq, f"2026-11-24T00:00:{seq:02d}.000Z", "message", "main", json.dumps({"text": text})
    )


def tampered(folder: Path, *statements: str) -> SQLiteStore:
    """A store whose file somebody edited by hand."""
    db = sqlite3.connect(folder / "sessions.db", isolation_level=None)
    for each in statements:
        assert db.execute(each).rowcount != 0, each
    db.close()
    return SQLiteStore(folder)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """The folder of a store with a session of 9 events, the 5th a big one."""
    store = SQLiteStore(tmp_path)
    store.append("s", [row(n, "x" * BIG if n == 5 else "") for n in range(1, 10)])
    store.append("fine", [row(1)])
    store.close()
    return tmp_path


@pytest.mark.parametrize(
    ("edit", "seq"),
    [
        ("UPDATE events SET data = '[3, \"changed\"]' WHERE session = 's' AND seq = 3", 3),
        ("UPDATE events SET type = 'fact' WHERE session = 's' AND seq = 1", 1),
        ("UPDATE events SET time = '2025' WHERE session = 's' AND seq = 9", 9),
        ("UPDATE events SET hash = x'00' WHERE session = 's' AND seq = 7", 7),
        ("UPDATE contents SET data = x'5b5d'", 5),
        ("DELETE FROM contents", 5),
        ("DELETE FROM events WHERE session = 's' AND seq = 4", 4),
        ("DELETE FROM events WHERE session = 's' AND seq > 6", 7),
        ("DELETE FROM events WHERE session = 's'", 1),
        ("UPDATE events SET seq = 20 WHERE session = 's' AND seq = 9", 9),
        ("UPDATE sessions SET events = 8 WHERE id = 's'", 9),
        ("UPDATE sessions SET head = x'00' WHERE id = 's'", 9),
        ("DELETE FROM sessions WHERE id = 's'", 1),
    ],
)
def test_a_log_edited_by_hand_is_found_and_named(full: Path, edit: str, seq: int) -> None:
    store = tampered(full, edit)
    with pytest.raises(LogDamaged, match=f"session s is damaged: event {seq} ") as damaged:
        store.read("s")
    assert store.read("s", upto=damaged.value.intact) == [
        row(n, "x" * BIG if n == 5 else "") for n in range(1, seq)
    ]
    assert store.read("fine") == [row(1)]
    store.close()


def test_a_later_event_cannot_be_moved_to_another_session(full: Path) -> None:
    store = tampered(
        full,
        "UPDATE sessions SET (events, head) = (SELECT 1, hash FROM events"
        " WHERE session = 's' AND seq = 1) WHERE id = 'fine'",
        "DELETE FROM events WHERE session = 'fine'",
        "UPDATE events SET session = 'fine' WHERE session = 's' AND seq = 1",
    )
    with pytest.raises(LogDamaged, match="event 1 is not what was written"):
        store.read("fine")
    store.close()


def test_damage_in_the_middle_of_the_file_is_named(full: Path) -> None:
    """The first pages live, the rest is cut off: as after a copy that was interrupted."""
    store = SQLiteStore(full)
    store.append("long", [row(n, "y" * 4000) for n in range(1, 99)])
    store.close()
    file = full / "sessions.db"
    with file.open("r+b") as handle:
        handle.truncate(file.stat().st_size // 2 // 4096 * 4096)
    store = SQLiteStore(full)
    with pytest.raises(StoreError, match=r"sessions\.db cannot be used.*the file is damaged"):
        store.read("long")
    store.close()


# Formats


def opened(name: str, folder: Path) -> SQLiteStore:
    shutil.copy(FIXTURES / name, folder / "sessions.db")
    return SQLiteStore(folder)


def test_every_earlier_format_has_a_fixture() -> None:
    made = sorted(each.name for each in FIXTURES.glob("format-*.db"))
    assert made == [f"format-{number}.db" for number in range(1, FORMAT)]


@pytest.mark.parametrize("number", range(1, FORMAT))
def test_every_earlier_format_is_opened_and_gone_on_with(number: int, tmp_path: Path) -> None:
    store = opened(f"format-{number}.db", tmp_path)
    ended, killed = store.find("20261124-10"), store.find("20261124-11")
    events = read(store, ended)
    assert len(events) == 11
    assert isinstance(events[-1], SessionFinished)
    assert events[-1].output == "It is 5 — ünïcode."
    assert isinstance(read(store, killed)[-1], ToolStarted)
    assert list(replay(read(store, killed)).open_calls) != []
    info = {each.id: each for each in store.sessions()}[ended]
    assert (info.title, info.status, info.events) == ("What is 2 + 3? (aaaaaa)", "finished", 11)
    assert info.size == sum(len(each.data) for each in store.read(ended))
    store.append(ended, [row(12)])
    assert store.read(ended, after=11) == [row(12)]
    store.delete(killed)
    store.close()
    again = tampered(tmp_path, "UPDATE events SET lane = 'x' WHERE seq = 2")
    with pytest.raises(LogDamaged, match="event 2 "):
        again.read(ended)
    again.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("agentkit.stores._sqlite_format.insert", fails)
    store = opened("format-1.db", tmp_path)
    with pytest.raises(StoreError, match="disk is full"):
        store.sessions()
    monkeypatch.undo()
    assert len(SQLiteStore(tmp_path).sessions()) == 2


def test_two_handles_migrate_once(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "format-1.db", tmp_path / "sessions.db")
    stores = _side_by_side(tmp_path, lambda store, _: store.sessions())
    assert len(stores[0].read(stores[0].find("20261124-10"))) == 11


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "sessions.db")
    db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    db.close()
    with pytest.raises(StoreError, match="Update agentkit"):
        SQLiteStore(tmp_path).sessions()


# Handles and places


def _side_by_side(
    folder: Path, work: Callable[[SQLiteStore, int], object], count: int = 8
) -> list[SQLiteStore]:
    stores = [SQLiteStore(folder) for _ in range(count)]
    failed: list[BaseException] = []

    def one(store: SQLiteStore, number: int) -> None:
        try:
            work(store, number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(each, n)) for n, each in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for each in stores[1:]:
        each.close()
    return stores


def test_handles_share_one_file(tmp_path: Path) -> None:
    """Two processes at a first start: both find no file, both end with all their sessions."""
    stores = _side_by_side(tmp_path, lambda store, n: store.append(f"s{n}", [row(1), row(2)]))
    assert len(stores[0].sessions()) == 8


def test_deleting_gives_the_space_back(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path)
    store.append("small", [row(1)])
    store.append("s", [row(n, f"{n}" * 4000) for n in range(1, 200)])
    store.put_contents("s", [b"x" * (1 << 20)])
    before = store.path.stat().st_size + Path(f"{store.path}-wal").stat().st_size
    store.delete("s")
    assert store.path.stat().st_size < 100_000 < before
    assert store.read("small") == [row(1)]
    store.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").write_bytes(b"this is not a database, but long enough" * 40)
    with pytest.raises(StoreError, match=r"sessions\.db"):
        SQLiteStore(tmp_path).append("s", [row(1)])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--home"):
        SQLiteStore(tmp_path / "file" / "home").append("s", [row(1)])
