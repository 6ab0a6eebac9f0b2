"""Hard limits over a whole run, and the account of what was spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agentkit.errors import LimitReached, UsageError
from agentkit.models.types import Usage


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use, over all its lanes and subagents. None means no limit.

    The defaults are generous: they stop a run-away, not a hard task.
    """

    cost_usd: float | None = 5.0
    """US dollars, checked before each request with that request's own worst case."""
    turns: int | None = 500
    """Requests to a model that were answered."""
    tokens: int | None = None
    """Input and output tokens of all requests together."""
    deadline: float | None = None
    """Seconds of wall clock from the start of the run."""

    def __post_init__(self) -> None:
        for name in ("cost_usd", "turns", "tokens", "deadline"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"the limit {name} must be above 0, not {value!r}")

    def describe(self) -> str:
        """One line for people, for instance ``$5.00, 500 turns``."""
        parts = [
            f"${self.cost_usd:.2f}" if self.cost_usd is not None else "",
            f"{self.turns} turns" if self.turns is not None else "",
            f"{self.tokens:,} tokens" if self.tokens is not None else "",
            f"{self.deadline:g} s" if self.deadline is not None else "",
        ]
        return ", ".join(part for part in parts if part) or "none"


NEAR = 0.8
"""Share of a limit at which ``limit.near`` is told, once per limit."""


@dataclass(slots=True)
class Budget:
    """Limits and what has been used of them. Resumed sessions carry on with what was spent."""

    limits: Limits
    cost_usd: float = 0.0
    turns: int = 0
    usage: Usage = field(default_factory=Usage)
    spent_seconds: float = 0.0
    """Wall clock of earlier runs of this session."""
    clock: Callable[[], float] = time.monotonic
    _started: float | None = None
    _warned: set[str] = field(default_factory=set[str])

    def start(self) -> None:
        """Start the wall clock of a run."""
        self._started = self.clock()

    def stop(self) -> None:
        """Stop the wall clock; the time until ``start`` is called again is free."""
        self.spent_seconds = self.elapsed
        self._started = None

    @property
    def elapsed(self) -> float:
        """Seconds of wall clock used so far."""
        running = self.clock() - self._started if self._started is not None else 0.0
        return self.spent_seconds + running

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline, None without one."""
        deadline = self.limits.deadline
        return None if deadline is None else deadline - self.elapsed

    def spend(self, usage: Usage, cost_usd: float) -> None:
        """Account for one answered request."""
        self.usage += usage
        self.cost_usd += cost_usd
        self.turns += 1

    def check(self, next_cost: float = 0.0) -> None:
        """Stop before a request that could pass a limit.

        Args:
            next_cost: the request's own worst case in US dollars.

        Raises:
            LimitReached: which one, how much was used, how to go on.
        """
        for name, used, allowed in self._rows(next_cost):
            if used >= allowed if name != "money" else used > allowed:
                raise LimitReached(name, used, allowed, hint=f"Resume with a larger {_OPTION[name]}")

    def near(self) -> list[tuple[str, float, float]]:
        """Limits of which 80% are used and that were not named before: (name, used, allowed)."""
        rows = [row for row in self._rows(0.0) if row[1] >= NEAR * row[2]]
        fresh = [row for row in rows if row[0] not in self._warned]
        self._warned.update(row[0] for row in fresh)
        return fresh

    def _rows(self, next_cost: float) -> list[tuple[str, float, float]]:
        tokens = self.usage.prompt_tokens + self.usage.completion_tokens
        rows = [
            ("money", self.cost_usd + next_cost, self.limits.cost_usd),
            ("turns", self.turns, self.limits.turns),
            ("tokens", tokens, self.limits.tokens),
            ("deadline", self.elapsed, self.limits.deadline),
        ]
        return [(name, used, allowed) for name, used, allowed in rows if allowed is not None]


_OPTION = {
    "money": "--max-cost",
    "turns": "--max-turns",
    "tokens": "--max-tokens",
    "deadline": "--deadline",
}
