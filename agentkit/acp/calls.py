"""Tool calls as an editor shows them: title, kind, files, and edits as diffs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from acp import text_block, tool_content, tool_diff_content
from acp.schema import (
    ContentToolCallContent,
    FileEditToolCallContent,
    TerminalToolCallContent,
    ToolCallLocation,
    ToolCallUpdate,
    ToolKind,
)

from agentkit.acp.opening import Places
from agentkit.events import ApprovalAsked

Content = ContentToolCallContent | FileEditToolCallContent | TerminalToolCallContent
Arguments = Mapping[str, Any]

_KINDS: Mapping[str, ToolKind] = {
    "bash": "execute",
    "search": "search",
    "plan": "think",
    "consult": "think",
    "recall": "read",
    "task": "other",
}
_LONGEST = 200


def kind(tool: str, arguments: Arguments) -> ToolKind:
    """What kind of thing the call does; ``other`` for tools that are not ours."""
    if tool == "str_replace_editor":
        return "read" if arguments.get("command") == "view" else "edit"
    return _KINDS.get(tool, "other")


def title(tool: str, arguments: Arguments, places: Places) -> str:
    """One line that says what the call does."""
    path = arguments.get("path")
    if tool == "str_replace_editor":
        name = places.to_editor(str(path or "")) or path
        return _line(f"{arguments.get('command', 'edit')} {name or ''}")
    if tool == "bash" and isinstance(arguments.get("command"), str):
        return _line(arguments["command"])
    if tool in ("plan", "finish"):  # what they say is shown by itself
        return tool
    told = json.dumps(given(arguments), ensure_ascii=False, default=str) if arguments else ""
    return _line(f"{tool} {told}")


def _line(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def locations(arguments: Arguments, places: Places) -> list[ToolCallLocation]:
    """The file that the call is about, so that an editor can follow along."""
    path = arguments.get("path")
    name = places.to_editor(path) if isinstance(path, str) else ""
    if not name:
        return []
    line: Any = arguments.get("insert_line")
    view: Any = arguments.get("view_range")
    if line is None and isinstance(view, list) and view:
        line = view[0]  # pyright: ignore[reportUnknownVariableType]
    return [ToolCallLocation(path=name, line=line if isinstance(line, int) and line > 0 else None)]


def diffs(tool: str, arguments: Arguments, places: Places) -> list[Content]:
    """The change that an edit asks for: the pieces that it names, not the whole file."""
    path = arguments.get("path")
    name = places.to_editor(path) if isinstance(path, str) else ""
    if tool != "str_replace_editor" or not name:
        return []
    match arguments.get("command"):
        case "create":
            return [tool_diff_content(name, str(arguments.get("file_text") or ""))]
        case "str_replace":
            old, new = arguments.get("old_str"), arguments.get("new_str")
            return [tool_diff_content(name, str(new or ""), str(old or ""))]
        case "insert":
            return [tool_diff_content(name, str(arguments.get("new_str") or ""), "")]
        case _:
            return []


def given(arguments: Arguments) -> dict[str, Any]:
    """The arguments, without those that were left out."""
    return {name: value for name, value in arguments.items() if value is not None}


def words(text: str) -> list[Content]:
    """A result's text."""
    return [tool_content(text_block(text))] if text.strip() else []


def described(id: str, asked: ApprovalAsked, places: Places) -> ToolCallUpdate:
    """The whole call and its risk: nobody can approve what they cannot see."""
    risk = f"Risk: {asked.risk}. " if asked.risk else ""
    return ToolCallUpdate(
        tool_call_id=id,
        title=title(asked.tool, asked.arguments, places),
        kind=kind(asked.tool, asked.arguments),
        status="pending",
        content=[
            *diffs(asked.tool, asked.arguments, places),
            *words(risk + "; ".join(asked.reasons)),
        ]
        or None,
        locations=locations(asked.arguments, places) or None,
        raw_input=given(asked.arguments),
    )
