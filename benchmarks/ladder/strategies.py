"""The contenders. Each but the first four is the shipped policy with some of its forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agentkit.escalation import Caps, Form, Policy, Thresholds
from benchmarks.ladder.simulate import Strategy
from benchmarks.ladder.world import FLASH, FLASH_MAX, PRO, PRO_MAX


def only(name: str, *forms: Form, rungs: tuple[int, ...] = (0, 1, 2, 3), **more: Any) -> Strategy:
    """The default policy with only these forms, and notes."""
    policy = replace(Policy(), forms=frozenset(("note", *forms)))
    return Strategy(name, replace(policy, **more), rungs=rungs)


NAIVE = Policy(
    forms=frozenset({"move"}),
    thresholds=Thresholds(note=1.0, move=1.0, stop=99),
    cool_down=0,
    share=1.0,
)
"""What was tried elsewhere: the first failure moves the whole session to the strong model."""

CONTENDERS = (
    Strategy("flash·high only", start=FLASH),
    Strategy("flash·max only", start=FLASH_MAX),
    Strategy("pro·high only", start=PRO),
    Strategy("pro·max only", start=PRO_MAX),
    only("retry only", "retry", caps=Caps(retry=3, per_rung=3), rungs=(FLASH,)),
    Strategy("naive switch", NAIVE, rungs=(FLASH, PRO)),
    only("consult pro only", "consult", rungs=(FLASH, PRO)),
    only("hand-off pro only", "hand-off", rungs=(FLASH, PRO)),
    Strategy("ladder flash", Policy(), rungs=(FLASH, FLASH_MAX)),
    Strategy("ladder flash-pro", Policy()),
)
