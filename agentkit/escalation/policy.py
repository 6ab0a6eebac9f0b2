"""Which form of escalation evidence justifies, at these prices and within these caps.

The rule, in the order in which it is applied:

1. *Evidence.* The weights of everything since the last real progress add up to a score. Each
   form has a score below which it is not considered: a note needs least, a move most.
2. *Calm.* After a reaction nothing happens for ``cool_down`` turns, and then only if something
   new went wrong since.
3. *Caps.* A form may be used so often in a task, a rung be entered so often, and all reactions
   together may cost no more than a share of the money left.
4. *Price.* Of what remains, the form with the least **price per chance of rescue** is taken.
   For a row of independent tries until one succeeds, trying in the order of price ÷ chance has
   the least expected cost of all orders.

The chances, thresholds and caps are defaults found by ``benchmarks/ladder``; how is told in
``docs/escalation.md``. Pure: no I/O, no clock, equal input gives an equal decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from agentkit.errors import UsageError
from agentkit.escalation.prices import (
    FORMS,
    Form,
    LaneSize,
    Prices,
    Quote,
    Sizes,
    Target,
    Work,
    cost,
    turns_usage,
)
from agentkit.events import EvidenceKind

WEIGHTS: Mapping[EvidenceKind, float] = {
    "check-failed": 1.0,
    "check-failed-again": 1.5,
    "check-cannot-run": 0.5,
    "call-repeated": 0.5,
    "calls-invalid": 1.0,
    "edit-not-applied": 0.5,
    "patch-reverted": 1.0,
    "no-progress": 1.0,
    "help-asked": 2.0,
    "output-cut": 0.5,
    "answer-empty": 1.0,
    "limit-near": 0.0,
}
"""How much one piece of each kind says that the work as it goes will not succeed."""

SUITS: Mapping[EvidenceKind, Mapping[Form, float]] = {
    "check-cannot-run": {"retry": 0, "consult": 0.5, "re-plan": 0, "hand-off": 0, "move": 0},
    "calls-invalid": {"consult": 0.3, "re-plan": 0.3},
    "edit-not-applied": {"re-plan": 0.5},
    "output-cut": {"consult": 0.3, "re-plan": 0.5},
    "answer-empty": {"consult": 0.1, "re-plan": 0.1},
    "no-progress": {"re-plan": 1.5},
    "help-asked": {"consult": 1.5, "note": 0.5},
    "patch-reverted": {"note": 0.5},
}
"""Where a kind of evidence makes a form more or less promising than its usual chance.

Advice does not help a model that cannot write a valid call; a command that is missing is missing
for every model.
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that went wrong, as the run time saw it."""

    kind: EvidenceKind
    turn: int
    """The session's turn at which it was seen."""
    weight: float | None = None
    """None: the kind's own."""
    sources: tuple[int, ...] = ()
    """``seq`` of the events that show it."""

    @property
    def counts(self) -> float:
        return WEIGHTS[self.kind] if self.weight is None else self.weight


