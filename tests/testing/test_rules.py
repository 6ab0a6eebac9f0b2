"""The fake provider refuses what the vendor's own library refuses, and takes what that takes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from itertools import combinations
from random import Random
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit.testing import rules
from agentkit.testing.faults import HttpFault

recipe: Any = pytest.importorskip("deepseek_recipe")

STRICT = recipe.ConversionOptions(reasoning_content_behavior=recipe.ReasoningContentBehavior.Reject)
VERSIONS = {"deepseek-flash": "DeepSeek-V4.1-Flash", "deepseek-v4-pro": "DeepSeek-V4-Pro"}

EXCEPTIONS = {
    "an array in place of an object": (
        "the library reads [null] as an object's fields in their order, a habit of its parser"
        " that no document promises; the fake refuses it"
    ),
    "strict and other tools together": (
        "refused by the library, answered 200 by the provider's normal endpoint (recorded"
        " traffic, deepseek.md §3.4); the fake takes it"
    ),
}
"""Where the two may differ, and why."""

WORDS_OF_OTHERS = re.compile("invalid request body|Invalid schema for function")
"""Two parsers and two checkers of schemas tell what they found, each in its own words."""


def call(id: str) -> dict[str, Any]:
    function = {"name": "bash", "arguments": '{"text":"x"}'}
    return {"id": id, "type": "function", "function": function}


def tool(name: str) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": name,
        "description": "d",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": [],
        },
    }
    return {"type": "function", "function": function}


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Answer as json."},
    {"role": "user", "content": "Look."},
    {"role": "assistant", "content": "", "reasoning_content": "r",
     "tool_calls": [call("a"), call("b")]},
    {"role": "tool", "tool_call_id": "b", "content": "1"},
    {"role": "tool", "tool_call_id": "a", "content": "2"},
    {"role": "assistant", "content": "Done.", "reasoning_content": ""},
    {"role": "user", "content": [{"type": "text", "text": "More."}]},
]  # fmt: skip
OPTIONS: dict[str, list[Any]] = {
    "stream": [True],
    "stream_options": [{"include_usage": True}],
    "max_tokens": [1, 393_216],
    "thinking": [{"type": "enabled"}, {"type": "disabled"}],
    "reasoning_effort": ["low", "high", "max", "xhigh", "none"],
    "temperature": [0, 0.5, 2],
    "top_p": [0.9, 1],
    "user_id": ["tenant-7"],
    "tool_choice": ["auto", "none", "required", {"type": "function", "function": {"name": "bash"}}],
    "response_format": [{"type": "text"}, {"type": "json_object"}],
    "stop": ["a", ["a", "b"], []],
    "logprobs": [True],
    "top_logprobs": [0, 20],
    "frequency_penalty": [0.5],
    "presence_penalty": [-2],
    "seed": [3],
    "n": [1],
    "tools": [[tool("bash"), tool("look")]],
}
ANYTHING: list[Any] = [
    None, "", "x", "a b", 0, -1, 1, 1.5, 21, 10**6, 2**63, True, False, [], {}, ["x"], [""], [{}],
    [None], {"type": "x"}, "required", "none", "assistant", "user", "tool", "system", "developer",
    "latest_reminder", {"type": "image_url", "image_url": {"url": "data:,x"}},
]  # fmt: skip
ADDED = ("prefix", "name", "content", "reasoning_content", "tool_calls", "extra", "strict", "index")


def a_body(random: Random) -> dict[str, Any]:
    """A request, often one that should be taken, as the spoilers below begin with."""
    body: dict[str, Any] = {"model": random.choice(list(VERSIONS))}
    for name, values in OPTIONS.items():
        if random.random() < 0.5:
            body[name] = random.choice(values)
    if "logprobs" not in body:
        body.pop("top_logprobs", None)
    body["messages"] = MESSAGES[: random.choice([2, 5, 6, 7, 7])]
    return copy.deepcopy(body)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Ways to all parts of a value, but the model's name."""
    keys: list[Any] = [*fields(value), *range(len(items(value)))]
    for key in keys:
        if key != "model":
            yield (*path, key)
            yield from paths(value[key], (*path, key))


