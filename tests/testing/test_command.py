"""``python -m agentkit.testing.server`` from a shell."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from agentkit import Agent
from agentkit.events import to_dict
from agentkit.log import read
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply

COMMAND = [sys.executable, "-m", "agentkit.testing.server"]


def post(url: str) -> int:
    body = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "hi"}], "seeds": 1}
    request = urllib.request.Request(
        url + "/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Authorization": "Bearer k"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_it_serves_a_script_with_faults_and_prints_the_bill(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"content": "hello", "reasoning": "hm"}]), encoding="utf-8")
    server = subprocess.Popen(
        [*COMMAND, "--script", str(script), "--faults", "1=503"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    try:
        assert [post(url), post(url)] == [503, 200]
    finally:
        server.send_signal(signal.SIGINT)
        out, errors = server.communicate(timeout=20)
    assert (server.returncode, errors) == (0, "")
    summary = json.loads(out)
    assert summary["requests"] == 2
    assert summary["cost_usd"] > 0
    assert any("seeds" in line for line in summary["violations"])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)


def test_it_names_its_faults() -> None:
    assert "insufficient_system_resource" in run("--list-faults").stdout


def test_wrong_input_is_told_in_one_line(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('"text"', encoding="utf-8")
    for arguments in (["--script", str(tmp_path / "none")], ["--script", str(script)]):
        done = run(*arguments)
        assert done.returncode == 1
        assert "cannot start" in done.stderr
        assert "Traceback" not in done.stderr
    script.write_text("[]", encoding="utf-8")
    assert "no fault" in run("--script", str(script), "--faults", "1=none").stderr


def test_a_sessions_events_are_a_script(tmp_path: Path) -> None:
    """An export, one event a line, is played again: what the model said, in its order."""
    agent_store = MemoryStore()
    steps = [Reply("", "Look.", [Call("nothing", "{}")]), Reply("All is well.")]
    with FakeDeepSeek(steps) as first:
        agent = Agent("a", base_url=first.base_url, api_key="k", store=agent_store)
        result = agent.run_sync("How is it?")
    script = tmp_path / "session.jsonl"
    events = [to_dict(event) for event in read(agent_store, result.session_id)]
    script.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    server = subprocess.Popen(
        [*COMMAND, "--script", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    try:
        again = Agent("a", base_url=url, api_key="k", store=MemoryStore()).run_sync("How is it?")
    finally:
        server.send_signal(signal.SIGINT)
        out, errors = server.communicate(timeout=20)
    assert (again.status, again.output) == ("finished", "All is well.")
    summary = json.loads(out)
    assert (summary["requests"], summary["violations"], errors) == (2, [], "")
    assert summary["cost_usd"] == again.cost_usd == result.cost_usd


HALF = '{"type": "model.responded", "calls": [{"name": "x"}]}'


def test_a_script_of_events_that_cannot_be_one_is_told_in_one_line(tmp_path: Path) -> None:
    script = tmp_path / "session.jsonl"
    for text, why in [
        ("", "no model.responded"),
        ("{", "cannot start"),
        ("5", "no event"),
        (HALF, "no event"),
    ]:
        script.write_text(text, encoding="utf-8")
        done = run("--script", str(script))
        assert done.returncode == 1
        assert why in done.stderr
        assert "Traceback" not in done.stderr
