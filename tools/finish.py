"""``finish``: the model says that the task is done; the loop then runs the required checks."""

from __future__ import annotations

from agentkit.errors import ToolError
from agentkit.tool import tool


@tool(ends_run=True)
async def finish(summary: str) -> str:
    """End the task.

    Args:
        summary: what was done and how it was verified; say plainly what is not done.
    """
    if not summary.strip():
        raise ToolError("summary is empty: say what was done and how it was verified")
    return summary.strip()
