"""One contract for every store."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from agentkit.errors import SessionError, StoreError
from agentkit.stores import Row, Store
from agentkit.stores.memory import MemoryStore
from agentkit.stores.sqlite import FORMAT, SQLiteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path)
    yield made
    made.close()


def row(seq: int, kind: str = "message", **data: object) -> Row:
    time = f"2026-11-24T00:00:{seq:02d}.000Z"
    return Row(seq, time, kind, "main", json.dumps({"seq": seq, "type": kind, **data}))


def test_what_was_written_is_read_in_order(store: Store) -> None:
    rows = [row(1, "session.started", workspace="/w"), row(2, text="ä\u0000b", source="user")]
    store.append("s", rows)
    store.append("s", [row(3)])
    assert store.read("s") == [*rows, row(3)]
    assert store.read("s", after=2) == [row(3)]
    assert store.read("unknown") == []


def test_a_second_writer_is_refused(store: Store) -> None:
    store.append("s", [row(1)])
    with pytest.raises(StoreError):
        store.append("s", [row(1, "run.started")])
    with pytest.raises(StoreError):
        store.append("s", [row(3)])
    assert store.read("s") == [row(1)]


def test_the_list_tells_the_story(store: Store) -> None:
    store.append("a-1", [row(1, "session.started", workspace="/w")])
    store.append("a-1", [row(2, "message", text="Fix  the\nbug", source="user")])
    store.append("a-1", [row(3, "model.responded", cost_usd=0.25)])
    store.append("b-2", [row(9 - 8, "session.started", workspace="/v")])
    store.append("a-1", [row(4, "session.finished", status="finished")])
    first = store.sessions()[0]
    assert (first.id, first.title, first.status) == ("a-1", "Fix the bug", "finished")
    assert (first.cost_usd, first.workspace, first.events) == (0.25, "/w", 4)
    assert {each.id: each.status for each in store.sessions()} == {"a-1": "finished", "b-2": "open"}


def test_sessions_are_found_by_the_start_of_their_id(store: Store) -> None:
    for name in ("abc-1", "abd-2"):
        store.append(name, [row(1)])
    assert store.find("abc") == "abc-1"
    with pytest.raises(SessionError, match="fits 2 sessions"):
        store.find("ab")
    with pytest.raises(SessionError, match="there is no session"):
        store.find("zz")
    store.delete("abc-1")
    with pytest.raises(SessionError):
        store.find("abc")
    assert store.read("abc-1") == []


def test_two_handles_share_one_file(tmp_path: Path) -> None:
    """Two processes at a first start: both find no file, both end with all their sessions."""
    stores = [SQLiteStore(tmp_path) for _ in range(8)]
    threads = [
        threading.Thread(target=each.append, args=(f"s{number}", [row(1), row(2)]))
        for number, each in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].sessions()) == 8
    for each in stores:
        each.close()


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "sessions.db")
    db.execute(f"PRAGMA user_version = {FORMAT + 1}")
    db.close()
    with pytest.raises(StoreError, match="Update agentkit"):
        SQLiteStore(tmp_path).sessions()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "sessions.db").write_bytes(b"this is not a database, but long enough" * 40)
    with pytest.raises(StoreError, match=r"sessions\.db"):
        SQLiteStore(tmp_path).append("s", [row(1)])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--home"):
        SQLiteStore(tmp_path / "file" / "home").append("s", [row(1)])
