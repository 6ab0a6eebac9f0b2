"""What a server says of its tools' arguments, made safe: bounded, without references, closed.

A schema comes from a program that we do not know. It may be no valid JSON Schema, refer to itself,
or be small and become huge when its references are put in place. What cannot be used is replaced
by less, and said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from agentkit.schema import normalise

MOST_NODES = 2_000
"""Of one schema, with its references in place."""
MOST_DEPTH = 32
MOST_CHARACTERS = 16_000
"""Of one schema as the model reads it: some 4,000 tokens."""
ANY_OBJECT: Mapping[str, Any] = {
    "type": "object",
    "properties": {},
    "additionalProperties": True,
}
_OPAQUE = ("enum", "const", "default", "examples", "required")
_ONLY_THE_SERVER = ("pattern", "patternProperties", "format")
"""Not checked by us: a pattern of somebody else's can take for ever to match."""


class _TooLarge(Exception):
    """More nodes than a schema may have."""


def usable(schema: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The schema as a tool's parameters, and what was lost on the way ("" for nothing)."""
    try:
        flat = _Flattener(schema).flat()
        flat.setdefault("properties", {})
        flat["type"] = "object"
        _require_valid(flat)
        closed = normalise(flat)
        text = json.dumps(closed)
        if len(text) <= MOST_CHARACTERS:
            return closed, ""
        brief = cast("dict[str, Any]", _without_words(closed))
        if len(json.dumps(brief)) <= MOST_CHARACTERS:
            return brief, "its schema is too long, so the arguments have no descriptions"
        return dict(ANY_OBJECT), f"its schema has {len(text):,} characters and was left out"
    except _TooLarge:
        return dict(ANY_OBJECT), "its schema is too large and was left out"
    except Exception as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        return dict(ANY_OBJECT), f"its schema cannot be used: {words}"


def checkable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a schema that we check before a call; the rest is the server's to check."""
    return cast("dict[str, Any]", _filtered(schema, _ONLY_THE_SERVER))


def _require_valid(schema: Mapping[str, Any]) -> None:
    from jsonschema import Draft202012Validator

    validator: Any = Draft202012Validator  # its stubs leave this method's types open
    validator.check_schema(schema)


class _Flattener:
    """Puts definitions in the place of references, within bounds."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._nodes = 0

    def flat(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self._walk(self._schema, (), 0))

    def _walk(self, node: Any, trail: tuple[str, ...], depth: int, *, named: bool = False) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES or depth > MOST_DEPTH:
            raise _TooLarge
        if isinstance(node, list):
            return [self._walk(each, trail, depth + 1) for each in cast("list[Any]", node)]
        if not isinstance(node, Mapping):
            return node
        node = cast("Mapping[str, Any]", node)
        if not named and isinstance(node.get("$ref"), str):
            return self._resolved(node, trail, depth)
        return {
            str(key): value
            if not named and key in _OPAQUE
            else self._walk(value, trail, depth + 1, named=not named and key == "properties")
            for key, value in node.items()
            if named or key not in ("$defs", "definitions")
        }

    def _resolved(self, node: Mapping[str, Any], trail: tuple[str, ...], depth: int) -> Any:
        """What a reference points to; a part that holds itself is any value from there on."""
        target = str(node["$ref"])
        own = {key: value for key, value in node.items() if key != "$ref"}
        if target in trail:
            return {"description": "(as above, nested)", **own}
        found = self._pointed(target)
        return self._walk({**found, **own}, (*trail, target), depth + 1)

    def _pointed(self, target: str) -> Mapping[str, Any]:
        if not target.startswith("#"):
            raise ValueError(f"it refers to {target[:80]!r}, which lies elsewhere")
        found: Any = self._schema
        for escaped in target.removeprefix("#").split("/")[1:]:
            part = escaped.replace("~1", "/").replace("~0", "~")  # RFC 6901
            if not isinstance(found, Mapping) or part not in found:
                raise ValueError(f"it refers to {target[:80]!r}, which is not there")
            found = cast("Any", found[part])
        if not isinstance(found, Mapping):
            raise TypeError(f"it refers to {target[:80]!r}, which is no schema")
        return cast("Mapping[str, Any]", found)


def _without_words(node: Any) -> Any:
    return _filtered(node, ("description", "examples", "default"))


def _filtered(node: Any, dropped: Sequence[str], *, named: bool = False) -> Any:
    """A schema without these keywords; properties may be *called* so."""
    if isinstance(node, list):
        return [_filtered(each, dropped) for each in cast("list[Any]", node)]
    if not isinstance(node, Mapping):
        return node
    return {
        key: value
        if not named and key in _OPAQUE
        else _filtered(value, dropped, named=not named and key == "properties")
        for key, value in cast("Mapping[str, Any]", node).items()
        if named or key not in dropped
    }
