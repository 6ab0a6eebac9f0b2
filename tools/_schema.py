"""Shorter schemas: every token of the tool list is in every first prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from agentkit.tool import Tool


def compact(tool: Tool) -> Tool:
    """The tool with optional arguments shown as plain ones.

    ``anyOf: [X, null]`` with ``default: null`` says no more than that the argument is not
    required. A null is still accepted, because models do send it.
    """
    properties = cast("Mapping[str, Any]", tool.parameters.get("properties", {}))
    shorter = {name: _without_null(each) for name, each in properties.items()}
    return replace(tool, parameters={**tool.parameters, "properties": shorter})


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(schema)
    if "default" in out and out["default"] in (None, ""):
        del out["default"]
    options = out.get("anyOf", ())
    others = [each for each in options if each != {"type": "null"}]
    if len(options) == 2 and len(others) == 1:
        del out["anyOf"]
        out = {**others[0], **out}
    return out
