"""When the loop tries again, and how long it waits."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import (
    AuthenticationFailed,
    BalanceEmpty,
    ContextOverflow,
    ModelError,
    ModelUnknown,
    Overloaded,
    RateLimited,
    ServerFault,
    StreamCut,
    UsageError,
)
from agentkit.models.retry import RetryPolicy

STEADY = RetryPolicy(jitter=0.0)


@pytest.mark.parametrize(
    "kind", [AuthenticationFailed, BalanceEmpty, ContextOverflow, ModelUnknown, ModelError]
)
def test_what_cannot_get_better_is_not_tried_again(kind: type[ModelError]) -> None:
    assert STEADY.wait(kind("no"), 1, 0.0, Random(0)) is None


def test_waits_double_up_to_the_cap() -> None:
    waits = [STEADY.wait(ServerFault("x"), attempt, 0.0, Random(0)) for attempt in range(1, 9)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_retry_after_is_a_floor() -> None:
    policy = RetryPolicy(jitter=0.5)
    for seed in range(20):
        wait = policy.wait(RateLimited("x", retry_after=7.0), 1, 0.0, Random(seed))
        assert wait is not None
        assert 7.0 <= wait <= 10.5


@pytest.mark.parametrize("asked", [0.0, 0.001])
def test_a_provider_that_asks_for_no_wait_at_all_is_not_asked_without_end(asked: float) -> None:
    """``Retry-After: 0``, or a date that has passed, with every answer."""
    waited, tries = 0.0, 0
    while tries < 100:
        tries += 1
        wait = STEADY.wait(Overloaded("x", retry_after=asked), tries, waited, Random(0))
        if wait is None:
            break
        waited += wait
    assert tries < 100
    assert waited == pytest.approx(600.0, abs=1.0)


def test_a_retry_after_beyond_the_budget_ends_it() -> None:
    assert STEADY.wait(RateLimited("x", retry_after=601.0), 1, 0.0, Random(0)) is None


def test_a_limit_of_attempts() -> None:
    policy = RetryPolicy(max_attempts=2)
    assert policy.wait(Overloaded("x"), 1, 0.0, Random(0)) is not None
    assert policy.wait(Overloaded("x"), 2, 0.0, Random(0)) is None


def test_twelve_outages_in_a_row_are_waited_out() -> None:
    waited = 0.0
    for attempt in range(1, 13):
        wait = RetryPolicy().wait(Overloaded("503"), attempt, waited, Random(attempt))
        assert wait is not None
        waited += wait
    assert waited < 250


@given(st.integers(0, 2**32), st.floats(0, 100), st.floats(0, 0.9))
def test_the_budget_is_never_passed(seed: int, budget: float, jitter: float) -> None:
    policy = RetryPolicy(budget_seconds=budget, jitter=jitter)
    rng, waited, attempt = Random(seed), 0.0, 1
    while (wait := policy.wait(StreamCut("x"), attempt, waited, rng)) is not None:
        assert wait > 0
        waited += wait
        attempt += 1
        assert attempt < 1000
    assert waited <= budget * 1.000001


def test_a_refusal_for_a_fault_we_do_not_have_is_tried_twice_more() -> None:
    error = ServerFault("reasoning must be passed back", status=400)
    waits = [STEADY.wait(error, attempt, 0.0, Random(0)) for attempt in (1, 2, 3)]
    assert waits == [0.5, 1.0, None]


@pytest.mark.parametrize("wrong", [{"base": -1}, {"cap": 0.1}, {"jitter": 1.0}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        RetryPolicy(**wrong)
