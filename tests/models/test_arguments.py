"""Arguments: strict, three safe repairs, never a guess."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.models.arguments import Broken, Parsed, nearest_name, parse_arguments

REPAIRED: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ('{"a": 1,}', {"a": 1}, ("trailing comma",)),
    ('{"a": [1, 2, ], }', {"a": [1, 2]}, ("trailing comma",)),
    ('{"a": "x\ny\tz"}', {"a": "x\ny\tz"}, ("raw newline",)),
    ('```json\n{"a": 1}\n```', {"a": 1}, ("code fence",)),
    ('```\n{"a": "x\n",}\n```', {"a": "x\n"}, ("code fence", "raw newline", "trailing comma")),
    ('{"a": ",}\n",}', {"a": ",}\n"}, ("raw newline", "trailing comma")),
    ("", {}, ()),
    ("  \n", {}, ()),
    ('{"a": 1, "a": 1}', {"a": 1}, ()),
]


@pytest.mark.parametrize(("text", "value", "repairs"), REPAIRED)
def test_safe_repairs_are_made_and_named(
    text: str, value: dict[str, Any], repairs: tuple[str, ...]
) -> None:
    assert parse_arguments(text) == Parsed(value, repairs)


BROKEN = [
    ('{"path": ', True, "ends in the middle"),
    ('{"path": "src/ma', True, "ends in the middle"),
    ('{"a": [1, 2', True, "ends in the middle"),
    ('```json\n{"a": "b', True, "ends in the middle"),
    ('{"o": not json}', False, "character 6"),
    ("{'a': 1}", False, "character"),
    ('{"a": "b"c"}', False, "character"),
    ("[1]", False, "one JSON object, not an array"),
    ('"{}"', False, "one JSON object"),
    ("null", False, "one JSON object"),
    ('{"a": 1, "a": 2}', False, "given twice"),
    ('{"a": NaN}', False, "NaN"),
    ("[" * 100_000, False, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "truncated", "reason"), BROKEN, ids=lambda value: str(value)[:20])
def test_what_is_broken_is_told_and_never_executed(text: str, truncated: bool, reason: str) -> None:
    broken = parse_arguments(text)
    assert isinstance(broken, Broken)
    assert broken.truncated is truncated
    assert reason in broken.reason
    assert len(broken.reason) < 200


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.booleans())
def test_valid_arguments_are_never_changed(value: dict[str, Any], ascii_only: bool) -> None:
    assert parse_arguments(json.dumps(value, ensure_ascii=ascii_only)) == Parsed(value)


@given(st.dictionaries(st.text(max_size=5), json_values, min_size=1), st.data())
def test_a_cut_text_is_never_taken_for_a_whole_one(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    assert isinstance(parse_arguments(cut), Broken)


def test_the_tool_that_was_probably_meant() -> None:
    tools = ["bash", "str_replace_editor", "search"]
    assert nearest_name("Bash", tools) == "bash"
    assert nearest_name("functions.bash", tools) == "bash"
    assert nearest_name("str-replace-edit", tools) == "str_replace_editor"
    assert nearest_name("teleport", tools) == ""
