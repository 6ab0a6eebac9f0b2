"""What is known about models: names, limits, features, and prices by date and hour.

The facts are data (``catalogue.toml`` beside this file, each with its date and source); users
override any of them under ``[models.NAME]`` of ``agentkit.toml``. A model that is not listed can
be used all the same: its price is None, its cost 0.0, and ``priced`` says so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from types import NoneType
from typing import Any, cast

from agentkit.errors import ModelRetired, UsageError
from agentkit.ladder import DIALECTS, Dialect
from agentkit.models.tokens import estimate_tokens
from agentkit.models.types import Usage

__all__ = ["Catalogue", "ModelFacts", "Price", "estimate_tokens", "shipped"]

_PER = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per 1M tokens at one moment."""

    hit: float
    """Input read from the provider's cache."""
    miss: float
    output: float
    """Reasoning included."""
    peak: bool = False
    since: datetime | None = None
    """When this entry of the price list began."""
    discount: float = 0.0
    """The share that is taken off for a while, 0 to 1; the three prices are after it."""

    def cost(self, usage: Usage) -> float:
        """US dollars of one request."""
        dollars = usage.hit_tokens * self.hit + usage.miss_tokens * self.miss
        return (dollars + usage.completion_tokens * self.output) / _PER


@dataclass(frozen=True, slots=True)
class _Entry:
    since: datetime
    hit: float
    miss: float
    output: float
    peak_factor: float = 1.0
    discount: float = 0.0
    long: tuple[int, float, float, float] | None = None
    """Above so many prompt tokens: other hit, miss and output."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a ladder, a history and ``agentkit models`` must know of one model."""

    name: str
    """The name that is sent and billed; an alias is resolved to it."""
    known: bool = True
    aliases: tuple[str, ...] = ()
    served: str = ""
    """What the provider said it serves under this name when the catalogue was written."""
    context: int = 131_072
    """Window in tokens, prompt and answer together. Unlisted models: a common small one."""
    max_output: int | None = None
    efforts: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    """Of ``tools thinking non-thinking json prefix fim vision cache``."""
    encoding: str = ""
    """The vendor's prompt encoding: ``v4`` or ``v4.1``."""
    cache_unit: int = 1
    """Cache hits are multiples of so many tokens."""
    concurrency: int | None = None
    """Requests in flight per account at a full balance; less with little money left."""
    dialect: Dialect = "openai"
    retired: datetime | None = None
    successor: str = ""
    successor_note: str = ""
    source: str = ""
    peak: str = ""
    prices: tuple[_Entry, ...] = ()

    @property
    def priced(self) -> bool:
        return bool(self.prices)

    @property
    def farewell(self) -> str:
        """When a retired name ended and what took its place; "" for one that did not."""
        if not self.retired:
            return ""
        use = f"; use {self.successor} {self.successor_note}".rstrip() if self.successor else ""
        return f"{self.name} was retired on {self.retired:%Y-%m-%d}{use}"


