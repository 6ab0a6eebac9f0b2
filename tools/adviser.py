"""``consult``: the model asks a stronger one."""

from __future__ import annotations

from typing import Any

from agentkit.errors import ToolError
from agentkit.tool import Claim, ToolContext, ToolResult, tool


def _claims(_arguments: dict[str, Any]) -> tuple[Claim, ...]:
    """It touches nothing: it needs no approval, and makes no passed check stale."""
    return (Claim("adviser", write=False),)


@tool(claims=_claims)
async def consult(context: ToolContext, question: str) -> ToolResult:
    """Ask a stronger model when stuck."""
    if not question.strip():
        raise ToolError("the question is empty")
    return await context.consult(question.strip())
