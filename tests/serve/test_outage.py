"""A PostgreSQL server of its own is stopped and started while sessions are at work."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.serve.conftest import Event, MakeServer, frames, told, until
from tests.serve.test_runs import LOOKS, begin

SCRIPT = Path(__file__).parents[2] / "scripts" / "ensure-postgres"
WAITS = Reply(calls=[Call("wait", {"name": "gate"})])
WRITES = Reply(calls=[Call("write", {"text": "one"})])


@dataclass
class Database:
    """A PostgreSQL server that may be stopped."""

    folder: Path
    url: str = ""

    def start(self) -> None:
        self.url = self._script()

    def stop(self) -> None:
        """As an operator does: connections are cut, what was committed is on disk."""
        self._script("stop")

    def crash(self) -> None:
        """Without a checkpoint: the next start recovers from the write-ahead log."""
        file = next(self.folder.glob("*/postmaster.pid"))
        os.kill(int(file.read_text().split()[0]), signal.SIGQUIT)
        until(lambda: not file.exists())

    def _script(self, *words: str) -> str:
        env = {**os.environ, "AGENTKIT_POSTGRES_DIR": str(self.folder)}
        done = subprocess.run(
            [SCRIPT, *words], env=env, check=True, capture_output=True, text=True, timeout=100
        )
        return done.stdout.strip()


@pytest.fixture
def database(postgres_url: str) -> Generator[Database]:
    assert postgres_url  # skipped where there is no PostgreSQL
    found = Database(Path(f"/var/tmp/agentkit-test-{secrets.token_hex(4)}"))
    found.start()
    yield found
    if any(found.folder.glob("*/postmaster.pid")):
        found.stop()
    shutil.rmtree(found.folder)
    found.folder.with_name(f"{found.folder.name}.lock").unlink()


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_a_run_survives_a_restart_of_its_store_and_streams_go_on(
    serve: MakeServer, database: Database, how: str
) -> None:
    model = FakeDeepSeek([WRITES, WAITS, *LOOKS, "Done."]).start()
    place = (database.url, "serve")
    first, second = serve(model, place, PATIENCE="90"), serve(model, place, PATIENCE="90")
    session = begin(first, "Write, wait, look")
    first.waits("gate")
    other = second.client()
    with (
        first.client().stream("GET", f"/sessions/{session}/events?until=finished") as here,
        other.stream("GET", f"/sessions/{session}/events?until=finished") as there,
    ):
        near, far = frames(here.iter_lines()), frames(there.iter_lines())
        got, got_there = [next(near)], [next(far)]
        getattr(database, how)()
        first.open("gate")  # the result has nowhere to go
        database.start()
        got += list(near)
        got_there += list(far)
    _told_once(got)
    _told_once(got_there)
    assert [each.type for each in got].count("run.started") == 1
    assert (first.gate / "written").read_text() == "one\n"
    assert len(model.requests) == 9
    until(lambda: other.get(f"/sessions/{session}").json()["state"] == "idle")


def test_a_run_whose_store_stayed_away_too_long_goes_on_when_it_is_back(
    serve: MakeServer, database: Database
) -> None:
    model = FakeDeepSeek([WRITES, WAITS, "Done."]).start()
    server = serve(model, (database.url, "serve"), PATIENCE="1")
    session = begin(server, "Write, wait")
    server.waits("gate")
    with server.client().stream("GET", f"/sessions/{session}/events") as stream:
        seen = frames(stream.iter_lines())
        got = [next(seen)]
        database.stop()
        server.open("gate")
        until(lambda: told(server, "run.failed", session=session))
        away = server.client().get(f"/sessions/{session}")
        assert (away.status_code, away.headers["retry-after"]) == (503, "5")
        database.start()
        for each in seen:
            got.append(each)
            if each.type == "session.finished" and each.data["status"] == "finished":
                break
    _told_once(got)
    assert [each.type for each in got].count("run.started") == 2
    assert (server.gate / "written").read_text() == "one\n"
    results = [each.data["status"] for each in got if each.type == "tool.finished"]
    assert results[0] == "done"
    assert len(results) == 2


def _told_once(events: list[Event]) -> None:
    stored = [each.id for each in events if each.id is not None]
    assert stored == list(range(1, len(stored) + 1))
    assert events[-1].data["output"] == "Done."
