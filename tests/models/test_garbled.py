"""Answers of any shape: whatever a provider sends is an answer with texts in it, or a typed error.

A wrong type that passes the parser would end a run with a traceback somewhere else.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentkit.errors import ModelError, StreamCut
from agentkit.models import wire
from agentkit.models.faults import classify
from agentkit.models.leaks import recover
from agentkit.models.stream import Assembler, completion, usage_of
from agentkit.models.types import Answer, ToolCall

_WORDS = st.sampled_from(["", "stop", "tool_calls", "length", "content_filter", "{}", "bash"])
_LEAVES = st.none() | st.booleans() | st.integers(-5, 10**30) | st.floats(allow_nan=False) | _WORDS
_JUNK = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_WORDS, inner, max_size=2),
    max_leaves=3,
)


def shaped(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object with these fields, any of them missing or of another type, or something else."""
    return st.fixed_dictionaries({}, optional={k: v | _JUNK for k, v in fields.items()}) | _JUNK


_COUNTS = {name: st.integers(0, 99) for name in ("prompt_tokens", "completion_tokens")}
_CALL = shaped(index=st.integers(0, 2), id=_WORDS, function=shaped(name=_WORDS, arguments=_WORDS))
_MESSAGE = shaped(content=_WORDS, reasoning_content=_WORDS, tool_calls=st.lists(_CALL, max_size=3))
_BODY = shaped(
    choices=st.lists(
        shaped(delta=_MESSAGE, message=_MESSAGE, finish_reason=_WORDS, text=_WORDS), max_size=2
    ),
    usage=shaped(**_COUNTS, prompt_tokens_details=shaped(cached_tokens=st.integers(0, 9))),
    model=_WORDS,
    system_fingerprint=_WORDS,
    error=shaped(code=st.integers(100, 700), message=_WORDS),
)


def is_sound(answer: Answer) -> bool:
    texts: list[Any] = [answer.content, answer.reasoning, answer.served_model, answer.fingerprint]
    texts += [text for call in answer.calls for text in (call.id, call.name, call.arguments)]
    numbers = [answer.usage.prompt_tokens, answer.usage.hit_tokens, answer.usage.completion_tokens]
    return all(isinstance(each, str) for each in texts) and all(0 <= n <= 10**9 for n in numbers)


@settings(max_examples=300, deadline=None)
@given(_BODY)
@example({"choices": [{"message": {"content": ["a part"]}, "finish_reason": "stop"}]})
@example({"choices": [{"message": {"content": "x"}, "finish_reason": {"type": "stop"}}]})
@example({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": [1]})
def test_a_body_of_any_shape(body: Any) -> None:
    with suppress(ModelError):
        assert is_sound(completion(json.dumps(body).encode()))


@settings(max_examples=300, deadline=None)
@given(st.lists(_BODY, max_size=4))
@example([{"model": {"name": "m"}, "choices": [{"delta": {}, "finish_reason": "stop"}]}])
@example([{"choices": [{"delta": {"content": 5}, "finish_reason": "stop"}]}])
def test_events_of_any_shape(bodies: list[Any]) -> None:
    assembler = Assembler()
    try:
        shown = [delta for body in bodies for delta in assembler.feed(json.dumps(body))]
        assembler.feed("[DONE]")
        assert is_sound(assembler.answer())
        assert all(isinstance(delta.text, str) for delta in shown)
    except ModelError:
        pass


def test_json_nested_without_end_is_an_unreadable_answer_like_any_other() -> None:
    deep = "[" * 200_000
    with pytest.raises(StreamCut):
        completion(f'{{"choices":{deep}'.encode())
    with pytest.raises(StreamCut):
        Assembler().feed(f'{{"choices":{deep}')
    assert classify(500, f'{{"error":{deep}').status == 500
    leak = f'<tool_call>{{"name": "bash", "arguments": {{"a": {deep}}}}}</tool_call>'
    assert recover(leak) is None
    sent = wire.assistant("", "", [ToolCall("1", "bash", deep)], dialect="llama.cpp")
    assert b"unparsed" in sent


def test_a_count_that_no_price_can_be_made_of_is_not_reported() -> None:
    usage = usage_of({"prompt_tokens": 10**5_000, "completion_tokens": 10**5_000})
    assert (usage.prompt_tokens, usage.completion_tokens, usage.reported) == (0, 0, False)


def piece(arguments: str = "", **fields: Any) -> str:
    index = {"index": fields.pop("index")} if "index" in fields else {}
    id = {"id": fields.pop("id")} if "id" in fields else {}
    call = {**index, **id, "function": {**fields, "arguments": arguments}}
    return json.dumps({"choices": [{"delta": {"tool_calls": [call]}}]})


TWO = [("bash", '{"command": "ls"}'), ("view", '{"path": "a"}')]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(
            [
                piece(index=0, id="a", name="bash"),
                piece('{"command": "ls"}', index=0),
                piece(index=0, id="b", name="view"),
                piece('{"path": "a"}', index=0),
            ],
            id="one-index-for-all",
        ),
        pytest.param(
            [piece('{"command": "ls"}', id="a", name="bash"),
             piece('{"path": ', id="b", name="view"), piece('"a"}')],
            id="no-index",
        ),
        pytest.param(
            [piece('{"command": "ls"}', name="bash"), piece('{"path": "a"}', name="view")],
            id="neither-index-nor-id",
        ),
        pytest.param(
            [
                piece(index=1, id="b", name="view"),
                piece('{"command"', index=0, id="a", name="bash"),
                piece('{"path": "a"}', index=1, id="b", name="view"),
                piece(': "ls"}', index=0, id="a", name="bash"),
            ],
            id="out-of-order-and-the-name-repeated",
        ),
        pytest.param(
            [
                piece(index=0, id="a", name="bash"),
                piece('{"command": ', index=0, id="a2"),
                piece('"ls"}', index=0, id="a3"),
                piece('{"path": "a"}', index=1, id="b", name="view"),
            ],
            id="another-id-for-each-piece",
        ),
    ],
)  # fmt: skip
def test_calls_whose_index_is_missing_or_repeated_are_told_apart(pieces: list[str]) -> None:
    assembler = Assembler()
    for each in pieces:
        assembler.feed(each)
    assembler.feed('{"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}')
    assembler.feed("[DONE]")
    assert [(call.name, call.arguments) for call in assembler.answer().calls] == TWO
