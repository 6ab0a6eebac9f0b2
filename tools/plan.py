"""``plan``: the visible plan of a larger task."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from agentkit.errors import ToolError
from agentkit.tool import Claim, ToolContext, ToolResult, tool
from agentkit.tools._text import clip_line

MOST_STEPS = 30


class Step(TypedDict):
    """One step of the plan."""

    step: str
    status: Literal["pending", "in_progress", "done"]


def _claims(_arguments: dict[str, Any]) -> tuple[Claim, ...]:
    """It touches no file: it needs no approval, and makes no passed check stale."""
    return (Claim("plan", write=False),)


@tool(claims=_claims, repeatable=True)
async def plan(context: ToolContext, steps: list[Step]) -> ToolResult:
    """Set the plan of a larger task: all its steps, at most one in progress."""
    if not steps:
        raise ToolError("the plan needs at least one step")
    if len(steps) > MOST_STEPS:
        raise ToolError(f"the plan has {len(steps)} steps; at most {MOST_STEPS} are allowed")
    empty = [number for number, each in enumerate(steps, 1) if not each["step"].strip()]
    if empty:
        raise ToolError(f"step {empty[0]} is empty")
    current = [each["step"] for each in steps if each["status"] == "in_progress"]
    if len(current) > 1:
        raise ToolError(f"{len(current)} steps are in_progress; at most one may be")
    context.update_plan([{"step": each["step"], "status": each["status"]} for each in steps])
    done = sum(each["status"] == "done" for each in steps)
    now = f"; now: {clip_line(current[0], 100)}" if current else ""
    return ToolResult(f"{done} of {len(steps)} steps done{now}")
