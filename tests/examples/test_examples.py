"""Each example runs as it stands, in a process of its own, without a key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, home: Path) -> str:
    ours = ("DEEPSEEK_API_KEY", "AGENTKIT_BASE_URL")
    environ = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env=environ | {"AGENTKIT_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("own_tools.py", ["9 November", "[finished, 4 turns"]),
        ("streaming.py", ["-> temperature({'city': 'Oulu'})", "** Give the", "[finished,"]),
        ("service.py", ["20 of 20 done"]),
        ("structured_output.py", ["refund=Decimal('17.80')", "[2 turns]"]),
        ("own_endpoint.py", ["It has 4 words.", "160 tokens in, no known price"]),
    ],
)
def test_example(name: str, expected: list[str], tmp_path: Path) -> None:
    output = run(name, tmp_path)
    for text in expected:
        assert text in output


@pytest.mark.docker
def test_coding_task(tmp_path: Path) -> None:
    output = run("coding_task.py", tmp_path)
    assert "passed: python3 -m pytest -q" in output
    assert "if last > first else str(first)" in output


def test_no_example_is_left_out() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    names = [path.name for path in EXAMPLES.glob("[!_]*.py")]
    assert names
    assert [name for name in names if f'"{name}"' not in tested] == []
