"""``plan``: the visible plan of a larger task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import (
    Any,
    Literal,
    NotRequired,  # pydantic needs this one before Python 3.12
)

from typing_extensions import TypedDict

from agentkit.errors import ToolError
from agentkit.events.work import is_statement
from agentkit.tool import PLAN, READS_ALL, Claim, ToolContext, ToolResult, tool
from agentkit.tools._text import clip_line

MOST_STEPS = 30


class Step(TypedDict):
    """One step of the plan."""

    step: str
    status: Literal["pending", "in_progress", "done"]
    check: NotRequired[str]


def _claims(arguments: dict[str, Any]) -> tuple[Claim, ...]:
    """It writes nothing: it makes no passed check stale, and checks are judged by what they run.

    Where checks are to run, it waits for the calls before it.
    """
    steps: list[Any] = arguments.get("steps") or []
    checked = any(isinstance(each, dict) and "check" in each for each in steps)
    return (PLAN, *((READS_ALL,) if checked else ()))


def _checks(arguments: Mapping[str, Any]) -> list[str] | None:
    """The commands that the checks are: each runs, now or before the run may end."""
    steps: list[Mapping[str, Any]] = arguments.get("steps") or []
    checks = [str(each.get("check") or "") for each in steps]
    return [each for each in checks if each.strip() and not is_statement(each)] or None


@tool(claims=_claims, repeatable=True, script=_checks)
async def plan(context: ToolContext, steps: list[Step]) -> ToolResult:
    """Set the plan of a larger task: all its steps, at most one in progress.

    check: a command that exits 0 once it is done.
    """
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
    failed = await _not_done(context, steps)
    context.update_plan([dict(each) for each in steps])
    if failed:
        return ToolResult("\n\n".join(failed), ok=False, data={"checks_failed": len(failed)})
    done = sum(each["status"] == "done" for each in steps)
    now = f"; now: {clip_line(current[0], 100)}" if current else ""
    return ToolResult(f"{done} of {len(steps)} steps done{now}")


async def _not_done(context: ToolContext, steps: list[Step]) -> list[str]:
    """Run the checks of the steps that are said to be done; those that fail are not done."""
    claimed = [each for each in steps if each["status"] == "done" and each.get("check", "").strip()]
    if not claimed:
        return []
    failures = await context.run_checks([each.get("check", "") for each in claimed])
    failed: list[str] = []
    for number, each in enumerate(steps, 1):
        if each["status"] == "done" and each.get("check") in failures:
            each["status"] = "in_progress"
            failed.append(f"Step {number} is not done. {failures[each.get('check', '')]}")
    return failed
