"""A provider, a process to kill, and the count of what was tried and what was lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .worker import Job, as_line


@dataclass
class Mortal:
    """Forks processes that run sessions, see ``worker``."""

    process: subprocess.Popen[str]
    kills: int = field(default=0)

    def run(self, job: Job) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(as_line(job))
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def mortal() -> Generator[Mortal]:
    folder = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, str(folder / "worker.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield Mortal(process)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)
    assert process.stdout is not None
    process.stdout.close()


@dataclass
class Started:
    """The real command as a process that can be killed."""

    process: subprocess.Popen[str]

    def wait_for(self, path: Path) -> None:
        """Wait until the file is there, with something in it."""
        give_up = time.monotonic() + 60
        while not (path.exists() and path.stat().st_size):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < give_up, f"{path} was never written"
            time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def started(arguments: Sequence[str], home: Path, **env: str) -> Started:
    """Start ``agentkit ARGUMENTS``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agentkit.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "AGENTKIT_HOME": str(home), "NO_COLOR": "1", **env},
    )
    return Started(process)


TALLY = ("kills tried", "resumes", "events lost", "effects repeated")
_totals: Counter[str] = Counter()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Generator[Counter[str]]:
    counts: Counter[str] = Counter()
    yield counts
    request.node.user_properties.extend((name, counts[name]) for name in TALLY)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up, also what other processes of pytest-xdist found."""
    if report.when == "teardown":
        for name, number in report.user_properties:
            if name in TALLY:
                _totals[name] += int(str(number))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _totals["kills tried"]:
        terminalreporter.write_line(
            "durability: " + ", ".join(f"{name} {_totals[name]}" for name in TALLY)
        )
