"""The same with the log on a PostgreSQL server: SIGKILL around commits, and the whole program."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agentkit.events import ToolFinished
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable

from .conftest import Mortal, started
from .test_kills import EFFECT, STEPS, again, model, stored, verify_end, verify_prefix, workspace

POINTS = ["before:1", "after:2", "inside:4", "after:4", "before:5", "inside:5", "after:7"]


@pytest.mark.timeout(300)
def test_killed_around_commits(
    tmp_path: Path, mortal: Mortal, postgres_database: str, tally: Counter[str]
) -> None:
    for number, point in enumerate(POINTS):
        place = tmp_path / str(number)
        place.mkdir()
        job = workspace(place)
        with FakeDeepSeek(model(STEPS, EFFECT)) as server:
            store, session = postgres_database, f"s{number}"
            job = again(job, url=server.base_url, kill_at=point, store=store, session=session)
            assert mortal.run(job) == -signal.SIGKILL, point
            before = stored(job)
            tally["kills tried"] += 1
            tally["resumes"] += 1
            # The lease of the dead process is taken over at once.
            assert mortal.run(again(job)) == 0, (point, (place / "home" / "error").read_text())
            verify_prefix(job, before, tally)
            verify_end(job, server, tally)


@pytest.mark.timeout(300)
def test_run_kill_9_resume(tmp_path: Path, own_home: Path, postgres_database: str) -> None:
    """The whole program: nothing of the session is on this machine but its workspace."""
    work = tmp_path / "work"
    work.mkdir()
    commands = ["echo first >>effects", "echo second >>effects; echo $$ >now; sleep 4711"]

    def answer(request: dict[str, Any]) -> Reply:
        done = sum(each["role"] == "assistant" for each in request["messages"])
        if done < len(commands):
            return Reply(calls=[Call("bash", {"command": commands[done]})], reasoning="r")
        return Reply("Done.")

    options = ["--workspace", str(work), "--preset", "minimal", "--model", "deepseek-v4-flash"]
    options += ["--sandbox", "local", "--approve", "auto"]
    with FakeDeepSeek(answer) as server:
        url = ["--base-url", server.base_url]
        first = ["run", "Work.", "--session", "s", *options, *url]
        run = started(first, own_home, AGENTKIT_STORE=postgres_database)
        run.wait_for(work / "now")
        second = started(["resume", "s", *url], own_home, AGENTKIT_STORE=postgres_database)
        _, err = second.process.communicate(timeout=100)
        assert (second.process.returncode, "is in use by process" in err) == (2, True), err
        run.kill()
        resumed = started(
            ["resume", "s", "--json", *url], own_home, AGENTKIT_STORE=postgres_database
        )
        out, err = resumed.process.communicate(timeout=100)
        assert resumed.process.returncode == 0, err
        assert_prefix_stable(server)
        assert server.violations == []
    assert json.loads(out.splitlines()[-1])["status"] == "finished"
    assert (work / "effects").read_text() == "first\nsecond\n"
    assert not (own_home / "sessions.db").exists()
    results = [each for each in stored_in(postgres_database) if isinstance(each, ToolFinished)]
    assert [each.status for each in results] == ["done", "unknown"]


def stored_in(url: str) -> list[Any]:
    """The session's events; reading compares each with the chain."""
    from .worker import Job

    return list(stored(Job("", "", "", store=url)))
