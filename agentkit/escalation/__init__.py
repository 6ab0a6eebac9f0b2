"""When to climb, in which form, and what that costs: pure functions without I/O or a clock.

``prices`` computes what each form of escalation would cost from token counts and a price list;
``policy`` chooses one from evidence, caps, the money left and those prices. The run time gathers
the inputs and carries the decision out; ``benchmarks/ladder`` drives the very same code.
"""

from __future__ import annotations

from agentkit.escalation.policy import (
    Caps,
    Decision,
    Evidence,
    EvidenceKind,
    Offer,
    Policy,
    Reaction,
    Situation,
    Thresholds,
    decide,
    step_down,
)
from agentkit.escalation.prices import Form, LaneSize, Prices, Quote, Sizes, Target, Work

__all__ = [
    "Caps",
    "Decision",
    "Evidence",
    "EvidenceKind",
    "Form",
    "LaneSize",
    "Offer",
    "Policy",
    "Prices",
    "Quote",
    "Reaction",
    "Situation",
    "Sizes",
    "Target",
    "Thresholds",
    "Work",
    "decide",
    "step_down",
]
