"""Commits of many sessions share a transaction; the fault of one does not reach the others."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from agentkit.commits import commit
from agentkit.errors import AgentkitError, StoreError
from agentkit.events import Event, Message
from agentkit.log import EventLog, as_row, read
from agentkit.stores import Batches, Row
from agentkit.stores.memory import MemoryStore
from agentkit.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


def row(seq: int, text: str = "x") -> Row:
    return as_row(Message(seq=seq, time="2026-11-24T00:00:00.000Z", text=text))


async def test_what_waits_is_written_together_and_is_all_there(tmp_path: Path) -> None:
    class Counting(SQLiteStore):
        transactions = 0

        def append_all(self, batches: Batches) -> list[AgentkitError | None]:
            self.transactions += 1
            return super().append_all(batches)

    store = Counting(tmp_path)

    async def session(name: str) -> None:
        for seq in range(1, 6):
            await commit(store, name, [row(seq, f"{name} {seq}")])

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(session, f"s{number}")
    assert store.transactions < 100, "250 commits of 50 sessions"
    for number in range(50):
        texts = [event.text for event in read(store, f"s{number}") if isinstance(event, Message)]
        assert texts == [f"s{number} {seq}" for seq in range(1, 6)]


async def test_a_commit_that_does_not_follow_fails_alone(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path)
    outcomes: dict[str, AgentkitError | None] = {}

    async def one(name: str, seq: int) -> None:
        outcomes[name] = None
        try:
            await commit(store, name, [row(seq)])
        except AgentkitError as error:
            outcomes[name] = error

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, "first", 1)  # goes ahead, so that the others meet in one batch
        for name, seq in (("a", 1), ("bad", 7), ("b", 1)):
            tasks.start_soon(one, name, seq)
    assert isinstance(outcomes.pop("bad"), StoreError)
    assert set(outcomes.values()) == {None}
    assert store.read("bad") == []
    assert len(store.read("a")) == len(store.read("b")) == 1


async def test_where_the_disk_fails_each_of_the_batch_learns_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = SQLiteStore(tmp_path / "file" / "below")
    failed: list[str] = []

    async def one(name: str) -> None:
        try:
            await commit(store, name, [row(1)])
        except StoreError:
            failed.append(name)

    async with anyio.create_task_group() as tasks:
        for name in ("a", "b", "c"):
            tasks.start_soon(one, name)
    assert sorted(failed) == ["a", "b", "c"]


async def test_a_fault_of_any_kind_is_learnt_by_each_of_the_batch(tmp_path: Path) -> None:
    class Faulty(SQLiteStore):
        def append_all(self, batches: Batches) -> list[AgentkitError | None]:
            raise MemoryError("no room")

    store = Faulty(tmp_path)
    failed: list[str] = []

    async def one(name: str) -> None:
        try:
            await commit(store, name, [row(1)])
        except MemoryError:
            failed.append(name)

    async with anyio.create_task_group() as tasks:
        for name in ("a", "b", "c"):
            tasks.start_soon(one, name)
    assert sorted(failed) == ["a", "b", "c"]


async def test_events_that_are_read_while_others_commit_have_no_gap_and_no_repeat() -> None:
    """A commit that ends during the read moves events out of what is pending."""
    reading, go_on = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        immediate = False

        def read(self, session_id: str, after: int = 0, upto: int | None = None) -> list[Row]:
            rows = super().read(session_id, after, upto)
            reading.set()
            go_on.wait(30)
            return rows

    log = EventLog(Slow(), "s")
    for number in range(3):
        log.append(Message(text=str(number)))

    async def commit_meanwhile() -> None:
        await to_thread.run_sync(reading.wait, 30)
        async with anyio.create_task_group() as inner:
            inner.start_soon(log.commit)
            await anyio.wait_all_tasks_blocked()
            go_on.set()

    found: list[Event] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(commit_meanwhile)
        found = await log.events()
    assert [event.seq for event in found] == [1, 2, 3]


async def test_memory_needs_no_thread_and_refuses_the_same() -> None:
    store = MemoryStore()
    await commit(store, "s", [row(1)])
    with pytest.raises(StoreError):
        await commit(store, "s", [row(3)])
    assert len(store.read("s")) == 1
