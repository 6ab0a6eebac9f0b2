"""``assert_prefix_stable`` finds every way in which a prefix can break."""

from __future__ import annotations

import json
from typing import Any, cast

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


def backwards(value: Any) -> Any:
    """The same value, with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        fields = cast("Json", value)
        return {key: backwards(fields[key]) for key in reversed(fields)}
    if isinstance(value, list):
        return [backwards(each) for each in cast("list[Any]", value)]
    return value


CALL: Json = {"id": "c1", "type": "function", "function": {"name": "a", "arguments": "{}"}}
CALLING: Json = {"role": "assistant", "content": "", "tool_calls": [CALL]}
TOOLS: list[Json] = [{"type": "function", "function": {"name": "a", "parameters": {}}}]


def test_the_order_of_keys_is_part_of_the_prompt() -> None:
    before = body(USER, CALLING, tools=TOOLS)
    with pytest.raises(AssertionError, match="tools changed"):
        assert_prefix_stable([before, body(USER, CALLING, NEXT, tools=backwards(TOOLS))])
    turned = {**CALLING, "tool_calls": backwards([CALL])}
    with pytest.raises(AssertionError, match=r"messages\[1\] \(assistant\)"):
        assert_prefix_stable([before, body(USER, turned, NEXT, tools=TOOLS)])
    with pytest.raises(AssertionError, match=r"messages\[0\] \(user\)"):
        assert_prefix_stable([body(USER), body(backwards(USER), ANSWER)])


def test_the_order_of_the_fields_of_a_body_reaches_no_prompt() -> None:
    turned = dict(reversed(json.loads(body(USER)).items()))
    assert_prefix_stable([body(USER), json.dumps(turned).encode()])


def test_conversations_are_told_apart() -> None:
    other = {"role": "user", "content": "another task"}
    requests = [body(USER, ANSWER), body(other), body(USER, ANSWER, NEXT), body(other)]
    assert_prefix_stable(requests)
    assert_prefix_stable(requests, conversations=2)


@pytest.mark.parametrize(
    "after",
    [
        body({**USER, "content": "HI"}, ANSWER, NEXT),
        body(USER, ANSWER, NEXT, model="another"),
    ],
    ids=["first message edited", "model switched"],
)
def test_what_only_looks_like_a_new_conversation_is_found_by_their_number(after: bytes) -> None:
    assert_prefix_stable([body(USER, ANSWER), after])
    with pytest.raises(AssertionError, match="2 conversations in place of 1"):
        assert_prefix_stable([body(USER, ANSWER), after], conversations=1)


def test_nothing_to_look_at_is_no_success() -> None:
    with pytest.raises(AssertionError):
        assert_prefix_stable([])
    with pytest.raises(TypeError):
        assert_prefix_stable(5)
    with pytest.raises(TypeError, match="without its bytes"):
        assert_prefix_stable(["text"])
