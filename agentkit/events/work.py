"""The plan and the checks that decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from agentkit.events.base import Event, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanUpdated(Event):
    """The visible plan is now this."""

    type: ClassVar[str] = "plan.updated"
    steps: tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPassed(Event):
    """A required check exited 0 in the sandbox."""

    type: ClassVar[str] = "check.passed"
    command: str
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFailed(Event):
    """A required check did not exit 0, or could not run at all."""

    type: ClassVar[str] = "check.failed"
    command: str
    exit_code: int
    output: str
    ran: bool = True
    """False where the command could not run (not found, not executable)."""
    duration: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The last word on one required check."""

    command: str
    passed: bool
    exit_code: int | None = None
    """None where it never ran."""
