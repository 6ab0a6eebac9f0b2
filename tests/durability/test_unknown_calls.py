"""What the model is told of a call that a crash cut off is true."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.events import Event, ToolFinished
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable

from .conftest import Mortal, started
from .test_kills import again, stored, workspace

Events = list[dict[str, Any]]

EDITS = {
    "str_replace": {"old_str": "one", "new_str": "two"},
    "create": {"file_text": "two\n"},
    "insert": {"insert_line": 1, "new_str": "two"},
}


def unknown(events: list[Event]) -> list[ToolFinished]:
    return [each for each in events if isinstance(each, ToolFinished) and each.status == "unknown"]


@pytest.mark.parametrize("command", EDITS)
def test_whether_the_edit_was_made(command: str, tmp_path: Path, mortal: Mortal) -> None:
    told: Counter[str] = Counter()
    for point in ("after:7", "before:8"):  # between these two the edit is made
        place = tmp_path / point
        place.mkdir()
        job = workspace(place)
        path = Path(job.workspace) / "a.txt"
        path.write_text("one\n")
        edit = {"command": command, "path": str(path), **EDITS[command]}
        calls = [Call("str_replace_editor", {"command": "view", "path": str(path)})]
        calls.append(Call("str_replace_editor", edit))

        def answer(request: dict[str, Any], calls: list[Call] = calls) -> Reply:
            done = sum(each["role"] == "assistant" for each in request["messages"])
            return Reply(calls=[calls[done]], reasoning="r") if done < 2 else Reply("Done.")

        with FakeDeepSeek(answer) as server:
            job = again(job, url=server.base_url, kill_at=point, tools="edit")
            assert mortal.run(job) == -signal.SIGKILL
            made = path.read_text() != "one\n"
            assert mortal.run(again(job)) == 0
            assert_prefix_stable(server)
        (result,) = unknown(stored(job))
        assert ("it was done" if made else "is unchanged") in result.content
        told["made" if made else "not"] += 1
    assert told == {"made": 1, "not": 1}


COMMANDS = [
    "setsid sleep 4711 >/dev/null 2>&1 & cd /tmp; export KEPT=yes",
    "echo begun >>/workspace/effects; sleep 4712",
    "echo $KEPT; pwd; pgrep -f 'sleep 4711' >/dev/null && echo the server lives",
]


def kill_and_resume(home: Path, work: Path, session: str, between: Callable[[], None]) -> Events:
    """The whole program, killed by its user in the middle of the second command, and resumed."""
    work.mkdir()
    work.chmod(0o777)

    def answer(request: dict[str, Any]) -> Reply:
        done = sum(each["role"] == "assistant" for each in request["messages"])
        if done < len(COMMANDS):
            return Reply(calls=[Call("bash", {"command": COMMANDS[done]})], reasoning="r")
        return Reply("Done.")

    options = ["--workspace", str(work), "--preset", "minimal", "--model", "deepseek-v4-flash"]
    check = ["--check", "grep -q begun effects"]
    with FakeDeepSeek(answer) as server:
        url = ["--base-url", server.base_url]
        run = started(["run", "Work.", "--session", session, *options, *check, *url], home)
        run.wait_for(work / "effects")
        run.kill()
        between()
        resumed = started(["resume", session, "--json", *url], home)
        out, err = resumed.process.communicate(timeout=100)
        assert resumed.process.returncode == 0, err
        assert_prefix_stable(server)
        assert server.violations == []
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["status"] == "finished"
    assert [each["passed"] for each in events[-1]["checks"]] == [True]
    assert (work / "effects").read_text() == "begun\n"
    assert containers(session) == []
    return events


def containers(session: str) -> list[str]:
    command = ["docker", "ps", "-aq", "--filter", f"label=agentkit.session={session}"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()


@pytest.mark.docker
def test_run_kill_9_resume_with_a_container(own_home: Path, tmp_path: Path) -> None:
    """The container is found again."""
    session = f"killed-{secrets.token_hex(4)}"
    events = kill_and_resume(own_home, tmp_path / "work", session, lambda: None)
    opened = [each for each in events if each["type"] == "sandbox.opened"]
    assert [each["reopened"] for each in opened] == [True], events
    results = [each for each in events if each["type"] == "tool.finished"]
    assert [each["status"] for each in results] == ["unknown", "done"]
    assert "It was still running, and was killed. 1 process that" in results[0]["content"]
    assert "yes\n/tmp\nthe server lives" in results[1]["content"]


@pytest.mark.docker
def test_run_kill_9_resume_without_the_container(own_home: Path, tmp_path: Path) -> None:
    """Somebody removed it meanwhile: the model is told what is lost, and what is not known."""
    session = f"killed-{secrets.token_hex(4)}"

    def remove() -> None:
        (container,) = containers(session)
        subprocess.run(["docker", "rm", "-f", container], capture_output=True, check=True)

    events = kill_and_resume(own_home, tmp_path / "work", session, remove)
    opened = [each for each in events if each["type"] == "sandbox.opened"]
    assert [each["reopened"] for each in opened] == [False]
    results = [each for each in events if each["type"] == "tool.finished"]
    assert [each["status"] for each in results] == ["unknown", "done"]
    assert "could not be entered again" in results[0]["content"]
    assert "the server lives" not in results[1]["content"]
