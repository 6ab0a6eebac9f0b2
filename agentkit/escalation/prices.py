"""What each form of escalation costs, from token counts and a price list.

Every form is priced up to the moment at which one knows whether it helped: the check runs again.
What differs is what is read cold first, on which rung how many turns run, and what coming back
costs:

=========  ================================  ======================  =========================
form       entry                             turns                   coming back
=========  ================================  ======================  =========================
note       a note, appended                  here, warm              nothing
retry      packet on a fresh lane here       here, short lane        nothing: it goes on there
consult    question and answer, elsewhere    here, warm              the advice, appended
re-plan    packet and reading, elsewhere     here, warm              the plan, appended
hand-off   packet on a fresh lane there      there, short lane       a report, and turns here
move       the whole history, cold, there    there, long lane        nothing: it stays there
=========  ================================  ======================  =========================

Cache rules (api-docs kv_cache guide, read 2026-11): a cache belongs to one model, and the effort
is part of the prompt's first tokens, so another rung never shares this rung's cache; within a
lane everything that was sent before hits. What the model wrote last is counted as a miss once:
it is re-rendered, and the unit at the end of an output then often misses (deepseek.md §4.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, get_args

from agentkit.ladder import Rung
from agentkit.models.catalogue import Catalogue, Price
from agentkit.models.types import Usage

Form = Literal["note", "retry", "consult", "re-plan", "hand-off", "move"]
FORMS: tuple[Form, ...] = get_args(Form)
"""From the least to the most intrusive, which also breaks ties."""

WORDS: Mapping[str, float] = {"non-thinking": 0.4, "low": 0.6, "high": 1.0, "max": 2.2}
"""How much a model writes at an effort, against ``high``.