@dataclass(frozen=True, slots=True)
class Reaction:
    """What was done about evidence before, in the same task."""

    form: Form
    rung: int
    turn: int
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least score at which a form is considered."""

    note: float = 1.0
    retry: float = 3.0
    consult: float = 2.0
    replan: float = 3.0
    handoff: float = 3.0
    move: float = 3.0
    stop: float = 4.0
    """Nothing is left to try and the score is this high: the work should end honestly."""

    def of(self, form: Form) -> float:
        """The threshold of a form."""
        return getattr(self, form.replace("-", ""))


@dataclass(frozen=True, slots=True)
class Caps:
    """How often, per task."""

    note: int = 3
    retry: int = 2
    consult: int = 1
    replan: int = 1
    handoff: int = 2
    move: int = 1
    per_rung: int = 2
    """Lanes opened on one rung; a consultation opens none."""
    total: int = 5
    """Reactions in all, notes not counted."""

    def of(self, form: Form) -> int:
        """The cap of a form."""
        return getattr(self, form.replace("-", ""))


def _chances() -> dict[Form, float]:
    return {
        "note": 0.02,
        "retry": 0.30,
        "consult": 0.05,
        "re-plan": 0.06,
        "hand-off": 0.35,
        "move": 0.30,
    }


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that may be set; part of a ladder."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    caps: Caps = field(default_factory=Caps)
    cool_down: int = 2
    """Turns after a reaction in which there is no other."""
    share: float = 0.5
    """The most of the money left that one reaction, with its turns, may cost; 0 to 1."""
    chances: Mapping[Form, float] = field(default_factory=_chances)
    """How often a form rescues work that would fail, on another model than the present one."""
    same_model: float = 0.9
    """Factor of the chance where the target is the same model with another effort."""
    same_adviser: float = 0.5
    """The same for advice and plans, which were found to help where they came from others."""
    again: float = 0.7
    """Factor of the chance for each time that the same was tried with that model before."""
    sizes: Sizes = field(default_factory=Sizes)
    forms: frozenset[Form] = frozenset(FORMS)
    """Forms that may be used at all."""

    def __post_init__(self) -> None:
        strange = sorted({*self.chances, *self.forms} - set(FORMS))
        if strange:
            hint = f"The forms are {', '.join(FORMS)}"
            raise UsageError(f"there is no form of escalation named {strange[0]!r}", hint=hint)
        shares = {
            name: getattr(self, name) for name in ("share", "same_model", "same_adviser", "again")
        }
        for name, value in {
            **shares,
            **{f"chances.{k}": v for k, v in self.chances.items()},
        }.items():
            if not 0 <= value <= 1:
                raise UsageError(f"the policy's {name} must be from 0 to 1, not {value!r}")
        if self.cool_down < 0:
            raise UsageError(
                f"the policy's cool_down must be 0 turns or more, not {self.cool_down}"
            )


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when the question comes up."""

    turn: int
    rung: int
    """Index of the rung on which work goes on."""
    targets: tuple[Target, ...]
    """All rungs of the ladder at this hour's prices, from the cheapest to the strongest."""
    lane: LaneSize
    evidence: tuple[Evidence, ...] = ()
    """Since the last real progress."""
    reactions: tuple[Reaction, ...] = ()
    """In this task, in their order."""
    work: Work = field(default_factory=Work)
    left_usd: float | None = None
    left_turns: int | None = None
    worse: bool = False
    """Fewer checks pass now than at the best checkpoint."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A form that was considered."""

    quote: Quote
    rung_name: str
    chance: float
    """Of rescuing the work, 0 to 1."""
    refused: str = ""
    """Why it was not open to choice; "" where it was."""

    @property
    def name(self) -> str:
        """For instance ``consult deepseek-v4-pro·high``."""
        return f"{self.quote.form} {self.rung_name}"

    @property
    def rank(self) -> tuple[float, int, int]:
        """US dollars per rescue, then the gentler form, then the lower rung."""
        per_rescue = self.quote.total / self.chance if self.chance > 0 else float("inf")
        return per_rescue, FORMS.index(self.quote.form), self.quote.rung


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why."""

    action: Form | Literal["none", "stop"]
    """``none``: go on as before. ``stop``: nothing is left to try; end honestly."""
    rung: int
    """Index of the rung on which the form asks; the present one for ``none`` and ``stop``."""
    reason: str
    score: float = 0.0
    offers: tuple[Offer, ...] = ()
    """Everything that was considered, the best first; empty where evidence was too weak."""
    rollback: bool = False
    """Start from the best checkpoint, with the failed attempt's diff as reading matter."""

    @property
    def chosen(self) -> Offer | None:
        """The offer that was taken."""
        return next((each for each in self.offers if self._took(each)), None)

    @property
    def prices(self) -> dict[str, float]:
        """US dollars of each form that was considered, for the log."""
        return {each.name: round(each.quote.total, 6) for each in self.offers}

    def _took(self, offer: Offer) -> bool:
        return (offer.quote.form, offer.quote.rung) == (self.action, self.rung)


