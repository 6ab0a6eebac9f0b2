"""The real command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "agentkit.cli", *arguments]


def environment(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", **more}


@pytest.fixture
def cli(own_home: Path) -> Cli:
    """Run ``agentkit ARGUMENTS`` to its end, without a terminal; no traceback may ever show."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> Ran:
        more = {"AGENTKIT_HOME": str(own_home), **(env or {})}
        done = subprocess.run(
            command(arguments),
            input=stdin,
            capture_output=True,
            timeout=90,
            check=False,
            env=environment(more),
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ran.err, ran.err
        return ran

    return run


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A project whose test fails until the bug in it is fixed."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (folder / "test_calc.py").write_text(
        "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
    )
    return folder
