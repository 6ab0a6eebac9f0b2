"""What the simulation assumes, each with its source, and what a task draws from it.

A task has a chance of being solved by one fresh attempt of each model, and the two chances are
related: hard tasks are hard for both. Chance = Phi(a + s*u), with u normal, one for each model,
correlated. ``a`` is set so that the mean over tasks is the published rate. ``s``, how much tasks
differ, decides what a second attempt is worth, and is set by two published pairs that agree:

- 64.6% and 66.6% of SWE-bench Verified by two policies on one model, 74.6% by either of them
  (Polydev, 2026-01): s = 2.1
- 80.4% of Terminal-Bench 2.1 by one try, 92% by one of five (Terminus 2 leaderboard file, 2026-07):
  s = 2.2
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from statistics import NormalDist

from agentkit.escalation import Target, Work
from agentkit.ladder import Ladder, Rung
from agentkit.models.catalogue import Catalogue

NORMAL = NormalDist()
OFF_PEAK = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""Prices of this hour; at peak hours every figure in dollars doubles."""
RUNGS: tuple[Rung, ...] = Ladder.preset("flash-pro").rungs
FLASH, FLASH_MAX, PRO, PRO_MAX = range(4)


@dataclass(frozen=True, slots=True)
class World:
    """All assumptions. Those of the second half are ours: no published figure was found."""

    flash: float = 0.906
    """V4.1-Flash, Terminal-Bench 2.1, effort max (vendor, 2026-09)."""
    pro: float = 0.879
    """V4-Pro-0813, the same benchmark and effort (vendor, 2026-08)."""
    flash_effort: float = 0.003
    """What max adds to high: 56.6 to 56.9 on Terminal-Bench 2.0 (model card, 2026-04)."""
    pro_effort: float = 0.046
    """63.3 to 67.9, the same table."""
    spread: float = 2.15
    """How much tasks differ, see above."""
    added: int = 2_100
    """Tokens a turn adds: 29.2M missed in 13,978 calls of a coding agent (bswen.com, 2026-06)."""
    at: datetime = OFF_PEAK

    correlation: float = 0.8
    """Of the two models' chances. Varied."""
    output: int = 900
    """Tokens a turn writes at effort high. Varied."""
    length: int = 25
    """Median turns until work is first thought done. (33-50 were seen for a one-field edit.)"""
    cycle: int = 6
    """Turns from a failed check to its next run, on a lane that knows the history."""
    head_start: float = 0.6
    """How much of the length a fresh lane needs that gets a packet."""
    stumbles: float = 0.35
    """Attempts that will succeed and yet fail their check once on the way."""
    noise: float = 0.10
    """Attempts that will succeed and yet show other evidence (false positives). Varied."""
    silent: float = 0.05
    """Failures that no check and no other evidence shows (false negatives). Varied."""
    wanders: float = 0.3
    """Of the failing attempts: those that stand still instead of failing their check."""
    same_way: float = 0.6
    """Failed checks that fail as they did before."""
    repair: float = 0.25
    """Chance that a lane mends its own failure in its next cycle, times the task's own chance."""
    fade: float = 0.5
    """What is left of it after each cycle in vain: who is stuck stays stuck."""
    note: float = 0.05
    """What a note adds to that chance."""
    advice: float = 0.15
    """Chance that advice mends it, times the adviser's chance at the task. Varied.

    Polydev's consulting runs solve 66.6% against 64.6% without (p = 0.29): the gain of advice as
    such cannot be told from nothing there; of a second try it can.
    """
    plan: float = 0.20
    """The same for a new plan."""
    moved: float = 0.9
    """A moved history carries its wrong turns along: factor of the stronger model's chance."""
    patience: int = 6
    """Failures on one lane without a reaction, after which the loop ends."""
    max_turns: int = 250

    def targets(self) -> tuple[Target, ...]:
        """The rungs at this hour's prices."""
        catalogue = _catalogue()
        return tuple(Target.of(rung, catalogue, self.at) for rung in RUNGS)

    def work(self) -> Work:
        """What the run time would expect of further turns, from its own history."""
        return Work(self.cycle, self.added, self.output)

    def rates(self) -> tuple[float, float, float, float]:
        """Share of tasks that one fresh attempt solves, per rung."""
        return self.flash - self.flash_effort, self.flash, self.pro - self.pro_effort, self.pro


@cache
def _catalogue() -> Catalogue:
    return Catalogue.load()


@dataclass(frozen=True, slots=True)
class Task:
    """One task: everything random about it is fixed by its seed, whoever works on it."""

    seed: int
    chances: tuple[float, ...]
    """Per rung, of one fresh attempt."""
    length: int

    def luck(self, *what: int) -> random.Random:
        """Random numbers of one thing, the same for every strategy that does it."""
        key = self.seed
        for each in what:
            key = key * 1_000_003 + each + 1
        return random.Random(key)


def task(world: World, number: int, seed: int = 20261124) -> Task:
    """Draw a task."""
    rng = random.Random(seed * 1_000_003 + number)
    common, own = rng.gauss(0, 1), rng.gauss(0, 1)
    rho = world.correlation
    latent = (common, rho * common + (1 - rho * rho) ** 0.5 * own)
    scale = (1 + world.spread**2) ** 0.5
    chances = tuple(
        NORMAL.cdf(scale * NORMAL.inv_cdf(rate) + world.spread * latent[rung >= PRO])
        for rung, rate in enumerate(world.rates())
    )
    length = max(5, min(100, round(world.length * rng.lognormvariate(0, 0.5))))
    return Task(seed * 7_919 + number, chances, length)


TODAY = World()
"""Today's vendor figures on Terminal-Bench 2.1."""
HARD = replace(TODAY, flash=0.742, pro=0.627)
"""Today's vendor figures on DeepSWE: harder, and Flash further ahead."""
SPRING = replace(TODAY, flash=0.569, pro=0.679)
"""The previews of April on Terminal-Bench 2.0: Pro is the stronger model, as ladders presume."""
WORLDS = {"TB 2.1 today": TODAY, "DeepSWE today": HARD, "TB 2.0 preview": SPRING}


def tasks_differ(rate: float, *, tries: int, spread: float = TODAY.spread) -> tuple[float, float]:
    """Share of tasks that one try solves, and that one of so many tries solves."""
    points = [NORMAL.inv_cdf((number + 0.5) / 2_000) for number in range(2_000)]
    middle = (1 + spread**2) ** 0.5 * NORMAL.inv_cdf(rate)
    chances = [NORMAL.cdf(middle + spread * point) for point in points]
    one = sum(chances) / len(chances)
    return one, sum(1 - (1 - chance) ** tries for chance in chances) / len(chances)