def decide(situation: Situation, policy: Policy) -> Decision:
    """Choose a form, or none."""
    score = sum(each.counts for each in situation.evidence)
    calm = _calm(situation, policy, score)
    if calm:
        return Decision("none", situation.rung, calm, score)
    offers = sorted(_offers(situation, policy, score), key=_open_first)
    best = offers[0] if offers and not offers[0].refused else None
    if best is None:
        action = "stop" if score >= policy.thresholds.stop else "none"
        why = "nothing is left to try" if action == "stop" else "nothing is open at this score"
        return Decision(action, situation.rung, f"{_told(situation)}: {why}", score, tuple(offers))
    lanes = ("retry", "hand-off", "re-plan")
    return Decision(
        best.quote.form,
        best.quote.rung,
        _reason(situation, best, offers),
        score,
        tuple(offers),
        rollback=situation.worse and best.quote.form in lanes,
    )


def _open_first(offer: Offer) -> tuple[bool, float, int, int]:
    return bool(offer.refused), *offer.rank


def _calm(situation: Situation, policy: Policy, score: float) -> str:
    """Why nothing should be done now; "" where something should be considered."""
    if score < policy.thresholds.note:
        return f"too little evidence ({score:g})"
    last = situation.reactions[-1] if situation.reactions else None
    if last is None:
        return ""
    since = situation.turn - last.turn
    if since < policy.cool_down:
        return f"{last.form} was {since} turns ago, too early to judge it"
    if not any(each.turn > last.turn and each.counts for each in situation.evidence):
        return f"nothing went wrong since the {last.form}"
    return ""


def _offers(situation: Situation, policy: Policy, score: float) -> Iterator[Offer]:
    here = situation.rung
    prices = Prices(situation.lane, situation.targets[here], situation.work, policy.sizes)
    for form in FORMS:
        if form not in policy.forms:
            continue
        for rung in _rungs(form, here, len(situation.targets)):
            target = situation.targets[rung]
            quote = prices.quote(form, target, rung)
            chance = _chance(situation, policy, form, rung)
            refused = _refusal(situation, policy, quote, score) or ("" if chance > 0 else _UNFIT)
            yield Offer(quote, target.name, chance, refused)


def _rungs(form: Form, here: int, count: int) -> range:
    if form in ("note", "retry"):
        return range(here, here + 1)
    if form == "re-plan" and here == count - 1:
        return range(here, count)
    return range(here + 1, count)


def _chance(situation: Situation, policy: Policy, form: Form, rung: int) -> float:
    chance = policy.chances.get(form, 0.0) * _fit(situation, form)
    targets = situation.targets
    same = targets[rung].model == targets[situation.rung].model
    if same and form not in ("note", "retry"):
        chance *= policy.same_model if _starts(form) else policy.same_adviser
    return min(0.95, chance * policy.again ** _tried(situation, form, targets[rung].model))


def _tried(situation: Situation, form: Form, model: str) -> int:
    """How often the same was tried with that model in vain: fresh starts are alike in this."""
    return sum(
        situation.targets[each.rung].model == model
        and (each.form == form or (_starts(each.form) and _starts(form)))
        for each in situation.reactions
        if each.rung < len(situation.targets)
    )


def _fit(situation: Situation, form: Form) -> float:
    """How well a form suits the evidence: the mean over it, by weight; a single 0 is a veto."""
    weighed = [(each.counts, SUITS.get(each.kind, {})) for each in situation.evidence]
    if any(suits.get(form) == 0 for _, suits in weighed):
        return 0.0
    total = sum(weight for weight, _ in weighed)
    fit = sum(weight * suits.get(form, 1.0) for weight, suits in weighed)
    return fit / total if total else 1.0


