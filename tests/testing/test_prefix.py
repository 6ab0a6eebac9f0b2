"""``assert_prefix_stable`` finds every way in which a prefix can break."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentkit.testing import assert_prefix_stable

Json = dict[str, Any]
USER: Json = {"role": "user", "content": "hi"}
ANSWER: Json = {"role": "assistant", "content": "ho", "reasoning_content": "hm"}
NEXT: Json = {"role": "user", "content": "more"}
BASE: Json = {
    "model": "m",
    "reasoning_effort": "high",
    "tools": [{"name": "a"}, {"name": "b"}],
    "max_tokens": 5,
}


def body(*messages: Json, **changes: Any) -> bytes:
    return json.dumps({**BASE, "messages": list(messages), **changes}).encode()


def test_a_growing_history_is_stable() -> None:
    assert_prefix_stable(
        [body(USER), body(USER), body(USER, ANSWER, NEXT, max_tokens=99, stream=True)]
    )


BREAKS = {
    "effort": (body(USER, ANSWER, reasoning_effort="max"), "reasoning_effort changed"),
    "tool order": (body(USER, ANSWER, tools=BASE["tools"][::-1]), "tools changed"),
    "tools gone": (body(USER, ANSWER, tools=None), "tools changed"),
    "new field": (body(USER, ANSWER, response_format={}), "response_format changed"),
    "shorter": (body(USER), "3 messages became 1"),
    "edited": (body(USER, {**ANSWER, "content": "HO"}, NEXT), r"messages\[1\] \(assistant\)"),
    "reasoning lost": (
        body(USER, {"role": "assistant", "content": "ho"}, NEXT),
        r"messages\[1\] \(assistant\)",
    ),
}


@pytest.mark.parametrize("case", BREAKS)
def test_each_break_is_found_and_placed(case: str) -> None:
    after, where = BREAKS[case]
    with pytest.raises(AssertionError, match=where):
        assert_prefix_stable([body(USER), body(USER, ANSWER, NEXT), after])


def test_conversations_are_told_apart() -> None:
    other = {"role": "user", "content": "another task"}
    assert_prefix_stable([body(USER, ANSWER), body(other), body(USER, ANSWER, NEXT), body(other)])


def test_nothing_to_look_at_is_no_success() -> None:
    with pytest.raises(AssertionError):
        assert_prefix_stable([])
    with pytest.raises(TypeError):
        assert_prefix_stable(5)
    with pytest.raises(TypeError, match="without its bytes"):
        assert_prefix_stable(["text"])
