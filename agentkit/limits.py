"""Hard limits over a whole session, and the account of what was spent."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import anyio

from agentkit.errors import LimitReached, UsageError
from agentkit.models.types import Usage


@dataclass(frozen=True, slots=True)
class Limits:
    """What a session may use, over all its runs, lanes and subagents. None means no limit.

    The defaults are generous: they stop a run-away, not a hard task.
    """

    cost_usd: float | None = 5.0
    """US dollars, checked before each request with that request's own worst case. What its lane
    has sent before counts at the price of a cache hit: where the provider has dropped it after a
    long pause, one request may cost more, and pass the limit by that."""
    turns: int | None = 500
    """Requests to a model that were answered."""
    tokens: int | None = None
    """Input and output tokens of all requests together, checked before each request with that
    request's own worst case."""
    deadline: float | None = None
    """Seconds of wall clock that its runs may take together; waiting for a person is free."""

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


LEVELS = (0.8, 0.95)
"""Shares of a limit at which ``limit.near`` is told, each once per limit on each lane."""


class Spent(Protocol):
    """What a session has used so far; ``agentkit.state.State`` is one."""

    @property
    def cost_usd(self) -> float: ...
    @property
    def turns(self) -> int: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def seconds(self) -> float: ...


@dataclass(slots=True)
class Budget:
    """Limits beside what has been used of them.

    It counts over a session's whole life: a resumed session carries on with what was spent.
    """

    limits: Limits
    spent: Spent
    clock: Callable[[], float] = time.monotonic
    reserved: float = 0.0
    """US dollars that requests under way may still cost."""
    reserved_tokens: int = 0
    """Tokens that they may still take."""
    _started: float | None = None
    _waited: float = 0.0
    """Seconds of this run in which it waited for a person."""
    _pauses: int = 0
    _paused_at: float = 0.0
    _scope: anyio.CancelScope | None = None
    _warned: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def start(self) -> None:
        """Start the wall clock of a run."""
        self._started, self._waited = self.clock(), 0.0

    def stop(self) -> float:
        """Stop the wall clock and return the run's seconds; time between runs is free."""
        seconds = self._running
        self._started = None
        return seconds

    @contextmanager
    def deadline(self) -> Generator[anyio.CancelScope]:
        """Cancel what runs inside once the time is used up."""
        with anyio.move_on_after(self.seconds_left) as scope:
            self._scope = scope
            try:
                yield scope
            finally:
                self._scope = None

    @contextmanager
    def paused(self) -> Generator[None]:
        """Around the wait for a person: that time is nobody's fault, so no clock runs."""
        if self._pauses == 0:
            self._paused_at = self.clock()
        self._pauses += 1
        self._set_deadline()
        try:
            yield
        finally:
            self._pauses -= 1
            if self._pauses == 0:
                self._waited += self.clock() - self._paused_at
            self._set_deadline()

    def _set_deadline(self) -> None:
        if self._scope is not None:
            left = math.inf if self._pauses else self.seconds_left
            self._scope.deadline = math.inf if left is None else anyio.current_time() + left

    @property
    def _running(self) -> float:
        """Seconds that this run has worked."""
        if self._started is None:
            return 0.0
        return (self._paused_at if self._pauses else self.clock()) - self._started - self._waited

    @property
    def elapsed(self) -> float:
        """Seconds of wall clock used so far."""
        return self.spent.seconds + self._running

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline, None without one."""
        deadline = self.limits.deadline
        return None if deadline is None else deadline - self.elapsed

    @property
    def usd_left(self) -> float | None:
        """US dollars that nothing under way may take any more, None without a limit."""
        allowed = self.limits.cost_usd
        return None if allowed is None else allowed - self.spent.cost_usd - self.reserved

    @property
    def tokens_left(self) -> int | None:
        """The same in tokens, input and output."""
        allowed = self.limits.tokens
        return None if allowed is None else allowed - self._tokens - self.reserved_tokens

    def check(self) -> None:
        """Stop before a request where a limit is reached.

        Raises:
            LimitReached: which one, how much was used, how to go on.
        """
        for name, used, allowed in self._rows():
            if used >= allowed:
                raise LimitReached(name, used, allowed, hint=_HINT[name])

    def too_little(self, name: Literal["money", "tokens"]) -> LimitReached:
        """The error that ends a run whose next request's worst case does not fit any more."""
        used, allowed = next((used, allowed) for row, used, allowed in self._rows() if row == name)
        hint = f"The next request may not fit into what is left. {_HINT[name]}"
        return LimitReached(name, round(used, 6), allowed, hint=hint)

    @contextmanager
    def reserve(self, usd: float, tokens: int) -> Generator[None]:
        """Around a request: what others may take is less by its worst case."""
        self.reserved += usd
        self.reserved_tokens += tokens
        try:
            yield
        finally:
            self.reserved -= usd
            self.reserved_tokens -= tokens

    def near(self, lane: str) -> list[tuple[str, float, float]]:
        """Limits that reached another of ``LEVELS`` since that lane asked: (name, used, allowed).

        Each lane is told for itself: a fresh one does not know what another was told.
        """
        fresh: list[tuple[str, float, float]] = []
        for name, used, allowed in self._rows():
            level = sum(used >= share * allowed for share in LEVELS)
            if level > self._warned.get((lane, name), 0):
                self._warned[lane, name] = level
                fresh.append((name, used, allowed))
        return fresh

    def told_left(self) -> str:
        """The time and the money that are left, for a reader; "" where neither is limited."""
        parts: list[str] = []
        if self.seconds_left is not None:
            parts.append(f"{max(0.0, self.seconds_left):.0f} s")
        if self.limits.cost_usd is not None:
            parts.append(f"${max(0.0, self.limits.cost_usd - self.spent.cost_usd):.4g}")
        return " and ".join(parts)

    @property
    def _tokens(self) -> int:
        return self.spent.usage.prompt_tokens + self.spent.usage.completion_tokens

    def _rows(self) -> list[tuple[str, float, float]]:
        limits = self.limits
        rows = [
            ("money", self.spent.cost_usd, limits.cost_usd),
            ("turns", self.spent.turns, limits.turns),
            ("tokens", self._tokens, limits.tokens),
            ("deadline", self.elapsed, limits.deadline),
        ]
        return [(name, used, allowed) for name, used, allowed in rows if allowed is not None]


_HINT = {
    "money": "Resume with a larger --max-cost",
    "turns": "Resume with a larger --max-turns",
    "tokens": "Resume with a larger --max-tokens",
    "deadline": "Resume with a larger --deadline",
}
