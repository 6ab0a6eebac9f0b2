"""Tool calls as an editor shows them: title, kind, files, and edits as diffs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

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
from agentkit.approvals.visible import hidden, visible
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
_IN_DIFFS = {
    "create": ("file_text",),
    "str_replace": ("old_str", "new_str"),
    "insert": ("new_str",),
}
"""What the diff of an edit tells, beside the edit's command and path."""


def kind(tool: str, arguments: Arguments) -> ToolKind:
    """What kind of thing the call does; ``other`` for tools that are not ours."""
    if tool == "str_replace_editor":
        return "read" if arguments.get("command") == "view" else "edit"
    return _KINDS.get(tool, "other")


def title(tool: str, arguments: Arguments, places: Places) -> str:
    """One line that says what the call does; what would be hidden in it is an escape."""
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
    lines = (" ".join(each.split()) for each in visible(words).split("\n"))
    line = " ⏎ ".join(filter(None, lines))  # a comment ends where its line does
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def locations(arguments: Arguments, places: Places) -> list[ToolCallLocation]:
    """The file that the call is about, so that an editor can follow along."""
    path = arguments.get("path")
    name = places.to_editor(path) if isinstance(path, str) else ""
    if not name:
        return []
    line: Any = arguments.get("insert_line")
    view = arguments.get("view_range")
    if line is None and isinstance(view, list) and view:
        line = cast("list[Any]", view)[0]
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


def _whole(asked: ApprovalAsked, changes: Sequence[Content]) -> list[Content]:
    """All of the arguments, as code, which no editor takes for markup; not what a diff tells."""
    edit = str(asked.arguments.get("command"))
    told = ("command", "path", *_IN_DIFFS.get(edit, ())) if changes else ()
    shown: list[Content] = []
    for name, value in given(asked.arguments).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if name not in told or hidden(text):
            shown.append(tool_content(text_block(f"{visible(name)}:\n{_code(visible(text))}")))
    return shown


def _code(text: str) -> str:
    """A block of Markdown that the text itself cannot end."""
    ticks = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}\n{text}\n{fence}"


def given(arguments: Arguments) -> dict[str, Any]:
    """The arguments, without those that were left out."""
    return {name: value for name, value in arguments.items() if value is not None}


def words(text: str) -> list[Content]:
    """A result's text."""
    return [tool_content(text_block(text))] if text.strip() else []


def described(id: str, asked: ApprovalAsked, places: Places) -> ToolCallUpdate:
    """The whole call and its risk: nobody can approve what they cannot see."""
    risk = f"Risk: {asked.risk}. " if asked.risk else ""
    changes = diffs(asked.tool, asked.arguments, places)
    return ToolCallUpdate(
        tool_call_id=id,
        title=title(asked.tool, asked.arguments, places),
        kind=kind(asked.tool, asked.arguments),
        status="pending",
        content=[
            *changes,
            *_whole(asked, changes),
            *words(risk + visible("; ".join(asked.reasons))),
        ]
        or None,
        locations=locations(asked.arguments, places) or None,
        raw_input=given(asked.arguments),
    )
