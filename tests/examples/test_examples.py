"""Each example runs as it stands, in a process of its own, without a key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
UNAVAILABLE = 69
"""What the example that downloads a package exits with where no index gives it."""


def run(name: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("own_tools.py", ["9 November", "[finished, 4 turns"]),
        ("approvals_and_skills.py", ["asked: touch dist/notes (risk medium", "dist holds notes"]),
        ("streaming.py", ["-> temperature({'city': 'Oulu'})", "** Give the", "[finished,"]),
        ("service.py", ["20 of 20 done"]),
        ("http_service.py", ["Of article 5 we have 5 pieces.", "another tenant sees: 404"]),
        ("mcp_servers.py", ["it is midnight in Tokyo", "[finished, 2 turns"]),
        (
            "editor.py",
            ["allowed              note", "I kept a note.", "stopped              end_turn"],
        ),
        ("tracing.py", ["    execute_tool temperature\n      database query", "Yes: -11 °C."]),
        ("structured_output.py", ["refund=Decimal('17.80')", "[2 turns]"]),
        ("own_endpoint.py", ["It has 4 words.", "160 tokens in, no known price"]),
    ],
)
def test_example(name: str, expected: list[str], tmp_path: Path) -> None:
    done = run(name, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for text in expected:
        assert text in done.stdout


def test_fifty_customers_of_a_fastapi_service_on_postgresql(
    tmp_path: Path, postgres_database: str
) -> None:
    done = run("fastapi_service.py", tmp_path, DATABASE_URL=postgres_database)
    assert (done.returncode, done.stderr) == (0, "")
    assert "{'customer': 'customer-1', 'answer': 'Of article 60 we have 0 pieces.'}" in done.stdout
    assert "50 of 50 answered in" in done.stdout
    assert "postgresql://" in done.stdout


@pytest.mark.docker
def test_coding_task(tmp_path: Path) -> None:
    done = run("coding_task.py", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "passed: python3 -m pytest -q" in done.stdout
    assert "if last > first else str(first)" in done.stdout


@pytest.mark.docker
def test_real_bug(tmp_path: Path) -> None:
    done = run("real_bug", tmp_path)
    if done.returncode == UNAVAILABLE and os.environ.get("AGENTKIT_REQUIRE_DOCKER") != "1":
        pytest.skip(f"no package index: {done.stderr[:500]}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Before, by the tests of 1.7.2: 23 pass, 4 fail" in done.stdout
    assert "[finished, 5 turns]" in done.stdout
    assert "After, by the tests of 1.7.2: 27 pass, 0 fail" in done.stdout


def test_real_bug_without_an_index_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    done = run("real_bug", tmp_path)
    assert done.returncode == UNAVAILABLE
    assert "pip could not download texttable 1.7.1" in done.stderr


def test_no_example_is_left_out() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    names = [path.name for path in EXAMPLES.glob("[!_.]*") if path.name != "__pycache__"]
    names.remove("tasks")  # a task set: tests/evals/test_own_tasks.py runs it
    assert names
    assert [name for name in names if f'"{name}"' not in tested] == []
