"""Prices by model and hour, as they were at each date."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from agentkit.errors import ModelRetired, UsageError
from agentkit.models.catalogue import Catalogue, Price
from agentkit.models.types import Usage

CATALOGUE = Catalogue.load()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def numbers(model: str, when: str, prompt_tokens: int = 0) -> tuple[float, float, float]:
    price = CATALOGUE.price(model, at(when), prompt_tokens)
    assert price is not None
    return price.hit, price.miss, price.output


HISTORY = [
    ("2026-04-24T12:00", (0.028, 0.14, 0.28), (0.145, 1.74, 3.48)),
    ("2026-04-26T12:14", (0.028, 0.14, 0.28), (0.145, 1.74, 3.48)),
    ("2026-04-26T12:15", (0.0028, 0.14, 0.28), (0.003625, 0.435, 0.87)),
    ("2026-06-10T02:00", (0.0028, 0.14, 0.28), (0.003625, 0.435, 0.87)),
    ("2026-08-16T15:59", (0.0028, 0.14, 0.28), (0.003625, 0.435, 0.87)),
    ("2026-08-16T16:00", (0.007, 0.22, 0.66), (0.022, 0.66, 1.98)),
    ("2026-08-17T02:00", (0.014, 0.44, 1.32), (0.044, 1.32, 3.96)),
    ("2026-09-10T04:00", (0.003, 0.15, 0.60), (0.022, 0.66, 1.98)),
    ("2026-11-23T07:00", (0.006, 0.30, 1.20), (0.044, 1.32, 3.96)),
]


@pytest.mark.parametrize(("when", "flash", "pro"), HISTORY, ids=[row[0] for row in HISTORY])
def test_each_change_since_launch(
    when: str, flash: tuple[float, ...], pro: tuple[float, ...]
) -> None:
    assert numbers("deepseek-flash", when) == pytest.approx(flash)
    assert numbers("deepseek-v4-pro", when) == pytest.approx(pro)


def test_the_launch_discount_is_told_from_the_price_that_followed_it() -> None:
    during = CATALOGUE.price("deepseek-v4-pro", at("2026-05-02T12:00"))
    after = CATALOGUE.price("deepseek-v4-pro", at("2026-06-01T00:00"))
    assert during is not None
    assert after is not None
    assert (during.discount, after.discount) == (0.75, 0.0)
    assert (after.hit, after.miss, after.output) == pytest.approx(
        (during.hit, during.miss, during.output)
    )


PEAKS = [
    ("2026-11-23T00:59", False, "Monday, before the first hour"),
    ("2026-11-23T01:00", True, "Monday"),
    ("2026-11-23T03:59", True, "Monday"),
    ("2026-11-23T04:00", False, "the pause"),
    ("2026-11-23T06:00", True, "Monday afternoon"),
    ("2026-11-23T10:00", False, "after"),
    ("2026-11-22T02:00", False, "Sunday"),
    ("2026-10-01T02:00", False, "National Day, a Thursday"),
    ("2026-10-08T02:00", True, "the day after the holidays"),
    ("2026-10-10T02:00", False, "a Saturday that is a working day in China"),
    ("2026-09-25T07:00", False, "Mid-Autumn, a Friday"),
]


@pytest.mark.parametrize(("when", "peak", "why"), PEAKS, ids=[row[2] for row in PEAKS])
def test_peak_hours(when: str, peak: bool, why: str) -> None:
    price = CATALOGUE.price("deepseek-flash", at(when))
    assert price is not None
    assert price.peak is peak, why


PRICES_OF_MAY_2 = [  # published on that day: hit, miss, output
    ("deepseek-v4-flash", 0.0028, 0.14, 0.28),
    ("deepseek-v4-pro", 0.003625, 0.435, 0.87),
    ("gpt-5.5", 0.50, 5.00, 30.00),
    ("claude-opus-4.7", 0.50, 5.00, 25.00),
    ("gemini-3.1-pro", 0.20, 2.00, 12.00),
]


@pytest.mark.parametrize("row", PRICES_OF_MAY_2, ids=lambda row: row[0])
def test_the_price_list_of_may_2(row: tuple[str, float, float, float]) -> None:
    assert numbers(row[0], "2026-05-02T12:00") == pytest.approx(row[1:])


# One agent run of 1M input tokens, 90% of them hits, and 100k of output, on 2026-05-02.
MAY_2 = [
    ("deepseek-flash", 0.04452),
    ("deepseek-v4-pro", 0.1337625),
    ("gpt-5.5", 3.95),
    ("claude-opus-4-7", 3.45),
    ("gemini-3.1-pro", 1.58),
]


@pytest.mark.parametrize(("model", "dollars"), MAY_2)
def test_what_a_run_cost_on_may_2(model: str, dollars: float) -> None:
    when = at("2026-05-02T12:00")
    parts = 10  # requests of 100k tokens each: below every long-context step
    usage = Usage(100_000, 90_000, 10_000, 10_000)
    total = sum(CATALOGUE.cost(usage, model, when) for _ in range(parts))
    assert total == pytest.approx(dollars)


def test_long_prompts_cost_more_where_the_vendor_says_so() -> None:
    when = "2026-06-01T00:00"
    assert numbers("gpt-5.5", when, 272_000) == (0.5, 5.0, 30.0)
    assert numbers("gpt-5.5", when, 272_001) == (1.0, 10.0, 45.0)
    assert numbers("gemini-3.1-pro", when, 200_001) == (0.4, 4.0, 18.0)
    assert numbers("claude-opus-4.7", when, 900_000) == (0.5, 5.0, 25.0)


def test_aliases_and_retired_names() -> None:
    assert CATALOGUE.model("deepseek-v4-flash").name == "deepseek-flash"
    with pytest.raises(ModelRetired, match="2026-07-24; use deepseek-flash with thinking"):
        CATALOGUE.require("deepseek-reasoner", at("2026-07-24T16:00"))
    assert CATALOGUE.require("deepseek-reasoner", at("2026-07-24T15:00")).priced


def test_an_unlisted_model_can_be_used_and_is_seen_to_have_no_price() -> None:
    facts = CATALOGUE.model("qwen2.5-coder")
    assert not facts.known
    assert not CATALOGUE.priced("qwen2.5-coder")
    assert CATALOGUE.price("qwen2.5-coder", at("2026-11-01T00:00")) is None
    assert CATALOGUE.cost(Usage(10, 0, 10, 10), "qwen2.5-coder", at("2026-11-01T00:00")) == 0.0


def test_users_override_and_add() -> None:
    mine = Catalogue.load(
        {
            "deepseek-v4-flash": {"context": 1000},
            "qwen": {"hit": 0, "miss": 0.1, "output": 0.2, "context": 32_768},
        }
    )
    assert mine.model("deepseek-flash").context == 1000
    assert mine.price("deepseek-flash", at("2026-11-23T12:00")) is not None
    price = mine.price("qwen", at("2026-11-23T12:00"))
    assert price is not None
    assert (price.hit, price.miss, price.output) == (0.0, 0.1, 0.2)


@pytest.mark.parametrize(
    "table",
    [
        {"window": 5},
        {"miss": 1.0},
        {"hit": -1, "miss": 1, "output": 1},
        {"hit": "cheap", "miss": 1, "output": 1},
        {"prices": [{"hit": 1}]},
        {"context": "large"},
        {"dialect": "tgi"},
        {"retired": "soon"},
        {"prices": [{"from": 3, "hit": 1, "miss": 1, "output": 1}]},
        {"prices": [{"from": "soon", "hit": 1, "miss": 1, "output": 1}]},
        {"prices": [{"from": "2026-01-01", "hit": 1, "miss": 1, "output": 1, "peak_factor": 2}]},
    ],
)
def test_a_wrong_override_is_named(table: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Catalogue.load({"m": table})


@pytest.mark.parametrize(
    "start", [at("2026-01-01T00:00"), at("2026-01-01T00:00").date(), "2026-01-01T00:00:00+00:00"]
)
def test_a_date_may_be_toml_s_or_text(start: object) -> None:
    dear = {"from": start, "hit": 1, "miss": 1, "output": 1}
    cheap = {"from": at("2025-01-01T00:00"), "hit": 0, "miss": 0, "output": 0}
    mine = Catalogue.load({"m": {"prices": [dear, cheap], "retired": start}})
    price = mine.price("m", at("2026-01-02T00:00"))
    assert price is not None
    assert price.since == at("2026-01-01T00:00")
    with pytest.raises(ModelRetired):
        mine.require("m", at("2026-01-02T00:00"))


def test_worst_case_is_the_whole_limit_at_todays_price() -> None:
    when = at("2026-11-23T12:00")
    assert CATALOGUE.worst_case("deepseek-flash", when, 1_000_000, 100_000) == pytest.approx(0.21)
    cached = CATALOGUE.worst_case("deepseek-flash", when, 1_000_000, 100_000, 1_000_000)
    assert cached == pytest.approx(0.063)


def test_the_next_change_of_price() -> None:
    assert CATALOGUE.next_change("deepseek-flash", at("2026-11-23T03:10")) == at("2026-11-23T04:00")
    assert CATALOGUE.next_change("deepseek-flash", at("2026-11-20T10:30")) == at("2026-11-23T01:00")
    assert CATALOGUE.next_change("claude-opus-4-7", at("2026-11-20T10:30")) is None


def test_every_entry_says_where_it_comes_from() -> None:
    for facts in CATALOGUE:
        assert facts.source, facts.name
        assert re.search(r"20\d\d-\d\d", facts.source), "a source has a date"
        assert (facts.dialect == "deepseek") == ("deepseek" in facts.name)


def test_cost_adds_what_was_hit_missed_and_said() -> None:
    assert Price(1.0, 10.0, 100.0).cost(Usage(3_000_000, 2_000_000, 1_000_000, 500_000)) == 62.0
