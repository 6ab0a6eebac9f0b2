"""``agentkit sessions delete|prune|check`` as a process of its own."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentkit.stores import Row
from agentkit.stores.sqlite import SQLiteStore

from .conftest import Cli


def ago(days: float) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds")


def row(seq: int, days: float, size: int = 0) -> Row:
    return Row(seq, ago(days), "message", "main", json.dumps({"text": "x" * size}))


@pytest.fixture
def store(own_home: Path) -> SQLiteStore:
    """Three sessions, the oldest with the most bytes, and the files of one."""
    store = SQLiteStore(own_home)
    store.append("old-1", [row(1, 40, 3 << 20)])
    store.append("mid-2", [row(1, 20), row(2, 10, 1 << 20), row(3, 10)])
    store.append("new-3", [row(1, 0.1, 100)])
    (own_home / "sessions" / "mid-2" / "workspace").mkdir(parents=True)
    return store


def left(store: SQLiteStore) -> list[str]:
    return sorted(each.id for each in store.sessions())


def test_delete_takes_the_log_and_the_files(store: SQLiteStore, cli: Cli) -> None:
    done = cli("sessions", "delete", "old", "mid-2")
    assert (done.code, done.out) == (0, "deleted old-1\ndeleted mid-2\n")
    assert left(store) == ["new-3"]
    assert not (store.folder / "sessions" / "mid-2").exists()


def test_a_session_in_use_is_neither_deleted_nor_pruned(store: SQLiteStore, cli: Cli) -> None:
    owner = store.acquire("old-1")
    done = cli("sessions", "delete", "new", "old")
    assert done.code == 2
    assert f"old-1 is in use by process {owner.pid} on {owner.host}" in done.err
    done = cli("sessions", "prune", "--older-than", "1d")
    assert (done.code, left(store)) == (0, ["new-3", "old-1"])
    assert "running" in cli("sessions", "list").out
    store.close()


@pytest.mark.parametrize(
    ("arguments", "stays"),
    [
        (["--older-than", "30d"], ["mid-2", "new-3"]),
        (["--older-than", "2w"], ["mid-2", "new-3"]),
        (["--older-than", "1h"], []),
        (["--larger-than", "2M"], ["mid-2", "new-3"]),
        (["--larger-than", "4MiB"], ["mid-2", "new-3", "old-1"]),
        (["--keep", "2M"], ["mid-2", "new-3"]),
        (["--keep", "1K"], ["new-3"]),
        (["--keep", "0"], []),
        (["--older-than", "30d", "--larger-than", "1000K"], ["new-3"]),
    ],
)
def test_prune_by_age_and_size(
    store: SQLiteStore, cli: Cli, arguments: list[str], stays: list[str]
) -> None:
    told = cli("sessions", "prune", "--dry-run", *arguments)
    assert left(store) == ["mid-2", "new-3", "old-1"]
    assert f"{3 - len(stays)} would be deleted" in told.out
    done = cli("sessions", "prune", *arguments)
    assert (done.code, left(store)) == (0, stays)
    assert told.out.splitlines()[:-1] == done.out.splitlines()[:-1]


def test_prune_wants_to_know_what(store: SQLiteStore, cli: Cli) -> None:
    ages = (["--older-than", "yesterday"], ["--older-than", "999999w"])
    for arguments in ([], *ages, ["--keep", "-1"], ["--keep", "1X"]):
        done = cli("sessions", "prune", *arguments)
        assert done.code == 2, arguments
        assert "--" in done.err
    assert len(left(store)) == 3


def test_check_names_the_damage_and_rescues_what_is_intact(store: SQLiteStore, cli: Cli) -> None:
    assert cli("sessions", "check").out == "3 of 3 sessions are intact\n"
    store.close()
    db = sqlite3.connect(store.path, isolation_level=None)
    db.execute("UPDATE events SET time = 'x' WHERE session = 'mid-2' AND seq = 3")
    db.close()
    done = cli("sessions", "check", "--rescue")
    assert done.code == 1
    assert "session mid-2 is damaged: event 3 is not what was written" in done.out
    assert "events 1 to 2 are now session mid-2-rescued" in done.out
    assert "2 of 3 sessions are intact" in done.out
    assert cli("sessions", "check", "mid-2-rescued").code == 0
    assert store.read("mid-2-rescued") == store.read("mid-2", upto=2)
    shown = cli("sessions", "show", "mid-2")
    assert shown.code == 2 or "event 3" in shown.err
    store.close()


def test_the_store_may_be_a_database(cli: Cli, tmp_path: Path) -> None:
    env = {"AGENTKIT_STORE": "postgresql://me:geheim@127.0.0.1:1/work"}
    done = cli("sessions", "list", env=env)
    assert done.code == 1
    assert "postgresql://127.0.0.1:1/work" in done.err
    assert "geheim" not in done.err
    done = cli("sessions", "list", "--home", str(tmp_path), env=env)
    assert (done.code, done.out) == (0, "no sessions yet\n")
