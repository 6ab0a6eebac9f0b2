"""One contract for every store."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from agentkit.errors import LogDamaged, SessionError, SessionInUse, StoreError
from agentkit.events import Message
from agentkit.stores import BIG, Notice, Row, Store, lease


def row(seq: int, kind: str = "message", **data: object) -> Row:
    time = f"2026-11-24T00:00:{seq:02d}.000Z"
    return Row(seq, time, kind, "main", json.dumps({"seq": seq, "type": kind, **data}))


def big(seq: int) -> Row:
    return row(seq, text="ä" * BIG)


def test_what_was_written_is_read_in_order(store: Store) -> None:
    rows = [row(1, "session.started", workspace="/w"), row(2, text="ä\u0000b", source="user")]
    store.append("s", rows)
    store.append("s", [row(3), big(4)])
    assert store.read("s") == [*rows, row(3), big(4)]
    assert store.read("s", after=2) == [row(3), big(4)]
    assert store.read("s", after=1, upto=3) == [rows[1], row(3)]
    assert store.read("s", upto=0) == store.read("s", after=4) == store.read("s", after=9) == []
    assert store.read("s", upto=99) == store.read("s")
    assert store.read("unknown") == []


def test_a_second_writer_is_refused(store: Store) -> None:
    store.append("s", [row(1)])
    with pytest.raises(StoreError):
        store.append("s", [row(1, "run.started")])
    with pytest.raises(StoreError):
        store.append("s", [row(3)])
    assert store.read("s") == [row(1)]


def test_a_writer_that_was_not_told_the_outcome_may_try_again(store: Store) -> None:
    store.append("s", [row(1)])
    for _ in range(3):
        store.append("s", [row(2), big(3)])
    with pytest.raises(StoreError):
        store.append("s", [row(2), row(3, "run.started")])
    store.append("s", [row(4)])
    with pytest.raises(StoreError):
        store.append("s", [row(2), big(3)])
    assert store.read("s") == [row(1), row(2), big(3), row(4)]


def test_the_list_tells_the_story(store: Store) -> None:
    store.append("a-1", [row(1, "session.started", workspace="/w")])
    store.append("a-1", [row(2, "message", text="Fix  the\nbug", source="user")])
    store.append("a-1", [row(3, "model.responded", cost_usd=0.25)])
    store.append("a-1", [row(4, "model.advised", cost_usd=0.5)])
    store.append("b-2", [row(1, "session.started", workspace="/v")])
    store.append("a-1", [row(5, "session.finished", status="finished", cost_usd=0.75)])
    first = store.sessions()[0]
    assert (first.id, first.title, first.status) == ("a-1", "Fix the bug", "finished")
    assert (first.cost_usd, first.workspace, first.events) == (0.75, "/w", 5)
    assert first.size == sum(len(each.data) for each in store.read("a-1"))
    assert {each.id: each.status for each in store.sessions()} == {"a-1": "finished", "b-2": "open"}
    assert store.info("a-1") == first
    assert store.info("unknown") is None


def test_a_title_that_no_database_likes(store: Store) -> None:
    store.append("s", [row(1, text="a\u0000b\udc80", source="user")])
    event = Message(text="\u0000", seq=1, time="t")
    store.append("t", [Row(1, "t", "message", "main", "{}", event)])
    titles = {each.id: each.title for each in store.sessions()}
    assert titles == {"s": "a�b?", "t": "�"}


def test_sessions_are_found_by_the_start_of_their_id(store: Store) -> None:
    for name in ("abc-1", "abd-2", "%_-3"):
        store.append(name, [row(1)])
    assert store.find("abc") == "abc-1"
    assert store.find("%") == "%_-3"
    with pytest.raises(SessionError, match="fits 2 sessions"):
        store.find("ab")
    with pytest.raises(SessionError, match="there is no session"):
        store.find("zz")
    store.delete("abc-1")
    with pytest.raises(SessionError):
        store.find("abc")
    assert store.read("abc-1") == []


# Contents


def test_contents_are_kept_once_and_go_with_their_last_session(store: Store) -> None:
    for name in "abc":
        store.append(name, [row(1)])
    shared, own = b"\x00\xff" * 1000, b"own"
    names = store.put_contents("a", [shared, own, shared])
    assert names == [sha256(each).hexdigest() for each in (shared, own, shared)]
    assert store.put_contents("b", [shared]) == names[:1]
    assert store.get_content(names[0]) == shared
    store.delete("a")
    assert store.get_content(names[0]) == shared
    with pytest.raises(StoreError, match=names[1]):
        store.get_content(names[1])
    store.delete("b")
    with pytest.raises(StoreError):
        store.get_content(names[0])
    with pytest.raises(StoreError):
        store.get_content("no hex")
    info = store.info("c")
    assert info is not None
    assert info.size == len(row(1).data)


def test_a_fork_shares_the_contents_of_its_source(store: Store) -> None:
    store.append("a", [row(1)])
    store.append("b", [row(1)])
    (name,) = store.put_contents("a", [b"data"])
    for _ in range(2):
        store.share_contents("a", "b")
    store.delete("a")
    assert store.get_content(name) == b"data"
    store.delete("b")
    with pytest.raises(StoreError):
        store.get_content(name)


def test_a_big_event_shared_by_two_sessions_outlives_one(store: Store) -> None:
    store.append("a", [big(1)])
    store.append("b", [big(1)])
    store.delete("a")
    assert store.read("b") == [big(1)]


def test_sizes_are_limited(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_EVENT", "MAX_CONTENT"):
        monkeypatch.setattr(f"agentkit.stores._summary.{name}", 1 << 20)
    store.append("s", [row(1)])
    with pytest.raises(StoreError, match=r"event 2 .* has 2 MiB"):
        store.append("s", [row(2, text="x" * (2 << 20))])
    with pytest.raises(StoreError, match="content of 2 MiB"):
        store.put_contents("s", [b"x" * (2 << 20)])
    monkeypatch.setattr("agentkit.stores._summary.MAX_SESSION", 1000)
    with pytest.raises(StoreError, match="would grow beyond"):
        store.append("s", [row(2, text="x" * 1000)])
    with pytest.raises(StoreError, match="would grow beyond"):
        store.put_contents("s", [b"x" * 1000])
    store.append("s", [row(2)])
    assert len(store.read("s")) == 2


# Leases


def test_a_leased_session_is_refused_to_others_by_name(store: Store) -> None:
    owner = store.acquire("s")
    with pytest.raises(SessionInUse, match=f"process {owner.pid} on {owner.host}") as refused:
        store.acquire("s")
    assert refused.value.exit_code == 2
    store.append("s", [row(1)])
    info = store.info("s")
    assert info is not None
    assert info.owner == str(owner)
    store.append("other", [row(1)])
    with pytest.raises(SessionInUse):
        store.delete("other", "s")
    assert [each.seq for each in store.read("s") + store.read("other")] == [1, 1]
    store.release("s")
    store.release("s")
    info = store.info("s")
    assert info is not None
    assert info.owner == ""
    store.acquire("s")
    store.append("s", [row(2)])
    store.release("s")


def test_an_owner_of_this_machine_is_judged_by_its_process() -> None:
    mine = lease.this_process()
    assert not mine.is_dead
    lease.forget(mine)
    assert mine.is_dead
    assert lease.Owner("t", "h", lease.machine(), 1, lease.birth(1) or "", "").is_dead is False
    assert lease.Owner("t", "h", lease.machine(), 1, "1", "").is_dead  # the number was used again
    assert not lease.Owner("t", "h", "elsewhere", 1, "1", "").is_dead


# Notices


def test_listeners_hear_of_appends(store: Store) -> None:
    store.append("old", [row(1)])
    listener = store.listen()
    assert listener.get(0) is None
    store.append("s", [row(1)])
    assert listener.get(10) == Notice("s", 1)
    store.append("old", [row(2), row(3)])
    store.append("s", [row(2)])
    heard: dict[str, int] = {}
    while heard != {"old": 3, "s": 2}:
        notice = listener.get(10)
        assert notice is not None, heard
        heard[notice.session_id] = notice.seq
    assert listener.get(0) is None
    listener.close()


def test_an_error_names_the_first_bad_event() -> None:
    error = LogDamaged("s", 7, "is missing")
    assert (error.seq, error.intact) == (7, 6)
    assert "event 7 is missing" in str(error)
    assert "1 to 6 are intact" in str(error)
