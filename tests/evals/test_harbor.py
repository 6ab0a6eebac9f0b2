"""Inside the real Harbor: one trial through its own machinery, and our jobs read by its models."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.cli.conftest import Cli, cli

from .conftest import MakeTask

__all__ = ["cli"]
ROOT = Path(__file__).resolve().parents[2]
RUN = Path(__file__).with_name("harbor_run.py")
pytestmark = [pytest.mark.docker, pytest.mark.timeout(400)]


@cache
def harbor_python() -> str:
    done = subprocess.run(
        [ROOT / "scripts" / "ensure-harbor"],
        capture_output=True,
        text=True,
        errors="replace",  # pip's lines are cut to a width, in the middle of a character, too
        check=False,
    )
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def in_harbor(*arguments: str) -> Any:
    quiet = {"HARBOR_TELEMETRY": "off", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(
        [harbor_python(), str(RUN), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, **quiet, "PYTHONPATH": str(RUN.parent), "DEEPSEEK_API_KEY": "a-key"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def bash(command: str) -> Reply:
    return Reply(calls=[Call("bash", {"command": command})])


def test_a_trial_of_harbors_own(make_task: MakeTask, tmp_path: Path) -> None:
    folder = make_task()
    (folder / "tests" / "test.sh").chmod(0o755)
    edit = {"command": "create", "path": "/work/hello.txt", "file_text": "hello\n"}
    script = [
        bash("export WORD=hello; f() { echo f:$WORD; }; mkdir -p sub; cd sub"),
        bash("pwd; f; (sleep 60 &); exit 3"),
        bash("seq 1 200000; echo end"),
        Reply(calls=[Call("str_replace_editor", edit)]),
        "Done.",
    ]
    with FakeDeepSeek(script) as server:
        result = in_harbor("trial", str(folder), str(tmp_path / "trials"), server.base_url)
        seen = [request.body["messages"][-1]["content"] for request in server.requests]
    assert result["exception_info"] is None
    assert result["verifier_result"]["rewards"] == {"reward": 1.0}
    assert seen[2] == "/work/sub\nf:hello\n[exit code: 3]", "state lives on from call to call"
    assert "left out" in seen[3] or "omitted" in seen[3] or "clipped" in seen[3]
    used = result["agent_result"]
    assert used["n_input_tokens"] > used["n_cache_tokens"] > 0
    assert used["cost_usd"] > 0
    assert used["metadata"]["turns"] == 5
    (trajectory,) = (tmp_path / "trials").glob("*/agent/trajectory.json")
    assert json.loads(trajectory.read_text())["schema_version"] == "ATIF-v1.8"


def test_harbor_reads_our_jobs(cli: Cli, make_task: MakeTask, tmp_path: Path) -> None:
    tasks = make_task("good").parent
    make_task("no-verdict", test="#!/bin/bash\ntrue\n", instruction="Write hello, please")
    job = tmp_path / "job"
    with FakeDeepSeek([bash("echo hello >hello.txt"), "Done."], per_conversation=True) as server:
        ran = cli("eval", str(tasks), "--base-url", server.base_url, "--job", str(job), "-n", "1")
    assert ran.code == 1, ran.err
    found = in_harbor("read", str(job))
    assert found["completed"] == 2
    good, silent = (found["trials"][name] for name in sorted(found["trials"]))
    assert (good["valid"], good["rewards"]) == (True, {"reward": 1.0})
    assert (silent["valid"], silent["rewards"]) == (False, None)
    for trial in (good, silent):
        assert trial["trajectory"] is True, trial["errors"]
