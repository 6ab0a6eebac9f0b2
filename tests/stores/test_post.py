"""Letters to the process that works on a session, in every store that processes share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from agentkit.stores import Notice
from agentkit.stores.memory import MemoryStore
from agentkit.stores.post import FRESH, KEPT, Letter, Post
from agentkit.stores.postgres import PostgresStore
from agentkit.stores.sqlite import SQLiteStore

Shared = SQLiteStore | PostgresStore
ODD = 'a\x00b "ä" \u2028'


@pytest.fixture(params=["sqlite", "postgres"])
def handles(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Callable[[], Shared]]:
    """Makes handles of one store, as several processes have them."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres")
        return
    made: list[SQLiteStore] = []

    def make() -> SQLiteStore:
        made.append(SQLiteStore(tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def aged(store: Shared, seconds: float) -> None:
    """Let the letters be older than they are."""
    statement = f"UPDATE letters SET sent = sent - {seconds}"
    if isinstance(store, SQLiteStore):
        with store._database() as db:  # pyright: ignore[reportPrivateUsage]
            db.execute(statement)
    else:
        with store._pool.connection() as db:  # pyright: ignore[reportPrivateUsage]
            db.execute(statement.encode())


def test_a_letter_is_taken_once_in_order_and_answered(handles: Callable[[], Shared]) -> None:
    sender, owner = handles(), handles()
    assert isinstance(sender, Post)
    assert not isinstance(MemoryStore(), Post)
    first, second = sender.send("s", ODD), sender.send("s", "2")
    sender.send("other", "3")
    assert sender.letter(first) == Letter(first, ODD)
    assert owner.take("s") == [Letter(first, ODD, taken=True), Letter(second, "2", taken=True)]
    assert owner.take("s") == []
    owner.reply("s", first, ODD)
    assert sender.letter(first) == Letter(first, ODD, taken=True, reply=ODD)
    assert sender.withdraw(first) == Letter(first, ODD, taken=True, reply=ODD)
    assert sender.letter(first) is sender.withdraw(first) is None
    owner.reply("s", first, "too late")
    assert sender.letter(first) is None


def test_what_was_withdrawn_is_not_taken(handles: Callable[[], Shared]) -> None:
    sender, owner = handles(), handles()
    letter = sender.send("s", "x")
    assert sender.withdraw(letter) == Letter(letter, "x")
    assert owner.take("s") == []


def test_what_is_old_is_not_taken_and_then_removed(handles: Callable[[], Shared]) -> None:
    store = handles()
    letter = store.send("s", "x")
    aged(store, FRESH + 1)
    assert store.take("s") == []
    aged(store, KEPT)
    store.send("s", "y")
    assert store.letter(letter) is None


def test_of_two_owners_one_gets_it(handles: Callable[[], Shared]) -> None:
    stores = [handles() for _ in range(4)]
    letters = {stores[0].send("s", str(number)) for number in range(20)}
    taken: list[Letter] = []

    def take(store: Shared) -> None:
        taken.extend(store.take("s"))

    threads = [threading.Thread(target=take, args=(each,)) for each in stores]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(taken) == 20
    assert {each.id for each in taken} == letters


def test_listeners_hear_of_letters_and_replies(handles: Callable[[], Shared]) -> None:
    store = handles()
    listener = store.listen()
    letter = store.send("s", "x")
    assert heard(listener) == Notice("s", 0)
    store.take("s")
    store.reply("s", letter, "y")
    assert heard(listener) == Notice("s", 0)
    listener.close()


def heard(listener: Any) -> Notice | None:
    """The next notice, with the patience that a loaded machine needs."""
    give_up = time.monotonic() + 30
    notice = None
    while notice is None and time.monotonic() < give_up:
        notice = listener.get(1)
    return notice


def test_a_database_of_the_earlier_format_gets_letters(
    postgres: Callable[[], PostgresStore],
) -> None:
    old = postgres()
    with old._pool.connection() as db:  # pyright: ignore[reportPrivateUsage]
        db.execute("DROP TABLE letters")
        db.execute("UPDATE format SET number = 1")
    letter = postgres().send("s", "x")
    assert [each.id for each in old.take("s")] == [letter]
