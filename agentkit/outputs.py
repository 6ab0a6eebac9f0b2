"""Results that are too long for the window: start and end stay, the whole is kept elsewhere.

Each tool has a cap. What is over it loses its middle, with a count of what was left out; the full
copy goes into the session's content store and, where the session has a sandbox, into a file that
the model is told.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from anyio import to_thread

from agentkit.errors import FileError
from agentkit.tool import Tool, ToolResult

if TYPE_CHECKING:
    from agentkit.run import Run

KEPT = 16 << 20
"""Characters of one result that are kept at most: half of it the start, half the end."""
_FOLDERS = ("/tmp/agentkit", "/var/tmp/agentkit", "/dev/shm/agentkit")


async def capped(run: Run, tool: Tool, call_id: str, result: ToolResult) -> ToolResult:
    """The result as the model reads it, at most ``tool.output_limit`` characters and a notice."""
    text, limit = result.content, tool.output_limit
    if len(text) <= limit:
        return result
    half = limit // 2
    lost = len(text) - KEPT
    whole = text if lost <= 0 else f"{text[: KEPT // 2]}\n[… {lost:,} …]\n{text[-KEPT // 2 :]}"
    data = await to_thread.run_sync(whole.encode, "utf-8", "backslashreplace")
    name = await keep(run, data)
    where = await _in_sandbox(run, call_id, data)
    what = "all of it is" if lost <= 0 else f"its first and last {KEPT >> 21} million are"
    notice = (
        f"[… {len(text) - 2 * half:,} characters left out here: results of {tool.name} are cut at"
        f" {limit:,}; {what} {where} …]"
    )
    content = f"{text[:half]}\n{notice}\n{text[len(text) - half :]}"
    return replace(result, content=content, data={**result.data, "full_output": name})


async def keep(run: Run, data: bytes) -> str:
    """Put bytes into the session's content store; their name there."""

    def put() -> str:
        name = run.log.contents.add(data)
        run.log.contents.flush()
        return name

    return await to_thread.run_sync(put)


async def _in_sandbox(run: Run, call_id: str, data: bytes) -> str:
    """Where the model finds the whole."""
    sandbox = run.ground.opened
    file = re.sub(r"[^\w.-]", "_", f"{run.log.session_id}_{call_id}")[:120]
    for folder in _FOLDERS if sandbox is not None else ():
        try:
            assert sandbox is not None
            await sandbox.write_file(f"{folder}/{file}.txt", data)
        except FileError:
            continue
        return f"in {folder}/{file}.txt"
    return "kept in the session's log, which you cannot read: ask for less at a time"
