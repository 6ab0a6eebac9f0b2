"""``search``: find lines by a regular expression, or files by name.

ripgrep does the work where the image has it. Where not, the files come from git (which knows what
is ignored) or from find, and grep reads them; results look the same.
"""

from __future__ import annotations

import posixpath

from agentkit.errors import ToolError
from agentkit.tool import ToolContext, ToolResult, tool
from agentkit.tools import _hits, _paths
from agentkit.tools._engines import Engine, Query
from agentkit.tools._schema import compact


@compact
@tool(read_only=True)
async def search(
    context: ToolContext,
    pattern: str = "",
    path: str = ".",
    glob: str = "",
    ignore_case: bool = False,
    context_lines: int = 0,
) -> ToolResult:
    """Search file contents, or without a pattern list files. Ignored files are skipped.

    Args:
        pattern: regular expression.
        path: directory or file.
        glob: only such files, like *.py or src/**/*.ts.
    """
    if not pattern and not glob:
        raise ToolError("give a pattern to search contents, or a glob to list files by name")
    if "\0" in pattern + glob:
        raise ToolError("pattern and glob cannot hold a NUL character")
    if not 0 <= context_lines <= 20:
        raise ToolError(f"context_lines must be 0 to 20, not {context_lines}")
    sandbox = await context.sandbox()
    where = _paths.absolute(sandbox, path)
    found = await sandbox.stat(where)
    if found is None:
        raise await _paths.not_found(sandbox, where)
    folder, target = (where, ".") if found.kind == "directory" else posixpath.split(where)
    query = Query(folder, target, pattern, glob, ignore_case, context_lines)
    engine = await Engine.of(context, sandbox)
    prefix = _prefix(folder, sandbox.workdir)
    if pattern:
        return _matches(query, await engine.contents(query), prefix)
    return _files(query, await engine.names(query), prefix)


def _matches(
    query: Query, answer: tuple[list[_hits.FileHits], str, bool], prefix: str
) -> ToolResult:
    files, note, cut = answer
    total = sum(each.matches for each in files)
    data = {"matches": total, "files": len(files)}
    if not files:
        return ToolResult(
            f"No line matches {query.describe}.{note}", display="0 matches", data=data
        )
    return ToolResult(
        _hits.show(files, prefix, cut=cut) + note,
        display=f"{total} matches in {len(files)} files",
        data=data,
    )


def _files(query: Query, answer: tuple[list[str], str, bool], prefix: str) -> ToolResult:
    names, note, cut = answer
    data = {"files": len(names)}
    if not names:
        return ToolResult(f"No file matches {query.describe}.{note}", display="0 files", data=data)
    return ToolResult(
        _hits.show_names(names, prefix, cut=cut) + note, display=f"{len(names)} files", data=data
    )


def _prefix(folder: str, workdir: str) -> str:
    """What to put before a found path: nothing in the workspace, so that tokens are saved."""
    if folder == workdir:
        return ""
    inside = folder.startswith(workdir.rstrip("/") + "/")
    shown = posixpath.relpath(folder, workdir) if inside else folder
    return shown.rstrip("/") + "/"
