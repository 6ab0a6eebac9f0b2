"""``task``: give a part of the work to a subagent."""

from __future__ import annotations

import posixpath
from typing import Any

from agentkit.errors import ToolError
from agentkit.subagents import Order
from agentkit.tool import READS_ALL, WRITES_ALL, Claim, ToolContext, ToolResult, tool

MOST_PATHS = 50


def _claims(arguments: dict[str, Any]) -> tuple[Claim, ...]:
    """What the subagent may touch, so that those that do not meet run side by side."""
    if arguments.get("in_copy"):
        return (WRITES_ALL,)  # its changes are merged at the end
    paths = arguments.get("writes") or ()
    return (READS_ALL, *(Claim(f"file:{posixpath.normpath(path)}") for path in paths))


@tool(claims=_claims)
async def task(
    context: ToolContext,
    prompt: str,
    writes: list[str] | None = None,
    in_copy: bool = False,
    knows_all: bool = False,
) -> ToolResult:
    """Have a subagent do a part of the work; its last words are the result.

    Args:
        prompt: what to do and what to answer, complete in itself.
        writes: absolute paths that it may write; without, it only reads.
        in_copy: it works in a copy, with all tools; its changes are merged.
        knows_all: it knows this conversation.
    """
    if not prompt.strip():
        raise ToolError("the prompt is empty")
    paths = tuple(writes or ())
    if len(paths) > MOST_PATHS:
        raise ToolError(f"{len(paths)} paths are too many; name a folder")
    relative = [path for path in paths if not path.startswith("/")]
    if relative:
        raise ToolError(f"{relative[0]!r} is not an absolute path")
    normal = tuple(posixpath.normpath(path) for path in paths)
    return await context.delegate(Order(prompt.strip(), normal, in_copy=in_copy, warm=knows_all))
