"""What is particular to the PostgreSQL store: several machines, lost connections, damage."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from agentkit.errors import LogDamaged, SessionInUse, StoreError, UsageError
from agentkit.stores import BIG, Notice, Row, lease, open_store
from agentkit.stores.postgres import PostgresStore
from agentkit.stores.sqlite import SQLiteStore

Make = Callable[[], PostgresStore]


def row(seq: int, text: str = "") -> Row:
    return Row(seq, f"2026-11-24T00:00:{seq:02d}.000Z", "message", "main", json.dumps({"x": text}))


def edit(store: PostgresStore, statement: str) -> int:
    """Do to the tables what the store never would."""
    with store._pool.connection() as db:  # pyright: ignore[reportPrivateUsage]
        return db.execute(statement.encode()).rowcount


def _tokens(store: PostgresStore) -> list[str]:
    with store._pool.connection() as db:  # pyright: ignore[reportPrivateUsage]
        return [each[0] for each in db.execute("SELECT token FROM leases").fetchall()]


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Go to another machine, whose clock differs by so many seconds."""
    real = time.time

    def go(machine: str, skew: float) -> None:
        monkeypatch.setattr(lease, "machine", lambda: machine)
        monkeypatch.setattr(time, "time", lambda: real() + skew)

    return go


def test_two_machines_with_different_clocks_agree(
    postgres: Make, move: Callable[[str, float], None]
) -> None:
    a, b = postgres(), postgres()
    move("a", 0)
    a.acquire("s")
    a.append("s", [row(1)])
    for skew in (-86_400, 86_400):
        move("b", skew)
        with pytest.raises(SessionInUse, match=r"its lease ends in 4\d s"):
            b.acquire("s")
        with pytest.raises(SessionInUse):
            b.delete("s")
    edit(a, f"UPDATE leases SET beat = beat - {lease.EXPIRY / 2}")
    with pytest.raises(SessionInUse, match=r"its lease ends in 2\d s"):
        b.acquire("s")
    a._beat(_tokens(a))  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(SessionInUse, match=r"its lease ends in 4\d s"):
        b.acquire("s")


def test_an_owner_that_was_silent_for_too_long_is_fenced_off(
    postgres: Make, move: Callable[[str, float], None]
) -> None:
    a, b = postgres(), postgres()
    move("a", 0)
    a.acquire("s")
    a.append("s", [row(1)])
    edit(a, f"UPDATE leases SET beat = beat - {lease.EXPIRY + 1}")
    move("b", -86_400)
    b.acquire("s")
    with pytest.raises(StoreError, match=r"taken over by process \d+ on"):
        a.append("s", [row(2)])
    b.append("s", [row(2)])
    a.release("s")  # must not end the lease of the other
    with pytest.raises(StoreError, match="taken over"):
        a.append("s", [row(3)])
    assert len(b.read("s")) == 2


def test_one_of_many_gets_the_lease(postgres: Make) -> None:
    stores = [postgres() for _ in range(6)]
    outcomes: list[str] = []

    def grab(store: PostgresStore) -> None:
        try:
            store.acquire("s")
            outcomes.append("got")
        except SessionInUse:
            outcomes.append("refused")

    _in_threads(grab, stores)
    assert sorted(outcomes) == ["got", *["refused"] * 5]


def test_processes_that_come_at_once_make_one_store(postgres: Make) -> None:
    stores = [postgres() for _ in range(6)]
    names = iter("abcdef")
    _in_threads(lambda store: store.append(next(names), [row(1), row(2, "x" * BIG)]), stores)
    assert sorted(each.id for each in stores[0].sessions()) == list("abcdef")
    assert edit(stores[0], "SELECT 1 FROM contents") == 1


def _in_threads(work: Callable[[PostgresStore], Any], stores: list[PostgresStore]) -> None:
    threads = [threading.Thread(target=work, args=(each,)) for each in stores]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def test_a_lost_connection_is_opened_anew_and_nothing_is_doubled(
    postgres: Make, postgres_url: str
) -> None:
    store = postgres()
    store.append("s", [row(1)])
    for seq in range(2, 6):
        _cut_all(postgres_url, store)
        store.append("s", [row(seq)])
    assert [each.seq for each in store.read("s")] == [1, 2, 3, 4, 5]


def test_a_listener_that_was_cut_off_misses_nothing(postgres: Make, postgres_url: str) -> None:
    writer, reader = postgres(), postgres()
    writer.append("s", [row(1)])
    listener = reader.listen()
    writer.append("s", [row(2)])
    assert listener.get(10) == Notice("s", 2)
    _cut_all(postgres_url, reader)
    writer.append("s", [row(3)])
    writer.append("t", [row(1)])
    heard = {listener.get(10), listener.get(10)}
    assert heard == {Notice("s", 3), Notice("t", 1)}
    listener.close()


def _cut_all(url: str, store: PostgresStore) -> None:
    """End every connection of one test's store, as a restart of the server does."""
    schema = store.where.rpartition("(")[2].rstrip(")")
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity a"
            " WHERE application_name = %s",
            (f"agentkit {schema}",),
        )


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE events SET data = '{}' WHERE seq = 2", 2),
        ("UPDATE contents SET data = '{}'", 3),
        ("DELETE FROM events WHERE seq = 1", 1),
        ("DELETE FROM events WHERE seq = 4", 4),
        ("UPDATE sessions SET head = ''", 4),
    ],
)
def test_a_log_edited_by_hand_is_found_and_named(postgres: Make, statement: str, seq: int) -> None:
    store = postgres()
    store.append("s", [row(1), row(2), row(3, "x" * BIG), row(4)])
    assert edit(store, statement) == 1
    with pytest.raises(LogDamaged, match=f"session s is damaged: event {seq} "):
        store.read("s")


def test_a_store_of_a_newer_format_is_refused(postgres: Make) -> None:
    store = postgres()
    store.append("s", [row(1)])
    edit(store, "UPDATE format SET number = 99")
    with pytest.raises(StoreError, match=r"has format 99.*Update agentkit"):
        postgres().sessions()


def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    store = open_store("postgresql://me:geheim@127.0.0.1:1/work")
    with pytest.raises(StoreError, match=r"postgresql://127\.0\.0\.1:1/work") as failed:
        store.sessions()
    assert "geheim" not in str(failed.value)
    assert "geheim" not in store.where


def test_what_is_no_address_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="looks like postgresql://") as failed:
        open_store("postgresql://me:geheim@[host/work")
    assert "geheim" not in str(failed.value)


def test_a_store_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, own_home: Any
) -> None:
    assert open_store().where == str(own_home / "sessions.db")
    monkeypatch.setenv("AGENTKIT_STORE", postgres_url)
    assert isinstance(open_store(), PostgresStore)
    assert isinstance(open_store("/elsewhere"), SQLiteStore)
