"""``python -m agentkit.testing.server`` from a shell."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

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
