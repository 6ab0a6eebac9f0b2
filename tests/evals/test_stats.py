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


def tried(passed: dict[str, str]) -> dict[stats.Attempt, bool]:
    """``{"task": "10"}``: the first attempt passed, the second did not."""
    return {
        (task, number): mark == "1"
        for task, marks in passed.items()
        for number, mark in enumerate(marks, 1)
    }


def test_mcnemar() -> None:
    first = tried({str(number): "1" for number in range(10)})
    second = tried({str(number): "1" if number < 4 else "0" for number in range(10)})
    found = stats.paired(first, second)
    assert (found.first, found.second, found.alike) == (6, 0, 4)
    assert found.p_value == pytest.approx(2 / 2**6)
    assert stats.paired(first, first).p_value == 1.0


def test_many_attempts_at_one_task_are_one_pair() -> None:
    found = stats.paired(tried({"a": "1" * 20}), tried({"a": "0" * 20}))
    assert (found.first, found.p_value) == (1, 1.0)
    some = stats.paired(
        tried({"a": "110", "b": "100", "c": "10"}), tried({"a": "100", "b": "011", "c": "01"})
    )
    assert (some.first, some.second, some.alike) == (1, 1, 1)


def test_what_only_one_has_tried_is_not_compared() -> None:
    found = stats.paired(tried({"a": "1", "b": "1"}), tried({"b": "0", "c": "1"}))
    assert (found.first, found.second, found.alike) == (1, 0, 0)


def test_noise_floor() -> None:
    assert math.isnan(stats.noise_floor({"a": [True], "b": [False]}))
    assert stats.noise_floor({"a": [True, True], "b": [False, False]}) == 0
    # Two coins: the variance of one throw is estimated as 0.5, of the mean of two tasks 0.25.
    coins = {"a": [True, False], "b": [False, True]}
    assert stats.noise_floor(coins) == pytest.approx(math.sqrt(0.25))