@dataclass(frozen=True, slots=True)
class _Peak:
    hours: tuple[tuple[int, int], ...]
    holidays: frozenset[date]

    def holds(self, at: datetime) -> bool:
        # UTC and Beijing have the same date at all peak hours
        busy = any(start <= at.hour < end for start, end in self.hours)
        return busy and at.weekday() < 5 and at.date() not in self.holidays


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models, by every name they go by."""

    _models: Mapping[str, ModelFacts]
    _peaks: Mapping[str, _Peak]

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None) -> Catalogue:
        """The shipped facts, with the user's own on top.

        Args:
            overrides: ``{name: {field: value}}`` as under ``[models]`` of ``agentkit.toml``; a
                new name adds a model. ``prices`` replaces the whole list; instead of it ``hit``,
                ``miss`` and ``output`` give one price for all times.

        Raises:
            UsageError: an unknown field or a value of the wrong kind.
        """
        text = resources.files("agentkit.models").joinpath("catalogue.toml").read_text("utf-8")
        data = tomllib.loads(text)
        models: dict[str, dict[str, Any]] = data["models"]
        for name, table in (overrides or {}).items():
            if not isinstance(table, Mapping):
                raise UsageError(f"[models.{name}] must be a table")
            known = _resolve(models, name)
            models[known] = {**models.get(known, {}), **_flat(cast("Mapping[str, Any]", table))}
        facts = [_facts(name, table) for name, table in models.items()]
        peaks = {name: _peak(table) for name, table in data["peak"].items()}
        for each in facts:
            _require_peak(each, peaks)
        by_name = {alias: each for each in facts for alias in each.aliases}
        return cls(by_name | {each.name: each for each in facts}, peaks)

    def __iter__(self) -> Iterator[ModelFacts]:
        """Each model once, in the catalogue's order."""
        return iter(dict.fromkeys(self._models[name] for name in self._names()))

    def _names(self) -> list[str]:
        return [name for name, facts in self._models.items() if facts.name == name]

    def model(self, name: str) -> ModelFacts:
        """The facts of a model or alias; ``known`` is False where nothing is known."""
        return self._models.get(name) or ModelFacts(name, known=False)

    def require(self, name: str, at: datetime | None = None) -> ModelFacts:
        """Like ``model``, but a retired name is an error that names its successor.

        Raises:
            ModelRetired: the model no longer existed at this time.
        """
        facts = self.model(name)
        if facts.retired and _utc(at) >= facts.retired:
            raise ModelRetired(f"there is no model {name!r} any more", hint=facts.farewell)
        return facts

    def price(self, model: str, at: datetime, prompt_tokens: int = 0) -> Price | None:
        """The price at a moment, None for a model without one.

        Args:
            prompt_tokens: some vendors bill long prompts at a higher price.
        """
        facts, at = self.model(model), _utc(at)
        entry = next((each for each in reversed(facts.prices) if each.since <= at), None)
        if entry is None:
            entry = facts.prices[0] if facts.prices else None
        if entry is None:
            return None
        if entry.long and prompt_tokens > entry.long[0]:
            return Price(*entry.long[1:], since=entry.since)
        peak = entry.peak_factor != 1.0 and self._peaks[facts.peak].holds(at)
        factor = (entry.peak_factor if peak else 1.0) * (1 - entry.discount)
        return Price(
            entry.hit * factor,
            entry.miss * factor,
            entry.output * factor,
            peak,
            entry.since,
            entry.discount,
        )

    def next_change(self, model: str, at: datetime) -> datetime | None:
        """When the price is next different, within 40 days; None if it is not."""
        at = _utc(at)
        now = self.price(model, at)
        dates = [each.since for each in self.model(model).prices if each.since > at]
        full = at.replace(minute=0, second=0, microsecond=0)
        hours = [full + timedelta(hours=hour) for hour in range(1, 40 * 24)]
        for moment in sorted([*hours, *dates]):
            then = self.price(model, moment)
            if now and then and _numbers(then) != _numbers(now):
                return moment
        return None

    def cost(self, usage: Usage, model: str, at: datetime) -> float:
        """US dollars of one request; 0.0 for a model without a price (see ``priced``)."""
        price = self.price(model, at, usage.prompt_tokens)
        return price.cost(usage) if price else 0.0

    def priced(self, model: str) -> bool:
        return self.model(model).priced

    def worst_case(
        self,
        model: str,
        at: datetime,
        prompt_tokens: int,
        max_tokens: int,
        cached_tokens: int = 0,
    ) -> float:
        """US dollars of a request that uses its whole answer limit.

        Args:
            cached_tokens: how many of the prompt's tokens are expected to hit the cache; 0 is
                the worst case.
        """
        hit = min(cached_tokens, prompt_tokens)
        usage = Usage(prompt_tokens, hit, prompt_tokens - hit, max_tokens)
        return self.cost(usage, model, at)


@cache
def shipped() -> Catalogue:
    """The catalogue without anybody's overrides."""
    return Catalogue.load()


def _numbers(price: Price) -> tuple[float, float, float]:
    return price.hit, price.miss, price.output


