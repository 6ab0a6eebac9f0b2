"""The plan, the checks that decide, and what was made of the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from agentkit.events.base import Event, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanUpdated(Event):
    """The visible plan is now this; it changes in no other way."""

    type: ClassVar[str] = "plan.updated"
    steps: tuple[JsonObject, ...]
    """Each with ``step`` and ``status``, and where known ``files`` and ``check``."""
    author: Literal["model", "planner"] = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPassed(Event):
    """A required check exited 0 in the sandbox, or a reviewer confirmed its statement."""

    type: ClassVar[str] = "check.passed"
    command: str
    duration: float = 0.0
    on: str = ""
    """What it passed on: the checkpoint of the workspace, "" where none was taken."""
    output: str = ""
    """A reviewer's reason; commands that pass keep none."""
    changed: tuple[str, ...] = ()
    """Files that the check itself changed."""


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
    on: str = ""
    changed: tuple[str, ...] = ()


STATEMENT = "review:"
"""How a check begins that is a statement for a reviewer."""


def is_statement(check: str) -> bool:
    """Whether a check is a statement for a reviewer, and no command."""
    return check.lstrip().lower().startswith(STATEMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The last word on one required check."""

    command: str
    passed: bool
    exit_code: int | None = None
    """None where it never ran."""
    time: str = ""
    """When it ran, UTC."""
    on: str = ""
    """The checkpoint of the workspace that it ran on, "" where none was taken."""


EvidenceKind = Literal[
    "check-failed",
    "check-failed-again",
    "check-cannot-run",
    "call-repeated",
    "calls-invalid",
    "edit-not-applied",
    "patch-reverted",
    "no-progress",
    "help-asked",
    "output-cut",
    "answer-empty",
    "limit-near",
]
"""What may be said against the work, each with its source in the log.

``check-failed-again``: with the same output as before, instead of ``check-failed``.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence(Event):
    """Something outside the model's own words says that the work does not go well."""

    type: ClassVar[str] = "evidence"
    kind: EvidenceKind
    weight: float
    """What it adds to the lane's score until progress takes it away."""
    sources: tuple[int, ...]
    """``seq`` of the events that it rests on."""
    detail: str = ""
    key: str = ""
    """What it is about, for instance the check's command: progress there takes it away."""


Form = Literal["note", "retry", "consult", "re-plan", "hand-off", "move", "step-down"]
"""How a ladder reacts (``agentkit.escalation.prices``), and how work comes back down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RungChanged(Event):
    """Another rung is asked: for one answer (``consult``), or to go on with the work."""

    type: ClassVar[str] = "rung.changed"
    from_rung: str
    to_rung: str
    form: Form
    reason: str
    to_lane: str = ""
    """The lane on which the rung works."""
    prices: JsonObject = field(default_factory=JsonObject)
    """US dollars of each form that was weighed, at the moment's prices."""
    numbers: JsonObject = field(default_factory=JsonObject)
    """What the prices rest on: tokens, expected turns, score, price table."""
    evidence: tuple[int, ...] = ()
    """``seq`` of the evidence that led here."""
    back_to: str = ""
    """Checkpoint to which the workspace was taken back, "" where it was left as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RungSkipped(Event):
    """A rung is passed over from now on, for instance because it is served by the same model."""

    type: ClassVar[str] = "rung.skipped"
    rung: str
    reason: str
    served_model: str = ""
