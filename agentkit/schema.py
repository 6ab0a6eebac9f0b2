"""JSON Schemas as the provider wants them: inlined, closed, in a fixed key order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from agentkit.errors import UsageError

_FIRST = ("type", "description", "required", "properties")
"""``required`` before ``properties``: models fill required arguments more reliably so
(ForgeCode's published ablation, 2026-03)."""

_DROPPED = ("title", "$defs", "definitions", "$schema", "$id")


def normalise(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without references or titles, closed, with keys in a fixed order.

    DeepSeek drops ``$defs`` silently and leaves references dangling (deepseek-recipe 0.2.0,
    2026-10), so they are inlined here.

    Raises:
        UsageError: a reference points nowhere or at itself.
    """
    definitions = {**schema.get("definitions", {}), **schema.get("$defs", {})}
    return cast("dict[str, Any]", _walk(schema, definitions, ()))


def _walk(node: Any, definitions: Mapping[str, Any], trail: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_walk(item, definitions, trail) for item in cast("list[Any]", node)]
    if not isinstance(node, Mapping):
        return node
    node = cast("Mapping[str, Any]", node)
    if "$ref" in node:
        return _resolved(node, definitions, trail)
    out: dict[str, Any] = {
        key: _value(key, value, definitions, trail)
        for key, value in node.items()
        if key not in _DROPPED
    }
    if "properties" in out and "additionalProperties" not in out:
        out["additionalProperties"] = False
    head = {key: out.pop(key) for key in _FIRST if key in out}
    return head | out


def _value(key: str, value: Any, definitions: Mapping[str, Any], trail: tuple[str, ...]) -> Any:
    if key == "properties":  # a property may be *called* title or $ref
        return {name: _walk(each, definitions, trail) for name, each in value.items()}
    if key in ("enum", "const", "default", "examples", "required"):
        return value
    return _walk(value, definitions, trail)


def _resolved(
    node: Mapping[str, Any], definitions: Mapping[str, Any], trail: tuple[str, ...]
) -> Any:
    name = str(node["$ref"]).rsplit("/", 1)[-1]
    if name in trail:
        raise UsageError(
            f"the schema refers to itself through {name!r}",
            hint="The provider cannot take recursive schemas; use a plain object or a string",
        )
    if name not in definitions:
        raise UsageError(f"the schema refers to {node['$ref']!r}, which it does not define")
    own = {key: value for key, value in node.items() if key != "$ref"}
    return _walk({**definitions[name], **own}, definitions, (*trail, name))
