"""The account of the cache: what hit, what should have, and what the difference cost whom.

Pure functions over a session's events, for ``agentkit sessions show`` and the web page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from agentkit.events import (
    Event,
    LaneOpened,
    ModelAdvised,
    ModelRequested,
    ModelResponded,
    PrefixBroken,
)

if TYPE_CHECKING:
    from agentkit.models.catalogue import Catalogue


@dataclass(slots=True)
class Tally:
    """Input tokens of some requests. Requests whose provider counted nothing are apart."""

    requests: int = 0
    uncounted: int = 0
    """Requests of which the provider reported no usage, or of which nothing can be expected."""
    prompt: int = 0
    hit: int = 0
    expected: int = 0
    """What our model of the provider's cache expected to hit, of the counted requests."""
    missed: int = 0
    """Tokens that were stored and had to hit, and did not: misses of the provider."""
    missed_usd: float = 0.0
    breaks: int = 0
    broken: int = 0
    """Tokens read again because a prefix was given up: misses of our making."""
    broken_usd: float = 0.0

    @property
    def ratio(self) -> float:
        """Share of the input that hit, 0 to 1."""
        return self.hit / self.prompt if self.prompt else 0.0

    @property
    def expected_ratio(self) -> float:
        return self.expected / self.prompt if self.prompt else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For ``--json`` and the web page."""
        facts: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return facts | {
            "ratio": round(self.ratio, 4),
            "expected_ratio": round(self.expected_ratio, 4),
        }


@dataclass(slots=True)
class Account:
    """A whole session's."""

    total: Tally = field(default_factory=Tally)
    lanes: dict[str, Tally] = field(default_factory=dict[str, Tally])
    estimates: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Per request: tokens of the prompt as we estimated them, and as the provider counted."""

    @property
    def estimate_error(self) -> tuple[float, float] | None:
        """Mean and largest error of our estimates, as shares; None where nothing was counted."""
        errors = [abs(guess - real) / real for guess, real in self.estimates if real]
        return (sum(errors) / len(errors), max(errors)) if errors else None

    def to_dict(self) -> dict[str, Any]:
        """For ``--json`` and the web page."""
        error = self.estimate_error
        return {
            "total": self.total.to_dict(),
            "lanes": {name: tally.to_dict() for name, tally in self.lanes.items()},
            "estimate_error": None if error is None else [round(each, 4) for each in error],
        }


class Ledger:
    """An account that is carried on as events come."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._whole = Account()
        self._models: dict[str, str] = {}
        self._asked: dict[str, int] = {}

    def take(self, event: Event) -> None:
        """Add one event up."""
        whole = self._whole
        both = (whole.total, whole.lanes.setdefault(event.lane, Tally()))
        match event:
            case LaneOpened():
                self._models[event.lane] = str(event.rung.get("model", ""))
            case ModelRequested():
                self._asked[event.lane] = event.estimate
            case ModelResponded() | ModelAdvised():
                lost = _lost_usd(event, self._models.get(event.lane, ""), self._catalogue)
                for tally in both:
                    _answered(tally, event, lost)
                if event.usage.reported and self._asked.get(event.lane):
                    whole.estimates.append((self._asked[event.lane], event.usage.prompt_tokens))
            case PrefixBroken():
                for tally in both:
                    tally.breaks += 1
                    tally.broken += event.tokens
                    tally.broken_usd += event.price_usd
            case _:
                pass

    @property
    def account(self) -> Account:
        """The account up to now; lanes without a request are left out."""
        whole = self._whole
        lanes = {name: tally for name, tally in whole.lanes.items() if tally.requests}
        return Account(whole.total, lanes, whole.estimates)


def account(events: Iterable[Event], catalogue: Catalogue) -> Account:
    """Add a session up."""
    ledger = Ledger(catalogue)
    for event in events:
        ledger.take(event)
    return ledger.account


def _answered(tally: Tally, event: ModelResponded | ModelAdvised, lost: float) -> None:
    tally.requests += 1
    if event.expected_hits is None or not event.usage.reported:
        tally.uncounted += 1
        return
    tally.prompt += event.usage.prompt_tokens
    tally.hit += event.usage.hit_tokens
    tally.expected += event.expected_hits
    tally.missed += event.missed
    tally.missed_usd += lost


def _lost_usd(event: ModelResponded | ModelAdvised, model: str, catalogue: Catalogue) -> float:
    """What the tokens that the provider missed cost more than a hit, at the price of then."""
    if not event.missed or not event.time:
        return 0.0
    price = catalogue.price(model, datetime.fromisoformat(event.time), event.usage.prompt_tokens)
    return 0.0 if price is None else event.missed * (price.miss - price.hit) / 1e6