def _utc(at: datetime | None) -> datetime:
    """The moment in UTC; a time without a zone is taken as UTC."""
    if at is None:
        return datetime.now(UTC)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _resolve(models: Mapping[str, Mapping[str, Any]], name: str) -> str:
    for known, table in models.items():
        if name in table.get("aliases", ()):
            return known
    return name


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """``hit``, ``miss`` and ``output`` beside each other are a price list of one entry."""
    out = dict(table)
    if out.keys() & {"hit", "miss", "output"}:
        try:
            entry = {key: out.pop(key) for key in ("hit", "miss", "output")}
        except KeyError as error:
            raise UsageError(f"a price needs hit, miss and output; {error} is missing") from error
        out["prices"] = [{"from": datetime(2000, 1, 1, tzinfo=UTC), **entry}]
    return out


_TUPLES = ("aliases", "efforts")


def _facts(name: str, table: Mapping[str, Any]) -> ModelFacts:
    known = {field.name for field in fields(ModelFacts)} - {"name", "known"}
    unknown = sorted(set(table) - known)
    if unknown:
        hint = f"Known: {', '.join(sorted(known | {'hit', 'miss', 'output'}))}"
        raise UsageError(f"[models.{name}]: unknown setting {unknown[0]!r}", hint=hint)
    try:
        table = _dated(table)
        facts = replace(ModelFacts(name), **table)
        _check(facts)
        return replace(
            facts,
            features=frozenset(facts.features),
            prices=tuple(sorted(map(_entry, table.get("prices", ())), key=lambda e: e.since)),
            **{key: tuple(table[key]) for key in _TUPLES if key in table},
        )
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(
            f"[models.{name}]: a price, a date or a list is malformed ({error})"
        ) from error


def _dated(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table with its date as a moment: TOML's own, or the text that a stored session has."""
    if isinstance(table.get("retired"), str | date):
        return {**table, "retired": _moment(table["retired"])}
    return table


def _moment(value: object) -> datetime:
    if isinstance(value, str):
        return _utc(datetime.fromisoformat(value))
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise TypeError(f"{value!r} is no date")


def _require_peak(facts: ModelFacts, peaks: Mapping[str, _Peak]) -> None:
    """A price that depends on the hour needs to know which hours."""
    if facts.peak not in tuple(peaks) and any(each.peak_factor != 1.0 for each in facts.prices):
        raise UsageError(
            f"[models.{facts.name}]: a peak_factor, and there is no peak {facts.peak!r}",
            hint=f"Set peak; known: {', '.join(peaks)}",
        )


_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "context": ((int,), "a number of tokens"),
    "max_output": ((int, NoneType), "a number of tokens"),
    "cache_unit": ((int,), "a number of tokens"),
    "concurrency": ((int, NoneType), "a number of requests"),
    "retired": ((datetime, NoneType), "a date with a time"),
}


def _check(facts: ModelFacts) -> None:
    for name, (kinds, words) in _KINDS.items():
        value = getattr(facts, name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise UsageError(f"[models.{facts.name}]: {name} must be {words}, not {value!r}")
    if facts.dialect not in DIALECTS:
        hint = f"Known: {', '.join(DIALECTS)}"
        raise UsageError(f"[models.{facts.name}]: no dialect {facts.dialect!r}", hint=hint)


def _entry(table: Mapping[str, Any]) -> _Entry:
    entry = _Entry(
        since=_moment(table["from"]),
        hit=float(table["hit"]),
        miss=float(table["miss"]),
        output=float(table["output"]),
        peak_factor=float(table.get("peak_factor", 1.0)),
        discount=float(table.get("discount", 0.0)),
    )
    if not (entry.hit >= 0 and entry.miss >= 0 and entry.output >= 0):
        raise ValueError("a price is below 0")
    if not 0 <= entry.discount < 1:
        raise ValueError("a discount is a share, 0 or more and below 1")
    step = table.get("long")
    if not step:
        return entry
    prices = (float(step["hit"]), float(step["miss"]), float(step["output"]))
    return replace(entry, long=(int(step["above"]), *prices))


def _peak(table: Mapping[str, Any]) -> _Peak:
    hours = tuple((start, end) for start, end in table["hours"])
    return _Peak(hours, frozenset(_days(table["holidays"])))


def _days(spans: Sequence[str]) -> Iterator[date]:
    for span in spans:
        first, _, last = span.partition("/")
        day, end = date.fromisoformat(first), date.fromisoformat(last or first)
        while day <= end:
            yield day
            day += timedelta(days=1)
