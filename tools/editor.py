"""``str_replace_editor``: view and edit one file, in the shape that the models were trained on."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar, cast

import anyio
from pydantic import BeforeValidator

from agentkit.errors import ToolError
from agentkit.tool import Claim, ToolContext, ToolResult, tool
from agentkit.tools import _paths
from agentkit.tools._aftermath import of_edit
from agentkit.tools._edit import FileEdit
from agentkit.tools._schema import compact

Command = Literal["view", "create", "str_replace", "insert", "undo_edit"]
Value = TypeVar("Value", int, str)


def _listed(value: object) -> object:
    """Models write lists as strings now and then: ``"[1, 20]"``."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _claims(arguments: dict[str, Any]) -> tuple[Claim, ...]:
    return (_paths.file_claim(arguments, write=arguments.get("command") != "view"),)


@compact
@tool(claims=_claims, aftermath=of_edit)
async def str_replace_editor(
    context: ToolContext,
    command: Command,
    path: str,
    file_text: str | None = None,
    old_str: str | None = None,
    new_str: str | None = None,
    insert_line: int | None = None,
    view_range: Annotated[list[int] | None, BeforeValidator(_listed)] = None,
) -> ToolResult:
    """View and edit one file.

    view: numbered lines, at most 16,000 characters; of a directory, two levels.
    create: write file_text as the whole file.
    str_replace: old_str, which must occur exactly once, white space included, becomes new_str.
    insert: new_str goes in after line insert_line (0: at the start).
    undo_edit: take back the last edit of the file.
    A file that changed since you last saw it is not edited.

    Args:
        path: absolute path.
        view_range: [first, last]; last -1 is the end.
    """
    sandbox = await context.sandbox()
    edit = FileEdit(context, sandbox, _paths.absolute(sandbox, path))
    if command == "view":
        return await edit.view(view_range)
    async with _one_at_a_time(context):
        try:
            match command:
                case "create":
                    return await edit.create(_needed(command, "file_text", file_text))
                case "str_replace":
                    return await edit.replace(_needed(command, "old_str", old_str), new_str or "")
                case "insert":
                    line = _needed(command, "insert_line", insert_line)
                    return await edit.insert(line, _needed(command, "new_str", new_str))
                case "undo_edit":
                    return await edit.undo()
        except ToolError as error:
            error.data = {"evidence": "edit-not-applied", "path": path}
            raise


def _needed(command: str, name: str, value: Value | None) -> Value:
    if value is None:
        raise ToolError(f"{command} needs {name}")
    return value


def _one_at_a_time(context: ToolContext) -> anyio.Lock:
    """Claims give the order; the lock holds also where two names lead to one file."""
    if "editing" not in context.state:
        context.state["editing"] = anyio.Lock()
    return cast("anyio.Lock", context.state["editing"])
