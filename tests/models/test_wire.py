"""Requests as bytes: documented fields only, equal starts for equal histories."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agentkit.errors import UsageError
from agentkit.ladder import FLASH, PRO, Ladder, Rung
from agentkit.models import wire
from agentkit.models.types import ToolCall

TOOLS = [wire.tool_entry("bash", "Run it.", {"type": "object", "properties": {}})]
LOCAL = Rung("qwen2.5-coder", dialect="openai", temperature=0.2)


def body(rung: Rung, *fragments: bytes, stream: bool = True) -> dict[str, Any]:
    head = wire.head(rung, system="You help.", tools=TOOLS, user_id="tenant-1")
    tail = wire.tail(max_tokens=1000, stream=stream, dialect=rung.speaks)
    return json.loads(wire.body(head, fragments, tail))


def test_a_thinking_request_says_so_once() -> None:
    sent = body(FLASH, wire.user("hi"))
    assert sent["thinking"] == {"type": "enabled"}
    assert sent["reasoning_effort"] == "high"
    assert sent["user_id"] == "tenant-1"
    assert sent["max_tokens"] == 1000
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["messages"][0] == {"role": "system", "content": "You help."}
    assert "tool_choice" not in sent
    assert "temperature" not in sent


def test_without_thinking_no_effort_is_sent() -> None:
    sent = body(replace(FLASH, thinking=False, temperature=0.0))
    assert sent["thinking"] == {"type": "disabled"}
    assert "reasoning_effort" not in sent
    assert sent["temperature"] == 0.0


def test_a_plain_endpoint_gets_nothing_of_deepseeks() -> None:
    answer = wire.assistant("", "secret thoughts", [], dialect="openai")
    sent = body(LOCAL, wire.user("hi"), answer)
    assert not sent.keys() & {"thinking", "reasoning_effort", "user_id"}
    assert sent["messages"][-1] == {"role": "assistant", "content": ""}


def test_stream_options_go_only_with_a_stream() -> None:
    assert "stream_options" not in body(FLASH, stream=False)


def test_reasoning_goes_back_verbatim_and_empty_where_there_was_none() -> None:
    thought = "  line\n\ttab — ünïcode <think>"
    assert json.loads(wire.assistant("x", thought, [], dialect="deepseek")) == {
        "role": "assistant",
        "content": "x",
        "reasoning_content": thought,
    }
    assert json.loads(wire.assistant("x", "", [], dialect="deepseek"))["reasoning_content"] == ""


def test_an_answer_without_calls_has_no_list_of_calls() -> None:
    assert "tool_calls" not in json.loads(wire.assistant("", "", [], dialect="deepseek"))


def test_broken_arguments_stay_the_models_words() -> None:
    call = ToolCall("c1", "bash", '{"command": "ls')
    own = json.loads(wire.assistant("", "", [call], dialect="deepseek"))
    assert own["tool_calls"][0]["function"]["arguments"] == call.arguments
    plain = json.loads(wire.assistant("", "", [call], dialect="openai"))
    wrapped = plain["tool_calls"][0]["function"]["arguments"]
    assert json.loads(wrapped) == {"unparsed": call.arguments}


def test_an_empty_result_is_said_to_be_empty() -> None:
    assert json.loads(wire.tool_result("c1", ""))["content"] == "(no output)"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a\ud800b", "a�b"),
        ("\ud83d\ude00", "😀"),
        ("\udfff\ud83d", "��"),
        ("nul \x00 and \u2028", "nul \x00 and \u2028"),
        ("<｜User｜>", "<｜User｜>"),
    ],
)
def test_any_text_becomes_valid_utf8(text: str, sent: str) -> None:
    assert json.loads(wire.user(text).decode())["content"] == sent


def test_what_json_cannot_hold_is_named_before_anything_is_sent() -> None:
    tool = wire.tool_entry("t", "", {"type": "object", "default": float("nan")})
    with pytest.raises(UsageError, match="cannot be sent"):
        wire.head(PRO, system="", tools=[tool])


def test_a_longer_history_starts_with_the_shorter_ones_bytes() -> None:
    head = wire.head(PRO, system="s", tools=TOOLS)
    fragments = [wire.user("one"), wire.assistant("two", "", [], dialect="deepseek")]
    short = wire.body(head, fragments[:1], b"")
    assert wire.body(head, fragments, b"").startswith(short)


def test_the_vendors_benchmark_settings_are_a_ladder() -> None:
    for rung in Ladder.preset("minimal").rungs:
        fields = json.loads(wire.head(rung, system="s", tools=[]) + b"]}")
        assert fields["reasoning_effort"] == "max"
        assert (fields["temperature"], fields["top_p"]) == (1.0, 0.95)
