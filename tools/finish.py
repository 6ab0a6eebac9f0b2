"""``finish``: the model says that the task is over; the loop then runs the required checks."""

from __future__ import annotations

from agentkit.errors import ToolError
from agentkit.tool import ToolResult, tool


# It reads everything: so it waits for the calls before it, yet makes no passed check stale.
@tool(read_only=True, repeatable=True, ends_run=True)
async def finish(summary: str, achieved: bool = True) -> ToolResult:
    """End the task.

    Args:
        summary: what was done and how it was verified; say plainly what is not done.
        achieved: false if the task could not be done.
    """
    if not summary.strip():
        raise ToolError("summary is empty: say what was done and how it was verified")
    output = summary.strip()
    return ToolResult("Finished.", data={"output": output, "achieved": achieved})
