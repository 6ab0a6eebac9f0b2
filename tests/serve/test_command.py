"""``agentkit serve`` as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx2

from agentkit.serve import kept_token
from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.serve.conftest import follow


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    home = tmp_path / "home"
    script = [Reply(calls=[Call("bash", {"command": "echo hello > made"})]), "Done."]
    with FakeDeepSeek(script) as model:
        started = subprocess.Popen(
            [sys.executable, "-m", "agentkit.cli", "serve", "--port", "0", "--preset", "minimal",
             "--workspace", tmp_path / "work", "--sandbox", "local", "--approve", "auto",
             "--home", home],
            env={**os.environ, "AGENTKIT_BASE_URL": model.base_url, "DEEPSEEK_API_KEY": "fake"},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert started.stdout is not None
        try:
            lines = [started.stdout.readline() for _ in range(4)]
            token, address = lines[0].split()[1], lines[3].split()[1]
            assert (home / "serve-token").read_text().strip() == token
            headers = {"Authorization": f"Bearer {token}"}
            with httpx2.Client(base_url=address, headers=headers, timeout=60) as client:
                session = client.post("/sessions", json={"message": "Make it"}).json()["id"]
                assert follow(client, session)[-1].data["output"] == "Done."
            assert (tmp_path / "work" / "made").read_text() == "hello\n"
            # The link holds the token as long as the token itself is told: at the first start.
            assert started.stdout.readline().split() == ["page", f"{address}/#token={token}"]
        finally:
            started.terminate()
            started.wait(30)
            started.stdout.close()


def test_a_later_start_writes_no_token_into_a_log(tmp_path: Path) -> None:
    kept_token(tmp_path)
    started = subprocess.Popen(
        [sys.executable, "-m", "agentkit.cli", "serve", "--port", "0", "--sandbox", "local",
         "--workspace", tmp_path, "--home", tmp_path],
        env={**os.environ, "DEEPSEEK_API_KEY": "fake"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stdout is not None
    lines = [started.stdout.readline() for _ in range(3)]
    started.terminate()
    started.wait(30)
    started.stdout.close()
    assert lines[2].startswith("page ")
    assert (tmp_path / "serve-token").read_text().strip() not in "".join(lines)