V4.1-Flash: "efforts 60-80 recover most of it at under half the tokens" of 100 (vendor, 2026-09;
``high`` is 75 and ``max`` 100); the others are our estimates.
"""


@dataclass(frozen=True, slots=True)
class LaneSize:
    """The next request of a lane, in tokens."""

    tokens: int
    """All of it: head, history, what was appended since the last answer."""
    cached: int = 0
    """Of these, what the provider has read before and will bill as hits."""
    head: int = 0
    """Of these, system prompt and tools: what a fresh lane on the same rung starts with."""


@dataclass(frozen=True, slots=True)
class Work:
    """Turns that are expected, and how long they are, in tokens."""

    turns: int = 8
    """Until the check runs again, on a lane that knows the history."""
    added: int = 1_800
    """What one turn adds besides the model's own words: results of calls."""
    output: int = 700
    """What the model writes in one turn, reasoning included."""

    def of(self, turns: int) -> Work:
        """The same for another number of turns."""
        return replace(self, turns=turns)

    @classmethod
    def seen(cls, turns: int, lane_tokens: int, output_tokens: int, *, ahead: int = 8) -> Work:
        """What a lane's own turns say of those to come.

        Args:
            turns: answered requests of the lane.
            lane_tokens: how much its history grew over them, its own words included.
            output_tokens: what the model wrote in them.
            ahead: how many further turns to expect.
        """
        if turns < 3:  # too few to say anything
            return cls(turns=ahead)
        written = output_tokens // turns
        return cls(ahead, max(0, lane_tokens // turns - written), written)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the forms need, in tokens and turns; found as ``docs/escalation.md`` says."""

    note: int = 150
    question: int = 4_000
    """A consultation's packet: task, step, evidence, diff, excerpts, question."""
    answer: int = 2_500
    """What the adviser writes, reasoning included."""
    advice: int = 600
    """Of this, the words that come back."""
    packet: int = 8_000
    """A hand-off's packet: task, plan, what was tried, evidence, diff, pointers."""
    fresh_turns: int = 15
    """Turns on a fresh lane until the check passes, its own reading included."""
    report: int = 600
    """What comes back from a hand-off."""
    finish_turns: int = 2
    """Turns on the cheap lane after it."""
    plan_turns: int = 4
    """Turns of a planner that reads before it writes."""
    plan: int = 1_200
    """What comes back from it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A rung as a place to go, at this hour's price."""

    name: str
    model: str
    price: Price | None
    """None: the catalogue has no price, so nothing can be computed (0.0 is shown)."""
    head: int = 3_000
    """Tokens of system prompt and tools of a fresh lane there."""
    warm: int = 0
    """Of such a lane's first request, what an earlier lane there left in the cache."""
    words: float = 1.0
    """How much is written there in one turn, against effort ``high``."""
    closed: str = ""
    """Why it cannot be used: no key, served by the same model as this one, …"""
    forms: tuple[str, ...] = ()
    """The only forms in which its ladder lets it be entered; empty is any."""

    @classmethod
    def of(
        cls,
        rung: Rung,
        catalogue: Catalogue,
        at: datetime,
        *,
        prompt_tokens: int = 0,
        head: int = 3_000,
        warm: int = 0,
        closed: str = "",
    ) -> Target:
        """A rung with its price at a moment."""
        price = catalogue.price(rung.model, at, prompt_tokens)
        words = WORDS[rung.effort if rung.thinking else "non-thinking"]
        return cls(rung.name, rung.model, price, head, warm, words, closed, rung.forms)


@dataclass(frozen=True, slots=True)
class Quote:
    """What a form costs, in US dollars, until one knows whether it helped."""

    form: Form
    rung: int
    """Index of the rung on which the form asks."""
    entry: float
    """Until the first answer of use: cold reads, a question and its answer."""
    work: float
    """The further turns."""
    back: float = 0.0
    """Coming back, with the turns that finish the work here."""
    turns: int = 0
    """Requests in all."""
    priced: bool = True

    @property
    def total(self) -> float:
        return self.entry + self.work + self.back


def turns_usage(lane: LaneSize, work: Work) -> Usage:
    """Tokens of ``work.turns`` requests on a lane.

    The first request hits what is cached; each later one hits all that the one before it sent,
    and misses what was written and read since. O(1): the sum of an arithmetic series.
    """
    count, grows = work.turns, work.added + work.output
    if count <= 0:
        return Usage()
    earlier, cached = count - 1, min(lane.cached, lane.tokens)
    hit = cached + earlier * lane.tokens + grows * earlier * (earlier - 1) // 2
    miss = lane.tokens - cached + earlier * grows
    return Usage(hit + miss, hit, miss, count * work.output)


def cost(price: Price | None, usage: Usage) -> float:
    """US dollars; 0.0 without a price."""
    return price.cost(usage) if price is not None else 0.0


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices the forms for one lane at one moment."""

    here: LaneSize
    """The lane on which work goes on now."""
    current: Target
    """Its rung."""
    work: Work
    """The further turns that are expected."""
    sizes: Sizes = field(default_factory=Sizes)

    def quote(self, form: Form, target: Target, rung: int) -> Quote:
        """Price one form.

        Args:
            target: the rung on which the form asks; ``current`` for a note and a retry.
            rung: the target's index in its ladder.
        """
        make = {
            "note": self._note,
            "retry": self._retry,
            "consult": self._consult,
            "re-plan": self._replan,
            "hand-off": self._hand_off,
            "move": self._move,
        }[form]
        priced = self.current.price is not None and target.price is not None
        return replace(make(target), rung=rung, priced=priced)

    def _work(self, target: Target, turns: int) -> Work:
        """The expected turns as they would be there."""
        output = round(self.work.output * target.words / self.current.words)
        return replace(self.work, turns=turns, output=output)

    def _note(self, _target: Target) -> Quote:
        return self._here("note", 0.0, self.sizes.note, 0)

    def _consult(self, target: Target) -> Quote:
        asked = Usage(
            self.sizes.question,
            miss_tokens=self.sizes.question,
            completion_tokens=round(self.sizes.answer * target.words),
        )
        return self._here("consult", cost(target.price, asked), self.sizes.advice, 1)

    def _replan(self, target: Target) -> Quote:
        reading = turns_usage(self._fresh(target), self._work(target, self.sizes.plan_turns))
        planned = cost(target.price, reading)
        return self._here("re-plan", planned, self.sizes.plan, self.sizes.plan_turns)

    def _retry(self, target: Target) -> Quote:
        lane = self._fresh(replace(target, warm=max(target.warm, self.here.head)))
        return self._there("retry", target, lane, self.sizes.fresh_turns)

    def _move(self, target: Target) -> Quote:
        return self._there("move", target, LaneSize(self.here.tokens), self.work.turns)

    def _hand_off(self, target: Target) -> Quote:
        out = self._there("hand-off", target, self._fresh(target), self.sizes.fresh_turns)
        grown = replace(self.here, tokens=self.here.tokens + self.sizes.report)
        finish = turns_usage(grown, self.work.of(self.sizes.finish_turns))
        return replace(
            out,
            back=cost(self.current.price, finish),
            turns=out.turns + self.sizes.finish_turns,
        )

    def _fresh(self, target: Target) -> LaneSize:
        return LaneSize(target.head + self.sizes.packet, cached=min(target.warm, target.head))

    def _here(self, form: Form, entry: float, appended: int, asked: int) -> Quote:
        """A form after which the turns run on this lane, longer by what was appended."""
        price, turns = self.current.price, self.work.turns
        usual = cost(price, turns_usage(self.here, self.work))
        grown = replace(self.here, tokens=self.here.tokens + appended)
        extra = cost(price, turns_usage(grown, self.work)) - usual
        return Quote(form, 0, entry, usual, back=extra, turns=turns + asked)

    def _there(self, form: Form, target: Target, lane: LaneSize, turns: int) -> Quote:
        """A form after which the turns run on another lane: its cold part is the entry."""
        entry = cost(target.price, Usage(miss_tokens=lane.tokens - lane.cached))
        whole = cost(target.price, turns_usage(lane, self._work(target, turns)))
        return Quote(form, 0, entry, whole - entry, turns=turns)
