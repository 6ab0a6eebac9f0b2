"""The price of each form, by hand and to the last digit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.escalation.prices import FORMS, Form, LaneSize, Prices, Sizes, Target, Work, cost
from agentkit.escalation.prices import turns_usage as usage_of
from agentkit.ladder import Ladder
from agentkit.models.catalogue import Catalogue
from agentkit.models.types import Usage

CATALOGUE = Catalogue.load()
OFF_PEAK = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""Flash .003 / .15 / .60, Pro .022 / .66 / 1.98 (US dollars per 1M: hit, miss, output)."""
PEAK = datetime(2026, 11, 24, 2, tzinfo=UTC)


def rungs(at: datetime = OFF_PEAK) -> list[Target]:
    return [Target.of(rung, CATALOGUE, at) for rung in Ladder.preset("flash-pro").rungs]


def prices(tokens: int, at: datetime = OFF_PEAK, work: Work | None = None) -> Prices:
    lane = LaneSize(tokens, cached=tokens - 2_000, head=3_000)
    return Prices(lane, rungs(at)[0], work or Work(turns=12, added=1_800, output=700))


def exact(usd: float) -> object:
    return pytest.approx(usd, abs=1e-9)


def test_moving_20k_costs_cents() -> None:
    quote = prices(20_000).quote("move", rungs()[2], 2)
    assert quote.entry == exact(20_000 * 0.66e-6) == exact(0.0132)
    hits = (11 * 20_000 + 2_500 * 55) * 0.022e-6
    misses = 11 * 2_500 * 0.66e-6
    output = 12 * 700 * 1.98e-6
    assert quote.total == exact(0.0132 + hits + misses + output) == exact(0.055847)
    assert quote.turns == 12


def test_moving_500k_costs_more_than_the_task_did() -> None:
    task = usage_of(LaneSize(3_000), Work(turns=199, added=1_800, output=700))
    spent = cost(rungs()[0].price, task)
    quote = prices(500_000).quote("move", rungs()[2], 2)
    assert quote.entry == exact(0.33)
    assert round(spent, 2) == 0.31
    assert round(quote.total, 2) == 0.49
    assert quote.total > spent


def test_a_consultation_costs_its_question_and_its_answer_whatever_the_history() -> None:
    expected = 4_000 * 0.66e-6 + 2_500 * 1.98e-6
    for tokens in (20_000, 500_000):
        quote = prices(tokens).quote("consult", rungs()[2], 2)
        assert quote.entry == exact(expected) == exact(0.00759)
    assert prices(20_000).quote("consult", rungs()[3], 3).entry == exact(
        4_000 * 0.66e-6 + 5_500 * 1.98e-6
    ), "at effort max it writes 2.2 times as much"


def test_a_note_costs_nothing_but_its_own_text() -> None:
    here = prices(20_000)
    quote = here.quote("note", here.current, 0)
    assert quote.entry == 0
    assert quote.work == exact(cost(here.current.price, usage_of(here.here, here.work)))
    assert quote.back == exact(150 * 0.15e-6 + 150 * 11 * 0.003e-6)
    assert quote.back < 0.0001


def test_a_hand_off_is_cold_once_and_comes_back_warm() -> None:
    here = prices(200_000)
    cold = here.quote("hand-off", rungs()[2], 2)
    assert cold.entry == exact(11_000 * 0.66e-6)
    assert cold.back == exact(
        (198_000 + 200_600) * 0.003e-6 + (2_600 + 2_500) * 0.15e-6 + 2 * 700 * 0.60e-6
    )
    assert cold.turns == 17
    second = here.quote("hand-off", replace(rungs()[2], warm=2_900), 2)
    assert cold.entry - second.entry == exact(2_900 * 0.66e-6), "the head is shared"


def test_a_retry_starts_on_this_rung_s_own_warm_head() -> None:
    here = prices(200_000)
    quote = here.quote("retry", here.current, 0)
    assert quote.entry == exact(8_000 * 0.15e-6)
    long = Prices(LaneSize(900_000, cached=898_000), here.current, here.work)
    assert long.quote("note", here.current, 0).total > quote.total, "and its history is short"


def test_a_new_plan_is_read_there_and_worked_here() -> None:
    quote = prices(20_000).quote("re-plan", rungs()[2], 2)
    reading = usage_of(LaneSize(11_000), Work(turns=4, added=1_800, output=700))
    assert quote.entry == exact(cost(rungs()[2].price, reading))
    assert quote.turns == 16


@pytest.mark.parametrize("form", FORMS)
def test_at_peak_hours_everything_costs_twice(form: Form) -> None:
    calm, busy = prices(50_000), prices(50_000, PEAK)
    quotes = [calm.quote(form, rungs()[2], 2), busy.quote(form, rungs(PEAK)[2], 2)]
    assert quotes[1].total == exact(2 * quotes[0].total)


def test_a_model_without_a_price_is_said_to_have_none() -> None:
    unknown = Target("mine·high", "mine", None)
    quote = prices(20_000).quote("hand-off", unknown, 1)
    assert not quote.priced
    assert (quote.entry, quote.work) == (0.0, 0.0)
    assert prices(20_000).quote("hand-off", rungs()[2], 2).priced


@given(
    tokens=st.integers(0, 10**6),
    cached=st.integers(0, 10**6),
    turns=st.integers(0, 60),
    added=st.integers(0, 50_000),
    output=st.integers(0, 20_000),
)
def test_the_sum_of_a_series_is_the_turns_one_by_one(
    tokens: int, cached: int, turns: int, added: int, output: int
) -> None:
    total, prompt, warm = Usage(), tokens, min(cached, tokens)
    for _ in range(turns):
        total += Usage(prompt, warm, prompt - warm, output)
        warm, prompt = prompt, prompt + added + output
    assert usage_of(LaneSize(tokens, cached), Work(turns, added, output)) == total


def test_further_turns_are_expected_to_be_like_those_before() -> None:
    assert Work.seen(10, 25_000, 7_000) == Work(8, 1_800, 700)
    assert Work.seen(2, 90_000, 9_000, ahead=5) == Work(turns=5), "two turns say nothing"
    assert Work.seen(4, 100, 4_000).added == 0


def test_sizes_may_be_set() -> None:
    here = Prices(LaneSize(20_000), rungs()[0], Work(), Sizes(packet=2_000))
    assert here.quote("hand-off", rungs()[2], 2).entry == exact(5_000 * 0.66e-6)
