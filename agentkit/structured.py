"""Structured results: a ``finish`` tool whose arguments are the result, validated by pydantic.

Until the run ends the result is kept as the model gave it: what a type writes it need not be able
to read (aliases, computed fields).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from agentkit.errors import ToolError, UsageError
from agentkit.schema import normalise
from agentkit.tool import Tool, ToolContext, ToolResult, explain_errors


@dataclass(frozen=True, slots=True)
class Structured:
    """One type of result. What is not an object is wrapped in one, as ``result``."""

    adapter: Any
    schema: Mapping[str, Any]
    wrapped: bool

    @classmethod
    def of(cls, output_type: Any) -> Structured:
        """The description of a type.

        Raises:
            UsageError: pydantic cannot describe it as JSON Schema.
        """
        from pydantic import PydanticUserError, TypeAdapter

        try:
            adapter = TypeAdapter(output_type)
            schema = adapter.json_schema()
        except PydanticUserError as error:
            raise UsageError(f"output_type {output_type!r} has no JSON Schema: {error}") from error
        wrapped = schema.get("type") != "object"
        if wrapped:
            definitions = schema.pop("$defs", {})
            inner = {"result": schema}
            schema = {
                "type": "object",
                "properties": inner,
                "required": ["result"],
                "$defs": definitions,
            }
        return cls(adapter, normalise(schema), wrapped)

    def validate(self, value: Any) -> Any:
        """The instance that a JSON value describes: arguments of ``finish``, or a plain answer.

        Raises:
            ToolError: what is wrong with it, in words for the model.
        """
        from pydantic import ValidationError

        if self.wrapped and isinstance(value, dict) and "result" in value:
            value = cast("dict[str, Any]", value)["result"]
        try:
            return self.adapter.validate_json(json.dumps(value))  # strict types know it is JSON
        except ValidationError as error:
            raise ToolError(explain_errors(error, self.schema)) from error

    def parse(self, text: str) -> Any:
        """The valid JSON value that a plain answer is, with or without a code fence.

        Raises:
            ToolError: it is no JSON, or not of the type.
        """
        body = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ToolError("it is not JSON.") from error
        self.validate(value)
        return value

    def plain(self, value: Any) -> Any:
        """The instance as JSON types, for the log."""
        return self.adapter.dump_python(value, mode="json")

    def finish_tool(self) -> Tool:
        """The ``finish`` tool for this type."""

        def check(arguments: dict[str, Any]) -> dict[str, Any]:
            self.validate(arguments)
            return {"value": arguments}

        async def run(_context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
            value = arguments["value"]
            output = json.dumps(self.plain(self.validate(value)))
            return ToolResult("Finished.", data={"result": value, "output": output})

        description = "Give the result and end the task. Call it once, alone, when all is done."
        return Tool("finish", description, self.schema, run, check, ends_run=True)
