"""``agentkit demo``, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from agentkit.cli.demo import demo
from agentkit.cli.demo_data.recording import Recording


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentkit.cli", "demo", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def temporary_folders(folder: Path) -> list[Path]:
    return list(folder.glob("agentkit-demo-*"))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


@pytest.mark.parametrize("sandbox", [pytest.param("docker", marks=pytest.mark.docker), "local"])
def test_the_whole_way(sandbox: str, temporary: Path) -> None:
    done = run("--sandbox", sandbox)
    assert (done.returncode, done.stderr) == (0, "")
    story = [
        "answers are replayed from a prepared recording",
        "2 failed, 16 passed",
        "check failed (exit code 1): python3 -m pytest -q",
        "check passed: python3 -m pytest -q",
        "18 passed",
        "1 file changed",
        "The bug is fixed",
    ]
    places = [done.stdout.find(text) for text in story]
    assert -1 not in places
    assert places == sorted(places)
    assert ("without isolation" in done.stdout) == (sandbox == "local")
    assert temporary_folders(temporary) == []


def test_events_alone_on_standard_output() -> None:
    done = run("--sandbox", "local", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert (events[-1]["type"], events[-1]["status"]) == ("session.finished", "finished")
    assert "replayed" in done.stderr


def test_kept_folder_holds_project_and_session(temporary: Path) -> None:
    done = run("--sandbox", "local", "--keep")
    [folder] = temporary_folders(temporary)
    assert f"Kept: {folder}" in done.stdout
    assert "most_cut" in (folder / "atelier/atelier/discounts.py").read_text()
    assert (folder / "sessions.db").is_file()


@pytest.mark.parametrize(
    ("options", "word"),
    [(["--live"], "DEEPSEEK_API_KEY is not set"), (["--sandbox", "jail"], "'jail'")],
)
def test_what_cannot_be_is_a_usage_error(options: list[str], word: str) -> None:
    done = run(*options)
    assert done.returncode == 2
    assert word in done.stderr
    assert done.stdout == ""


def test_a_live_model_is_not_let_loose_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-test")
    done = run("--live", "--sandbox", "local")
    assert done.returncode == 2
    assert "does not isolate" in done.stderr


def test_without_an_engine_it_names_the_way_on(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{temporary}/no.sock")
    done = run()
    assert done.returncode == 5
    assert "agentkit demo --sandbox local" in done.stderr
    assert temporary_folders(temporary) == []


def test_a_run_that_leaves_the_recording_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Recording.load

    def other(workdir: str) -> Recording:
        recording = load(workdir)
        answers = list(recording.answers)
        answers[2] = replace(answers[2], sees=("something that nobody says",))
        return Recording(recording.task, tuple(answers))

    monkeypatch.setattr(Recording, "load", other)
    with pytest.raises(typer.Exit) as end:
        demo(sandbox="local")
    assert end.value.exit_code == 1
    shown = capsys.readouterr().out
    assert "before answer 3, no result says 'something that nobody says'" in shown
    assert "NOT fixed: the run ended with 1, the tests with 1" in shown
    assert "--keep would keep them" in shown
    assert "is fixed" not in shown
