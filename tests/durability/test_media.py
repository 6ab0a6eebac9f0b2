"""A disk that is full, a file system that cannot be written: a clear stop, and the log intact.

The real command, on a real file system of its own: a tmpfs in a mount name space, so root only.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agentkit.events import SessionFinished
from agentkit.log import read
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply


def _may_mount() -> bool:
    done = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return os.geteuid() == 0 and done.returncode == 0


pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/unshare").exists() or not _may_mount(), reason="only root may mount"
)


def in_a_mount(folder: Path, script: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with a file system of 1 MiB at ``$HOME_DIR`` that only it sees.

    What the file system holds at the end is copied to ``kept``.
    """
    home = folder / "home"
    home.mkdir()
    agentkit = f"{shlex.quote(sys.executable)} -m agentkit.cli"
    options = f"--sandbox local --approve auto --preset minimal --workspace {folder}/work"
    text = f"""
        set -u
        mount -t tmpfs -o size=1m none "$HOME_DIR"
        agentkit() {{ {agentkit} "$@"; }}
        options="{options} --home $HOME_DIR --model deepseek-v4-flash"
        {script}
        cp -r "$HOME_DIR" {folder}/kept
    """
    env = {**os.environ, "HOME_DIR": str(home), "AGENTKIT_BASE_URL": url, "DEEPSEEK_API_KEY": "k"}
    (folder / "work").mkdir()
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", text],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=env,
    )


def test_a_full_disk_stops_the_run_and_a_resume_ends_it(tmp_path: Path) -> None:
    big = "head -c 20000 /dev/urandom | base64"
    steps = [Reply(reasoning="r", calls=[Call("bash", {"command": big})])] * 3

    def answer(request: dict[str, object]) -> Reply:
        messages = request["messages"]
        assert isinstance(messages, list)
        done = sum(message["role"] == "assistant" for message in messages)  # type: ignore[index]
        if done == 1:
            command = f"head -c 2000000 /dev/zero > {tmp_path}/home/filler; true"
            return Reply(reasoning="r", calls=[Call("bash", {"command": command})])
        return steps[done] if done < 3 else Reply(content="All done.")

    with FakeDeepSeek(answer) as server:
        script = """
            agentkit run "Work." --session s $options; echo "first $?"
            rm "$HOME_DIR/filler"
            agentkit resume s $options; echo "second $?"
        """
        done = in_a_mount(tmp_path, script, server.base_url)
    assert "Traceback" not in done.stderr, done.stderr
    assert "first 1" in done.stdout, done.stderr
    assert "disk is full" in done.stderr
    assert "Check disk space" in done.stderr
    assert "second 0" in done.stdout, done.stderr
    store = SQLiteStore(tmp_path / "kept")
    events = read(store, "s")
    store.close()
    assert isinstance(events[-1], SessionFinished)
    assert events[-1].output == "All done."
    assert server.violations == []


def test_a_read_only_file_system_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    with FakeDeepSeek(["First.", "Second."]) as server:
        script = """
            agentkit run "Work." --session s $options; echo "first $?"
            mount -o remount,ro "$HOME_DIR"
            agentkit resume s "More." $options; echo "second $?"
            agentkit run "Other." --session t $options; echo "third $?"
        """
        done = in_a_mount(tmp_path, script, server.base_url)
        assert len(server.requests) == 1
    assert "Traceback" not in done.stderr, done.stderr
    assert "first 0" in done.stdout, done.stderr
    assert "second 1" in done.stdout
    assert "third 1" in done.stdout
    assert "sessions.db cannot be used" in done.stderr
    store = SQLiteStore(tmp_path / "kept")
    assert isinstance(read(store, "s")[-1], SessionFinished)
    assert [info.id for info in store.sessions()] == ["s"]
    store.close()
