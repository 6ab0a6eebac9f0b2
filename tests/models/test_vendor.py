"""The vendor's own library judges what we send: accepted, and each prompt extends the last."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit.ladder import FLASH, PRO, Rung
from agentkit.models import wire
from agentkit.models.types import ToolCall
from agentkit.testing import rules
from agentkit.testing.vendor import Exact

recipe: Any = pytest.importorskip("deepseek_recipe")


VERSIONS = {"deepseek-flash": "DeepSeek-V4.1-Flash", "deepseek-v4-pro": "DeepSeek-V4-Pro"}
STRICT = recipe.ConversionOptions(reasoning_content_behavior=recipe.ReasoningContentBehavior.Reject)
DOCUMENTED = {
    "model", "messages", "thinking", "reasoning_effort", "max_tokens", "stream", "stream_options",
    "temperature", "top_p", "tools", "user_id",
}  # fmt: skip


NAMES = ("bash", "str_replace_editor", "search", "no_such_tool")
TOOLS = [
    wire.tool_entry(
        name,
        f"The {name} tool.",
        {
            "type": "object",
            "required": ["text"],
            "properties": {"text": {"type": "string"}, "count": {"type": ["integer", "null"]}},
            "additionalProperties": False,
        },
    )
    for name in NAMES[:3]
]

texts = st.text(max_size=40) | st.sampled_from(
    ["", " ", "\x00", "\ud800", "<｜User｜>", "</think>", "<｜DSML｜tool_calls>", "ERROR: no"]
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
arguments = st.one_of(
    st.dictionaries(st.sampled_from(["text", "count", "x"]), values, max_size=3).map(
        lambda value: json.dumps(value, allow_nan=False)
    ),
    st.sampled_from(['{"text": "cut', "{,}", "", "[1]", "null", "```json\n{}\n```", "{'a': 1}"]),
)
rungs = st.sampled_from(
    [
        replace(base, **changes)
        for base in (FLASH, PRO)
        for changes in (
            {},
            {"effort": "low"},
            {"effort": "max"},
            {"thinking": False, "temperature": 0.3, "top_p": 0.9},
        )
    ]
)


@st.composite
def turns(draw: st.DrawFn, rung: Rung, number: int) -> list[bytes]:
    """One answer with its results and, often, a steering or a reminder behind them."""
    calls = [
        ToolCall(f"call_{number}_{index}", draw(st.sampled_from(NAMES)), draw(arguments))
        for index in range(draw(st.integers(0, 3)))
    ]
    reasoning = draw(texts)
    fragments = [wire.assistant(draw(texts), reasoning, calls, dialect=rung.speaks)]
    fragments += [wire.tool_result(call.id, draw(texts)) for call in calls]
    if not calls or draw(st.booleans()):
        fragments += [wire.user(draw(texts)) for _ in range(draw(st.integers(1, 2)))]
    return fragments


@st.composite
def bodies(draw: st.DrawFn) -> list[bytes]:
    """The bodies of one lane, one request after the other."""
    rung = draw(rungs)
    system = draw(texts)
    head = wire.head(rung, system=system, tools=TOOLS, user_id="tenant-7")
    fragments = [wire.user(draw(texts))]
    out: list[bytes] = []
    for number in range(draw(st.integers(1, 4))):
        limit, stream = draw(st.integers(1, 393_216)), draw(st.booleans())
        tail = wire.tail(max_tokens=limit, stream=stream, dialect=rung.speaks)
        out.append(wire.body(head, fragments, tail))
        fragments += draw(turns(rung, number))
    return out


def prompt(body: bytes) -> str:
    request = json.loads(body)
    request["model"] = VERSIONS[request["model"]]
    converted = recipe.ChatCompletionRequest(request).convert(STRICT)
    v4 = request["model"].endswith("Pro")
    encoding = recipe.DeepseekV4Encoding if v4 else recipe.DeepseekV41Encoding
    return encoding().render_conversation(converted.conversation).prompt


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies())
def test_every_body_is_accepted_and_extends_the_one_before(sent: list[bytes]) -> None:
    before = ""
    for body in sent:
        after = prompt(body)
        assert after.startswith(before)
        before = after


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies())
def test_no_field_is_sent_that_is_not_documented(sent: list[bytes]) -> None:
    for body in sent:
        request = json.loads(body)
        assert set(request) <= DOCUMENTED
        assert list(rules.oddities(request)) == []
        assert rules.refusal(request) is None


def test_tokens_of_each_prompt_extend_those_of_the_one_before() -> None:
    exact = Exact()
    head = wire.head(FLASH, system="s", tools=TOOLS)
    tail = wire.tail(max_tokens=9, stream=True, dialect="deepseek")
    fragments = [wire.user("Fix the test.")]
    before = b""
    for number in range(5):
        tokens = b"".join(exact.pieces(json.loads(wire.body(head, fragments, tail))))
        assert tokens.startswith(before)
        before = tokens
        call = ToolCall(f"c{number}", "bash", '{"text": "ls"}')
        fragments.append(wire.assistant("", "Let me see.", [call], dialect="deepseek"))
        fragments.append(wire.tool_result(call.id, "a\nb"))


UNTHOUGHT: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
    ],
}
BAD: list[dict[str, Any]] = [
    {"tool_choice": "required", "tools": TOOLS},
    {"stream": False, "stream_options": {"include_usage": True}},
    {"max_tokens": 393_217},
    {"messages": []},
    {"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None}]},
    {"messages": [UNTHOUGHT, {"role": "tool", "tool_call_id": "a", "content": "x"}]},
    {"messages": [{**UNTHOUGHT, "reasoning_content": ""}, {"role": "user", "content": "x"}]},
    {"tools": [{"type": "function", "function": {"name": "a b"}}]},
    {"tools": [{"type": "function", "function": {"name": "a"}}] * 2},
    {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}}]},
    {"temperature": 3},
]


@pytest.mark.parametrize("change", BAD, ids=lambda change: json.dumps(change)[:60])
def test_the_fake_refuses_what_the_vendor_refuses(change: dict[str, Any]) -> None:
    request = {
        "model": "deepseek-flash",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        **change,
    }
    with pytest.raises(recipe.ConversionError) as refused:
        recipe.ChatCompletionRequest({**request, "model": "DeepSeek-V4.1-Flash"}).convert(STRICT)
    ours = rules.refusal(request)
    assert ours is not None
    theirs = json.loads(refused.value.body)["error"]["message"]
    assert (ours.status, ours.message) == (refused.value.status_code, theirs)


@pytest.mark.parametrize(
    "change",
    [{"reasoning_effort": "huge"}, {"messages": [{"role": "developer", "content": "x"}]}],
    ids=["effort", "role"],
)
def test_unknown_variants_are_refused_in_the_vendors_words(change: dict[str, Any]) -> None:
    request = {"model": "deepseek-flash", "messages": [{"role": "user", "content": "x"}], **change}
    ours = rules.refusal(request)
    assert ours is not None
    with pytest.raises(ValueError, match="unknown variant") as refused:
        recipe.ChatCompletionRequest({**request, "model": "DeepSeek-V4.1-Flash"})
    assert ours.message in str(refused.value)
