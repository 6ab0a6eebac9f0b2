"""Tools out of functions: schemas, checked arguments, results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from agentkit import Claim, Tool, ToolError, UsageError, tool
from agentkit.schema import normalise
from agentkit.tool import ToolContext, ToolResult, as_result

pytestmark = pytest.mark.anyio


class Point(BaseModel):
    x: int
    tags: list[str] = []


@dataclass
class Plain:
    name: str


@tool
def locate(
    name: str, near: Point | None = None, unit: Literal["m", "km"] = "m", limit: int = 5
) -> dict[str, Any]:
    """Find a place.

    It looks everywhere.

    Args:
        name: what to look for,
            in any language
        near: where to begin

    Returns:
        A dictionary nobody sees described.
    """
    return {"name": name, "near": near, "unit": unit, "limit": limit}


NO_CONTEXT: Any = None


def test_schema_comes_from_annotations_and_docstring() -> None:
    assert locate.name == "locate"
    assert locate.description == "Find a place.\n\nIt looks everywhere."
    properties = locate.parameters["properties"]
    assert properties["name"] == {
        "type": "string",
        "description": "what to look for, in any language",
    }
    assert properties["unit"]["enum"] == ["m", "km"]
    assert locate.parameters["required"] == ["name"]
    assert locate.parameters["additionalProperties"] is False
    assert "$ref" not in str(locate.parameters)
    assert "title" not in str(locate.parameters)


def test_required_stands_before_properties() -> None:
    assert list(locate.parameters)[:3] == ["type", "required", "properties"]


async def test_arguments_get_their_types() -> None:
    arguments = locate.check({"name": "Ulm", "near": {"x": "4"}, "limit": "7"})
    assert arguments["near"] == Point(x=4)
    result = await locate.run(NO_CONTEXT, arguments)
    assert result.content == '{"name":"Ulm","near":{"x":4,"tags":[]},"unit":"m","limit":7}'


def test_wrong_arguments_name_the_field_and_what_was_expected() -> None:
    with pytest.raises(ToolError) as caught:
        locate.check({"near": {"x": "far"}, "unit": "mile", "nmae": "Ulm"})
    text = str(caught.value)
    assert "missing argument 'name'" in text
    assert "unknown argument 'nmae'" in text
    assert "'unit'" in text
    assert "'m' or 'km'" in text
    assert "Expected arguments: name: string" in text


async def test_context_is_passed_in_and_hidden() -> None:
    @tool
    async def whoami(context: ToolContext, polite: bool = False) -> str:
        """Say it."""
        return f"{context.session_id}{'!' if polite else ''}"

    assert list(whoami.parameters["properties"]) == ["polite"]
    context: Any = type("Context", (), {"session_id": "s1"})()
    assert (await whoami.run(context, whoami.check({"polite": True}))).content == "s1!"


async def test_sync_functions_run_beside_the_event_loop() -> None:
    import threading

    @tool
    def where() -> str:
        """Name the thread."""
        return threading.current_thread().name

    assert (await where.run(NO_CONTEXT, {})).content != threading.current_thread().name


def test_a_parameter_without_a_type_is_refused() -> None:
    def loose(a) -> str:  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
        return str(a)  # pyright: ignore[reportUnknownArgumentType]

    with pytest.raises(UsageError, match="'a'"):
        tool(loose)  # pyright: ignore[reportUnknownArgumentType]


def test_an_annotation_that_cannot_be_found_is_named() -> None:
    class Local:
        pass

    def late(a: Local) -> str:
        return str(a)

    with pytest.raises(UsageError, match="'Local' cannot be resolved"):
        tool(late)


def test_names_that_the_provider_refuses_are_refused_here() -> None:
    with pytest.raises(UsageError, match="cannot be a tool's name"):

        @tool(name="not a name")
        def fine() -> str:  # pyright: ignore[reportUnusedFunction]
            """Do."""
            return ""


async def test_json_schema_tools_are_checked_with_jsonschema() -> None:
    async def run(arguments: dict[str, Any]) -> object:
        return arguments

    made = Tool.from_schema(
        "lookup",
        "Look up.",
        {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        run,
        read_only=True,
    )
    with pytest.raises(ToolError, match="id: 'x' is not of type 'integer'"):
        made.check({"id": "x"})
    assert (await made.run(NO_CONTEXT, made.check({"id": 3}))).content == '{"id":3}'
    assert made.claims({}) == (Claim("*", write=False),)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, "(no output)"),
        ([1, "two"], '[1,"two"]'),
        (Point(x=1), '{"x":1,"tags":[]}'),
        (Plain("p"), '{"name":"p"}'),
        (ToolResult("own"), "own"),
    ],
)
def test_results_become_text(value: object, text: str) -> None:
    assert as_result(value).content == text


def test_references_are_inlined_and_loops_refused() -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"$ref": "#/$defs/Title"}},
        "$defs": {"Title": {"type": "string", "title": "Title"}},
    }
    assert normalise(schema)["properties"] == {"title": {"type": "string"}}
    looped = {
        "type": "object",
        "properties": {"child": {"$ref": "#/$defs/Node"}},
        "$defs": {"Node": {"type": "object", "properties": {"child": {"$ref": "#/$defs/Node"}}}},
    }
    with pytest.raises(UsageError, match="refers to itself"):
        normalise(looped)


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        (Claim("file:a"), Claim("file:a"), True),
        (Claim("file:a"), Claim("file:b"), False),
        (Claim("file:a", write=False), Claim("file:a", write=False), False),
        (Claim("*"), Claim("file:a", write=False), True),
        (Claim("*", write=False), Claim("file:a", write=False), False),
    ],
)
def test_claims_conflict_when_one_writes_what_the_other_touches(
    one: Claim, other: Claim, conflict: bool
) -> None:
    assert one.conflicts(other) is conflict
    assert other.conflicts(one) is conflict
