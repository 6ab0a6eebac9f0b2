"""What is to be tried: contestants, and the trials that a job is made of. All plain data."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from agentkit.errors import UsageError

AgentKind = Literal["agentkit", "oracle", "nop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One column of a comparison: which agent, on which ladder, within which limits."""

    agent: AgentKind = "agentkit"
    preset: str = "minimal"
    """The vendor's benchmark shape is the default: benchmarks are what it is for."""
    ladder: str = "flash-pro"
    model: str = ""
    """One model in place of a ladder."""
    base_url: str = ""
    api_key_env: str = ""
    max_cost: float = 5.0
    """US dollars for one trial."""
    max_turns: int = 500
    timeout_factor: float = 1.0
    """Times the task's own time limit. Anything but 1 makes results incomparable."""
    default_timeout: float = 3600.0
    """Seconds, where a task names no limit."""

    def __post_init__(self) -> None:
        if self.agent not in ("agentkit", "oracle", "nop"):
            raise UsageError(
                f"there is no agent {self.agent!r}", hint="Choose agentkit, oracle or nop"
            )

    @property
    def label(self) -> str:
        """Short name for tables: the ladder's or the model's, or what kind of agent it is."""
        if self.agent != "agentkit":
            return self.agent
        return self.model or Path(self.ladder).stem

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Contestant:
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attempt of one contestant at one task."""

    contestant: Contestant
    task: Path
    """The task's folder."""
    task_name: str
    attempt: int
    """From 1."""
    source: str
    """The task set's name."""

    @property
    def name(self) -> str:
        """The name of its folder: the same in every run of the job, so a job can go on."""
        identity = f"{self.contestant.as_dict()}\0{self.task_name}\0{self.attempt}"
        return f"{self.task_name[:60]}__{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def trials(
    contestants: tuple[Contestant, ...],
    tasks: tuple[tuple[str, Path], ...],
    *,
    attempts: int,
    source: str,
) -> list[Trial]:
    """All trials of a job: every contestant meets every task before the next attempt begins."""
    return [
        Trial(contestant=contestant, task=path, task_name=name, attempt=attempt, source=source)
        for attempt in range(1, attempts + 1)
        for name, path in tasks
        for contestant in contestants
    ]