def fields(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def spoil(body: dict[str, Any], random: Random) -> None:
    """Put something else in one place, or take it away, double it, exchange it, add a field."""
    *way, key = random.choice(list(paths(body)))
    parent: Any = body
    for step in way:
        parent = parent[step]
    what = random.choice(["set", "set", "delete", "double", "exchange", "add"])
    if what == "set":
        parent[key] = copy.deepcopy(random.choice(ANYTHING))
    elif what == "delete":
        del parent[key]
    elif what == "add" and fields(parent):
        parent[random.choice(ADDED)] = copy.deepcopy(random.choice(ANYTHING))
    elif what == "double" and items(parent):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif what == "exchange" and items(parent):
        other = random.randrange(len(items(parent)))
        parent[key], parent[other] = parent[other], parent[key]


def vendors(body: dict[str, Any]) -> HttpFault | None:
    """The library's verdict, in its strictest mode."""
    raw = json.dumps({**body, "model": VERSIONS[body["model"]]}).encode()
    try:
        recipe.ChatCompletionRequest(raw).convert(STRICT)
    except recipe.ConversionError as error:
        return HttpFault(error.status_code, json.loads(error.body)["error"]["message"])
    except ValueError as error:  # it cannot even be read
        return HttpFault(422, str(error))
    return None


def excepted(body: dict[str, Any]) -> bool:
    """Whether one of ``EXCEPTIONS`` is met."""
    functions = [each.get("function") for each in rules.tables(body.get("tools"))]
    strict = {bool(rules.table(each).get("strict")) for each in functions}
    objects = [
        *(body.get(name) for name in ("thinking", "response_format", "stream_options")),
        body.get("tool_choice"),
        rules.table(body.get("tool_choice")).get("function"),
        *functions,
        *(
            call.get("function")
            for message in rules.tables(body.get("messages"))
            for call in rules.tables(message.get("tool_calls"))
        ),
    ]
    return len(strict) > 1 or any(isinstance(each, list) for each in objects)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_both_take_a_body_or_both_refuse_it_with_the_same_status_and_words(
    random: Random, faults: int
) -> None:
    body = a_body(random)
    for _ in range(faults):
        spoil(body, random)
    if excepted(body):
        return
    ours, theirs = rules.refusal(body), vendors(body)
    assert (ours is None) == (theirs is None), (ours, theirs)
    if ours is None or theirs is None:
        return
    assert ours.status == theirs.status, (ours, theirs)
    if not WORDS_OF_OTHERS.match(theirs.message):
        assert ours.message == theirs.message


def test_the_generator_makes_bodies_of_both_kinds() -> None:
    verdicts = [vendors(a_body(Random(seed))) for seed in range(200)]
    assert 50 < sum(verdict is None for verdict in verdicts) < 190


def test_the_exceptions_are_still_true() -> None:
    body: dict[str, Any] = {"model": "deepseek-flash", "messages": MESSAGES[:2], "stream": True}
    positional = {**body, "stream_options": [None]}
    assert vendors(positional) is None
    assert rules.refusal(positional) is not None
    strict = tool("bash")
    strict["function"] |= {"strict": True}
    strict["function"]["parameters"]["required"] = ["text"]
    mixed = {**body, "tools": [strict, tool("look")]}
    refused = vendors(mixed)
    assert refused is not None
    assert "strict" in refused.message
    assert rules.refusal(mixed) is None
    assert len(EXCEPTIONS) == 2


WRONG: dict[str, dict[str, Any]] = {
    "max_tokens": {"max_tokens": 0},
    "stream_options": {"stream_options": {"include_usage": True}},
    "n": {"n": 2},
    "seed": {"seed": 2**63},
    "temperature": {"temperature": 3},
    "top_p": {"top_p": 2},
    "presence_penalty": {"presence_penalty": 3},
    "frequency_penalty": {"frequency_penalty": 3},
    "top_logprobs alone": {"top_logprobs": 3},
    "top_logprobs": {"logprobs": True, "top_logprobs": 25},
    "stop": {"stop": ""},
}


@pytest.mark.parametrize("pair", list(combinations(WRONG, 2)), ids=" and ".join)
def test_of_two_wrong_limits_both_name_the_same_one(pair: tuple[str, str]) -> None:
    body: dict[str, Any] = {
        "model": "deepseek-flash",
        "messages": [{"role": "user", "content": "hi"}],
        **WRONG[pair[0]],
        **WRONG[pair[1]],
    }
    ours, theirs = rules.refusal(body), vendors(body)
    assert ours is not None
    assert theirs is not None
    assert ours.message == theirs.message
