"""SIGKILL at every commit of a real session and between them; nothing lost, nothing done twice."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit.events import Event, SessionFinished, ToolFinished
from agentkit.log import read
from agentkit.stores.postgres import PostgresStore
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable

from .conftest import Mortal
from .worker import Job

STEPS = 3
KILLS = int(os.environ.get("AGENTKIT_KILLS", "20"))
"""Random kills in a run of the tests; ``make kills`` tries 200."""
WHOLE = KILLS >= 200
"""Kill at every boundary, not at every third."""
COMMITS = 2 + 2 * STEPS + 3
"""At least so many commits has the session; the first test checks it."""


def model(steps: int, command: str) -> Any:
    """Asks for one command after another, each once, whatever its result says."""

    def answer(request: dict[str, Any]) -> Reply:
        done = sum(message["role"] == "assistant" for message in request["messages"])
        if done >= steps:
            return Reply(content="All done.", reasoning="r")
        call = Call("bash", {"command": command.format(step=done + 1)})
        return Reply(reasoning="think " * 5, content=f"Step {done + 1}.", calls=[call])

    return answer


EFFECT = "echo {step} >> effects; sleep 0.02; echo end {step} >> effects"


def workspace(folder: Path) -> Job:
    (folder / "home").mkdir()
    (folder / "work").mkdir()
    return Job(str(folder / "home"), str(folder / "work"), "")


def stored(job: Job) -> list[Event]:
    store = PostgresStore(job.store) if job.store else SQLiteStore(job.home)
    try:
        return read(store, job.session)  # compares every event with the chain
    finally:
        store.close()


def shown(job: Job) -> list[str]:
    path = Path(job.home) / "shown"
    return path.read_text().splitlines() if path.exists() else []


def again(job: Job, **changes: Any) -> Job:
    """The job that goes on with the session, if any of it was written."""
    job = replace(job, resume=bool(stored(job)), kill_at="")
    return replace(job, **changes)


def verify_prefix(job: Job, before: list[Event], tally: Counter[str]) -> None:
    """What was durable, or shown to anybody, is still there, once and in its place."""
    now = stored(job)
    assert [event.seq for event in now] == list(range(1, len(now) + 1))
    kinds = {f"{event.seq} {event.type}" for event in now}
    lost = [line for line in shown(job) if line not in kinds]
    lost += [event.type for event, kept in zip(before, now, strict=False) if event != kept]
    lost += [event.type for event in before[len(now) :]]
    tally["events lost"] += len(lost)
    assert lost == []


def verify_end(job: Job, server: FakeDeepSeek, tally: Counter[str]) -> None:
    """The task ended; requests only ever grew; what was done was done once."""
    events = stored(job)
    assert isinstance(events[-1], SessionFinished)
    assert events[-1].status == "finished"
    assert server.violations == []
    assert_prefix_stable(server)
    path = Path(job.workspace) / "effects"
    effects = Counter(path.read_text().splitlines() if path.exists() else [])
    repeated = [line for line, times in effects.items() if times > 1]
    tally["effects repeated"] += len(repeated)
    assert repeated == []
    results = [event for event in events if isinstance(event, ToolFinished)]
    assert len({each.call_id for each in results}) == len(results)
    for step, result in enumerate(results, 1):
        if result.status == "done":
            assert effects[f"end {step}"] == 1, step
        elif result.status == "unknown":
            assert "unknown" in result.content
        else:
            assert (result.status, effects[str(step)]) == ("cancelled", 0), step


def test_the_session_has_the_commits_that_are_killed_at(tmp_path: Path, mortal: Mortal) -> None:
    job = workspace(tmp_path)
    with FakeDeepSeek(model(STEPS, EFFECT)) as server:
        job = again(job, url=server.base_url)
        assert mortal.run(job) == 0
        verify_end(job, server, Counter())
    assert (Path(job.home) / "commits").read_text() == str(COMMITS)


WHERE = ("before", "inside", "after")
POINTS = [
    *(f"{WHERE[n % 3]}:{n}" for n in range(1, COMMITS + 1)),
    *(f"{where}:{n}" for n in range(1, COMMITS + 1) for where in WHERE if where != WHERE[n % 3]),
][: None if WHOLE else COMMITS] + [f"delta:{n}" for n in (1, 4, 9)]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_boundary(
    point: str, tmp_path: Path, mortal: Mortal, tally: Counter[str]
) -> None:
    job = workspace(tmp_path)
    with FakeDeepSeek(model(STEPS, EFFECT)) as server:
        job = again(job, url=server.base_url, kill_at=point)
        assert mortal.run(job) == -signal.SIGKILL
        tally["kills tried"] += 1
        _go_on(job, mortal, tally)
        verify_end(job, server, tally)


def _go_on(job: Job, mortal: Mortal, tally: Counter[str]) -> None:
    before = stored(job)
    verify_prefix(job, before, tally)
    ended = bool(before) and isinstance(before[-1], SessionFinished)
    if not ended:
        tally["resumes"] += 1
        assert mortal.run(again(job)) == 0
        verify_prefix(job, before, tally)


@pytest.mark.parametrize("request_number", [1, 2, STEPS + 1])
def test_killed_while_the_provider_thinks(
    request_number: int, tmp_path: Path, mortal: Mortal, tally: Counter[str]
) -> None:
    job = workspace(tmp_path)
    answer, seen = model(STEPS, EFFECT), [0]

    def kill_then_answer(request: dict[str, Any]) -> Reply:
        seen[0] += 1
        if seen[0] == request_number:
            os.kill(int((Path(job.home) / "pid").read_text()), signal.SIGKILL)
        return answer(request)

    with FakeDeepSeek(kill_then_answer) as server:
        job = again(job, url=server.base_url)
        assert mortal.run(job) == -signal.SIGKILL
        tally["kills tried"] += 1
        _go_on(job, mortal, tally)
        verify_end(job, server, tally)


def test_killed_by_a_command_in_the_middle_of_its_effect(
    tmp_path: Path, mortal: Mortal, tally: Counter[str]
) -> None:
    job = workspace(tmp_path)
    pid = Path(job.home) / "pid"
    command = f"echo {{step}} >> effects; kill -9 $(cat {pid}); echo end {{step}} >> effects"
    with FakeDeepSeek(model(STEPS, command)) as server:
        job = again(job, url=server.base_url)
        for _ in range(STEPS):
            assert mortal.run(again(job)) == -signal.SIGKILL
            tally["kills tried"] += 1
            tally["resumes"] += 1
        assert mortal.run(again(job)) == 0
        verify_end(job, server, tally)
        unknown = [e for e in stored(job) if isinstance(e, ToolFinished) and e.status == "unknown"]
        assert len(unknown) == STEPS


@pytest.mark.timeout(600)
def test_killed_at_random(tmp_path: Path, mortal: Mortal, tally: Counter[str]) -> None:
    """A busy sandbox: commands with children in the background; killed until enough is tried."""
    busy = f"(sleep 0.05; :) & {EFFECT}; wait"
    _kill_at_random(tmp_path, mortal, tally, KILLS, "local", busy, 0.5)


@pytest.mark.docker
@pytest.mark.timeout(300)
def test_killed_at_random_with_a_container(
    tmp_path: Path, mortal: Mortal, tally: Counter[str]
) -> None:
    _kill_at_random(tmp_path, mortal, tally, max(3, KILLS // 20), "docker", EFFECT, 3.0)


def _kill_at_random(
    folder: Path, mortal: Mortal, tally: Counter[str], kills: int, sandbox: str, command: str,
    longest: float,
) -> None:  # fmt: skip
    chance = random.Random(20261124)
    number = 0
    while tally["kills tried"] < kills:
        number += 1
        place = folder / str(number)
        place.mkdir()
        job = workspace(place)
        Path(job.workspace).chmod(0o777)  # the container's user is another one
        with FakeDeepSeek(model(8, command), delay=0.001) as server:
            job = again(job, url=server.base_url, sandbox=sandbox)
            status, before = -signal.SIGKILL, stored(job)
            while status == -signal.SIGKILL:
                wait = chance.uniform(0.0, longest) if tally["kills tried"] < kills else None
                tally["resumes"] += bool(before)
                status = mortal.run(again(job, kill_after=wait))
                tally["kills tried"] += status == -signal.SIGKILL
                verify_prefix(job, before, tally)
                before = stored(job)
            assert status == 0, (Path(job.home) / "error").read_text()
            verify_end(job, server, tally)


def test_the_next_process_is_told_who_is_at_work(tmp_path: Path, mortal: Mortal) -> None:
    """Refused at its start, before anything is sent or written."""
    job = workspace(tmp_path)
    with FakeDeepSeek(model(1, EFFECT)) as server:
        store = SQLiteStore(job.home)
        owner = store.acquire(job.session)
        assert mortal.run(again(job, url=server.base_url)) == 102
        error = (Path(job.home) / "error").read_text()
        assert error.startswith(f"SessionInUse: session s is in use by process {owner.pid} on ")
        assert server.requests == []
        store.close()
        assert json.dumps(stored(job)) == "[]"
        assert mortal.run(again(job, url=server.base_url)) == 0
