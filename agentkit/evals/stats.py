"""Statistics of attempts: all plain functions of numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Attempt = tuple[str, int]
"""A task, and which attempt at it."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean and its standard error; ``error`` is nan for fewer than two values."""

    value: float
    error: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        spread = "" if math.isnan(self.error) else f" ± {100 * self.error:.1f}"
        return f"{100 * self.value:.1f}%{spread}"


def mean(values: Sequence[float]) -> Mean:
    """Mean and standard error of independent values; nan without any."""
    count = len(values)
    if not count:
        return Mean(math.nan, math.nan)
    middle = sum(values) / count
    if count < 2:
        return Mean(middle, math.nan)
    variance = sum((value - middle) ** 2 for value in values) / (count - 1)
    return Mean(middle, math.sqrt(variance / count))


def mean_of_tasks(scores: Mapping[str, Sequence[float]]) -> Mean:
    """Mean over tasks of the mean over attempts.

    The standard error is over tasks (attempts at one task are not independent of each other), so
    it says how far another task set of the same kind may lie away.
    """
    return mean([sum(each) / len(each) for each in scores.values() if each])


def pass_at(k: int, attempts: Mapping[str, Sequence[bool]]) -> float:
    """The chance that at least one of ``k`` attempts passes, without bias: 1 - C(n-c,k)/C(n,k).

    Raises:
        ValueError: a task has fewer than ``k`` attempts.
    """
    chances: list[float] = []
    for task, passed in attempts.items():
        n, c = len(passed), sum(passed)
        if n < k:
            raise ValueError(f"{task} has {n} attempts, fewer than {k}")
        chances.append(1 - math.comb(n - c, k) / math.comb(n, k))
    return sum(chances) / len(chances) if chances else math.nan


def ks(attempts: int) -> list[int]:
    """For which k ``pass_at`` is reported: powers of two, and multiples of five."""
    powers = {1 << power for power in range(1, 10)}
    return sorted(k for k in powers | set(range(5, 101, 5)) if k <= attempts)


@dataclass(frozen=True, slots=True)
class Paired:
    """Two contestants on the same tasks, compared by McNemar's exact test."""

    first: int
    """Tasks that only the first one passed; of several attempts, that it passed more often."""
    second: int
    alike: int

    @property
    def p_value(self) -> float:
        """Two-sided exact binomial test on the tasks in which they differ; 1 without any."""
        n = self.first + self.second
        if not n:
            return 1.0
        fewer = min(self.first, self.second)
        tail = sum(math.comb(n, i) for i in range(fewer + 1)) / 2**n
        return min(1.0, 2 * tail)


def paired(first: Mapping[Attempt, bool], second: Mapping[Attempt, bool]) -> Paired:
    """Compare what both have tried (same task and attempt), one pair per task.

    Attempts at one task are not independent of each other: each as a pair of its own would make
    the test more certain than it may be.
    """
    leads: Counter[str] = Counter()
    for task, attempt in first.keys() & second.keys():
        leads[task] += first[task, attempt] - second[task, attempt]
    return Paired(
        first=sum(lead > 0 for lead in leads.values()),
        second=sum(lead < 0 for lead in leads.values()),
        alike=sum(lead == 0 for lead in leads.values()),
    )


def noise_floor(attempts: Mapping[str, Sequence[bool]]) -> float:
    """The standard deviation of the pass rate from one run of all tasks to the next.

    From repeated attempts: a difference between two contestants that is smaller than twice this
    may be nothing but luck. nan where no task has two attempts.
    """
    repeated = [each for each in attempts.values() if len(each) > 1]
    if not repeated:
        return math.nan
    # Unbiased variance of a single attempt, per task; one run has one attempt at each task.
    variances = [
        (rate := sum(each) / len(each)) * (1 - rate) * len(each) / (len(each) - 1)
        for each in repeated
    ]
    scale = len(attempts) / len(repeated)  # tasks without repeats are taken to be like the others
    return math.sqrt(sum(variances) * scale) / len(attempts)
