"""Statistics against values that were worked out by hand or by brute force."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.evals import stats


def test_mean_and_standard_error() -> None:
    found = stats.mean([1.0, 0.0, 1.0, 1.0])
    assert found.value == 0.75
    assert found.error == pytest.approx(0.25)
    assert math.isnan(stats.mean([1.0]).error)
    assert math.isnan(stats.mean([]).value)


def test_mean_of_tasks_weighs_each_task_alike() -> None:
    assert stats.mean_of_tasks({"a": [1, 1, 1, 0], "b": [0]}).value == pytest.approx(0.375)


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 7))
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(passed: list[bool], k: int) -> None:
    if k > len(passed):
        with pytest.raises(ValueError, match="fewer than"):
            stats.pass_at(k, {"t": passed})
        return
    subsets = list(combinations(passed, k))
    expected = sum(any(each) for each in subsets) / len(subsets)
    assert stats.pass_at(k, {"t": passed}) == pytest.approx(expected)


def test_ks() -> None:
    assert stats.ks(1) == []
    assert stats.ks(5) == [2, 4, 5]
    assert stats.ks(10) == [2, 4, 5, 8, 10]


def test_mcnemar() -> None:
    first = dict.fromkeys(range(10), True)
    second = {key: key < 4 for key in range(10)}
    found = stats.paired(first, second)
    assert (found.only_first, found.only_second, found.both, found.neither) == (6, 0, 4, 0)
    assert found.p_value == pytest.approx(2 / 2**6)
    assert stats.paired(first, first).p_value == 1.0


def test_what_only_one_has_tried_is_not_compared() -> None:
    found = stats.paired({1: True, 2: True}, {2: False, 3: True})
    assert (found.only_first, found.only_second, found.both, found.neither) == (1, 0, 0, 0)


def test_noise_floor() -> None:
    assert math.isnan(stats.noise_floor({"a": [True], "b": [False]}))
    assert stats.noise_floor({"a": [True, True], "b": [False, False]}) == 0
    # Two coins: the variance of one throw is estimated as 0.5, of the mean of two tasks 0.25.
    coins = {"a": [True, False], "b": [False, True]}
    assert stats.noise_floor(coins) == pytest.approx(math.sqrt(0.25))