_UNFIT = "does not suit the evidence"


def _refusal(situation: Situation, policy: Policy, quote: Quote, score: float) -> str:
    form, rung = quote.form, quote.rung
    used = [each for each in situation.reactions if each.form == form]
    on_rung = [each for each in situation.reactions if each.rung == rung and _opens(each.form)]
    paid = [each for each in situation.reactions if each.form != "note"]
    left, turns = situation.left_usd, situation.left_turns
    reasons = (
        (situation.targets[rung].closed, bool(situation.targets[rung].closed)),
        ("the rung is not entered so", not _admits(situation, form, rung)),
        (f"needs a score of {policy.thresholds.of(form):g}", score < policy.thresholds.of(form)),
        ("said already", form == "note" and _noted(situation)),
        (f"used {len(used)} times", len(used) >= policy.caps.of(form)),
        (
            f"rung entered {len(on_rung)} times",
            _opens(form) and len(on_rung) >= policy.caps.per_rung,
        ),
        (f"{len(paid)} reactions in this task", form != "note" and len(paid) >= policy.caps.total),
        (
            "too dear for the money left",
            left is not None and form != "note" and quote.total > left * policy.share,
        ),
        ("too few turns left", turns is not None and form != "note" and quote.turns > turns),
    )
    return next((text for text, holds in reasons if holds), "")


def _admits(situation: Situation, form: Form, rung: int) -> bool:
    """Whether the ladder lets that rung be entered in that form; staying is no entry."""
    forms = situation.targets[rung].forms
    return rung == situation.rung or not forms or form in forms


def _noted(situation: Situation) -> bool:
    """Whether the last reaction was a note, about what still stands: words help once."""
    last = situation.reactions[-1] if situation.reactions else None
    if last is None or last.form != "note":
        return False
    return any(each.turn <= last.turn for each in situation.evidence)


def _opens(form: Form) -> bool:
    return form in ("retry", "hand-off", "move", "re-plan")


def _starts(form: Form) -> bool:
    """Whether another attempt at the work itself begins there."""
    return form in ("retry", "hand-off", "move")


def _told(situation: Situation) -> str:
    """The evidence in a few words: ``check-failed ×2, call-repeated``."""
    counts: dict[str, int] = {}
    for each in situation.evidence:
        counts[each.kind] = counts.get(each.kind, 0) + 1
    return ", ".join(f"{kind} ×{n}" if n > 1 else kind for kind, n in counts.items())


def _reason(situation: Situation, best: Offer, offers: list[Offer]) -> str:
    others = [each for each in offers if each is not best and not each.refused]
    text = f"{_told(situation)}: {best.name} at ${best.quote.total:.4f}"
    if others:
        other = others[0]
        text += f", {best.chance:.0%} to help, before {other.name} at ${other.quote.total:.4f}"
    return text


@dataclass(frozen=True, slots=True)
class StepDown:
    """Going back to the cheap lane against staying, for the same further turns."""

    back: bool
    back_usd: float
    stay_usd: float


def step_down(
    cheap: LaneSize, below: Target, strong: LaneSize, above: Target, work: Work, sizes: Sizes
) -> StepDown:
    """Whether work should go back down now that the check that caused the climb passes.

    Args:
        cheap: the lane that was left; ``cached`` of it is still warm, or 0 if it went cold.
        below: its rung.
        strong: the lane on which the check was made to pass.
        above: its rung.
        work: the turns that are expected until the task is done, as they are on the cheap lane.
    """
    grown = replace(cheap, tokens=cheap.tokens + sizes.report)
    back = cost(below.price, turns_usage(grown, work))
    wordier = replace(work, output=round(work.output * above.words / below.words))
    stay = cost(above.price, turns_usage(strong, wordier))
    return StepDown(back <= stay, back, stay)
