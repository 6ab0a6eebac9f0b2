"""When to try again, and after how long. The loop sleeps, logs, and resends identical bytes."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from agentkit.errors import ModelError, TransientModelError, UsageError

_DOUBTFUL = 3
"""Tries of a request that was refused for a fault it does not have (``faults.classify``)."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits of ``base``, twice ``base``, … up to ``cap``, within a budget of waiting.

    All times are in seconds. The vendor's own agent waits 0.5 to 10 s with a jitter of 0.1 and
    gives up after 5 tries (deepseek-harness, 2026-08); an outage outlasts that, so here a budget
    of waiting decides and not a number of tries.
    """

    budget_seconds: float = 600.0
    """Waiting allowed for one request, over all its tries; 0 never tries again."""
    base: float = 0.5
    cap: float = 30.0
    jitter: float = 0.1
    """Each wait is changed by up to this share, so that many sessions do not return at once."""
    max_attempts: int | None = None
    """Tries of one request, the first one included; None: the budget alone decides."""

    def __post_init__(self) -> None:
        if self.budget_seconds < 0 or self.base < 0 or self.cap < self.base:
            raise UsageError("a retry policy needs 0 <= base <= cap and a budget of 0 or more")
        if not 0 <= self.jitter < 1:
            raise UsageError(f"the jitter must be at least 0 and below 1, not {self.jitter!r}")

    def wait(self, error: ModelError, attempt: int, waited: float, rng: Random) -> float | None:
        """Seconds to wait before the next try, None to give up.

        Args:
            attempt: number of the try that failed, from 1.
            waited: seconds waited for this request so far.
        """
        if not isinstance(error, TransientModelError):
            return None
        tries = _DOUBTFUL if error.status == 400 else self.max_attempts
        if tries is not None and attempt >= tries:
            return None
        left = self.budget_seconds - waited
        if left <= 0:
            return None
        steps = min(attempt - 1, 30)
        pause = min(self.cap, self.base * 2**steps)
        pause = min(left, pause * (1 + self.jitter * rng.uniform(-1, 1)))
        if error.retry_after is None:
            return pause
        # Never earlier; a little later spreads the crowd. Where 0 is asked for, or a date that has
        # passed, our own waits still grow: else it would be tried without pause and without end.
        asked = error.retry_after * (1 + self.jitter * rng.random())
        return max(asked, pause) if asked <= left else None
