"""What a trial came to, and how its errors are named and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from agentkit import errors
from agentkit.models.types import Usage

Category = Literal[
    "agent_out_of_budget", "agent", "sandbox", "provider", "verifier", "cancelled", "harness"
]
"""Harbor's classes of errors (error_policy.py of harbor 0.26, read 2026-11), by whose fault."""

Phase = Literal["environment_setup", "agent_execution", "verifier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a trial, or a part of it, did not go as it should."""

    type: str
    """The exception's name in Harbor's table, where it has one."""
    category: Category
    message: str
    phase: Phase
    cause: str = ""
    """What the type alone does not tell: the limit that was reached (``deadline``, ``money``,
    ``turns``), or ``node`` where the trial's node was lost."""

    @property
    def gradable(self) -> bool:
        """The work up to the fault can be judged all the same."""
        return self.category not in ("sandbox", "harness", "cancelled")

    @property
    def counts(self) -> bool:
        """The reward says something about the agent; it does not when others failed."""
        return self.category in ("agent_out_of_budget", "agent")

    @property
    def infrastructure(self) -> bool:
        """Trying again may help, and is no second chance for the agent."""
        return self.category in ("sandbox", "provider") and self.type not in _FINAL


NODE = "node"
MONEY = "money"


class NodeLost(errors.SandboxError):
    """The machine of a trial is gone, with what it knew of the trial and of its costs."""


_FINAL = ("AgentAuthenticationError", "ModelNotFoundError", "UnsupportedModelParametersError")

_NAMES: tuple[tuple[type[Exception], str, Category], ...] = (
    (errors.AuthenticationFailed, "AgentAuthenticationError", "provider"),
    (errors.BalanceEmpty, "ApiUsageLimitError", "provider"),
    (errors.ModelUnknown, "ModelNotFoundError", "provider"),
    (errors.ContextOverflow, "ContextLengthExceededError", "agent_out_of_budget"),
    (errors.RequestInvalid, "UnsupportedModelParametersError", "provider"),
    (errors.ContentRefused, "AgentSafetyRefusalError", "agent"),
    (errors.RateLimited, "ApiRateLimitError", "provider"),
    (errors.Overloaded, "ApiOverloadedError", "provider"),
    (errors.ServerFault, "ApiInternalServerError", "provider"),
    (errors.Unreachable, "ApiConnectionError", "provider"),
    (errors.StreamCut, "ApiConnectionClosedError", "provider"),
    (errors.Stalled, "ApiResponseStalledError", "provider"),
    (errors.ModelError, "ApiError", "provider"),
    (errors.ImageError, "SandboxBuildFailedError", "sandbox"),
    (errors.SandboxError, "RuntimeRequestError", "sandbox"),
    (errors.LimitReached, "AgentTimeoutError", "agent_out_of_budget"),
)
"""The first that fits counts, so narrower errors come before wider ones."""


def fault_of(error: BaseException, phase: Phase) -> Fault:
    """The fault that an error stands for."""
    if isinstance(error, errors.LimitReached) and error.limit != "deadline":
        return Fault(
            type="BudgetExceededError",
            category="agent_out_of_budget",
            message=str(error),
            phase=phase,
            cause=error.limit,
        )
    cause = NODE if isinstance(error, NodeLost) else getattr(error, "limit", "")
    for kind, name, category in _NAMES:
        if isinstance(error, kind):
            return Fault(type=name, category=category, message=str(error), phase=phase, cause=cause)
    category: Category = "harness"
    return Fault(type=type(error).__name__, category=category, message=str(error), phase=phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """What the agent did and says of it; only the grade tells whether that is true."""

    status: str = "finished"
    claims_success: bool = False
    output: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    priced: bool = True
    turns: int = 0
    invalid_calls: int = 0
    """Calls that named no tool, or whose arguments did not fit."""
    session_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """What the tests said."""

    rewards: Mapping[str, float]
    details: str = ""

    @property
    def passed(self) -> bool:
        """Every reward is 1 or more: Terminal-Bench 2 is all or nothing."""
        return bool(self.rewards) and all(value >= 1 for value in self.rewards.values())

    @property
    def score(self) -> float:
        """The reward that is called so, or the mean of all."""
        if "reward" in self.rewards:
            return self.rewards["reward"]
        return sum(self.rewards.values()) / len(self.rewards) if self.rewards else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A trial's end."""

    report: AgentReport = field(default_factory=AgentReport)
    grade: Grade | None = None
    """None where nothing could be judged."""
    fault: Fault | None = None
    seconds: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Start and end of each phase, ISO 8601 in UTC."""
    unsolvable: bool = False

    @property
    def counts(self) -> bool:
        """It says something about the agent."""
        return self.grade is not None and (self.fault is None or self.fault.counts)

    @property
    def passed(self) -> bool:
        return self.counts and self.grade is not None and self.grade.passed

    @property
    def false_success(self) -> bool:
        """The agent said that the task was done, and the tests say otherwise."""
        return self.counts and self.report.claims_success and not self.passed

    @property
    def honest_failure(self) -> bool:
        """An unsolvable task, and the agent did not claim to have solved it."""
        return (
            self.unsolvable and self.counts and not self.passed and not self.report.claims_success
        )

    @property
    def timed_out(self) -> bool:
        return self.fault is not None and self.fault.type == "AgentTimeoutError"
