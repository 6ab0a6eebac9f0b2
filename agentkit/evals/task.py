"""What a task is, whatever the layout of its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Network = Literal["public", "no-network", "allowlist"]
Judge = Literal["reward", "pytest", "checks"]
"""How the grade is read: a reward file, pytest's summary lines, or exit codes of checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck:
    """A command that must exit 0 before the agent may begin; times in seconds."""

    command: str
    interval: float = 5.0
    timeout: float = 30.0
    start_period: float = 0.0
    retries: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The container that agent and tests share."""

    context: Path | None = None
    """The build context, with a Dockerfile in it; None where ``image`` is used as it is."""
    unsent: tuple[str, ...] = ()
    """Names in ``context`` that no build may see: where it is the task's folder, the tests and the
    answer. Elsewhere the same names are the project's own."""
    image: str = ""
    """A ready image; "" with no context is our own base image."""
    workspace: Path | None = None
    """A folder that is copied to the working directory before the agent begins."""
    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    network: Network = "public"
    allowed_hosts: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    workdir: str = ""
    """"" is the image's own."""
    build_timeout: float = 600.0
    """Seconds."""
    healthcheck: Healthcheck | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """How the work is judged, in the same container, after the agent."""

    judge: Judge
    tests: Path | None = None
    """Copied to ``/tests`` only after the agent has ended."""
    script: Path | None = None
    """Run in ``/tests``; None is ``test.sh`` of ``tests``."""
    checks: tuple[str, ...] = ()
    timeout: float = 600.0
    """Seconds."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    user: str = ""
    network: Network | None = None
    """Another network for the tests than for the agent; None is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task: what to do, where, for how long, and how it is judged."""

    name: str
    path: Path
    instruction: str
    environment: Environment
    grading: Grading
    agent_timeout: float | None = None
    """Seconds; None where the task names no limit."""
    agent_user: str = ""
    solution: Path | None = None
    """The script that solves it, for the ``oracle`` agent only."""
    solution_env: Mapping[str, str] = field(default_factory=dict[str, str])
    unsolvable: bool = False
    """No honest work can pass the tests: the task measures whether an agent says so."""
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def digest(self) -> str:
        """SHA-256 over all files of the task's folder: names, modes to execute, contents."""
        return tree_digest(self.path)


def tree_digest(folder: Path) -> str:
    """SHA-256 of a folder's files, in hexadecimal; times and owners do not count."""
    digest = hashlib.sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_symlink() or each.is_file()):
        name = path.relative_to(folder).as_posix()
        if "__pycache__" in path.parts:
            continue
        data = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        runs = not path.is_symlink() and bool(path.stat().st_mode & 0o100)
        digest.update(f"{name}\0{int(runs)}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()
