"""What can be found out about a call that was under way when a process died.

Each looks and changes nothing; the words become part of the call's result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agentkit.errors import ToolError
from agentkit.tool import ToolContext
from agentkit.tools import _paths
from agentkit.tools._document import Document, NotText, plain
from agentkit.tools._match import occurrences
from agentkit.tools._observed import Observations, digest
from agentkit.tools._text import counted

_MOST_TRIED = 16 << 20
"""Places at which an edit may have been made, times the file's length."""


async def of_command(context: ToolContext, arguments: dict[str, Any]) -> str:
    """Whether the command still ran when the sandbox was found again."""
    sandbox = await context.sandbox()
    shell = (await sandbox.shell()).name
    remains = sandbox.remains
    if arguments.get("interactive"):
        return ""  # terminals end by rule
    if remains is None:
        found = not sandbox.capabilities.reopen
        return "" if found else "The sandbox that it ran in could not be entered again."
    if shell in remains.killed:
        text = "It was still running, and was killed."
    else:
        text = "It was not running any more."
    if alive := remains.running.get(shell, 0):
        count = counted(alive, "process")
        text += f" {count} that commands of this shell started in the background still run."
    return text


async def of_edit(context: ToolContext, arguments: dict[str, Any]) -> str:
    """Whether the file is the one before the edit, the one that was intended, or another."""
    command = arguments["command"]
    if command == "view":
        return ""
    sandbox = await context.sandbox()
    path = _paths.absolute(sandbox, arguments["path"])
    data = await _paths.read(sandbox, path)
    before = Observations(context).version(path)
    if data is None:
        return f"{path} does not exist{' any more' if before else ''}."
    if digest(data) == before:
        return f"{path} is unchanged: it is as you saw it before this call."
    if not before and command != "create":
        return ""  # it was edited unseen, so there is nothing to compare with
    made = _is_intended(context, path, arguments, data, before)
    if made:
        return f"{path} is now exactly as this call was to make it: it was done."
    text = f"{path} changed since you saw it" if before else f"{path} exists"
    return f"{text}, and is not what this call was to make it." if made is False else f"{text}."


def _is_intended(
    context: ToolContext, path: str, arguments: dict[str, Any], data: bytes, before: str
) -> bool | None:
    """Whether the call leads from the version that was seen to this one; None: not known."""
    try:
        document = Document.from_bytes(data)
        match arguments["command"]:
            case "create":
                text = arguments["file_text"] or ""
                return data in (Document.new(text).to_bytes(), document.rewrite(text).to_bytes())
            case "undo_edit":
                seen = [each["hash"] for each in context.facts("observed") if each["path"] == path]
                return digest(data) in seen or None
            case _:
                return _leads_here(document, arguments, before)
    except (NotText, ToolError):
        return None


def _leads_here(document: Document, arguments: dict[str, Any], before: str) -> bool | None:
    origins = _origins(document, arguments)
    if any(digest(each.to_bytes()) == before for each in origins):
        return True
    if _too_many(document, arguments):
        return None
    # How lines ended that went is a guess, so their version may just not have been found.
    breaks = [(arguments[name] or "").count("\n") for name in ("old_str", "new_str")]
    return None if breaks[0] > breaks[1] or len(set(document.breaks)) > 1 else False


def _origins(document: Document, arguments: dict[str, Any]) -> Iterator[Document]:
    """The versions from which the edit may have come to this one."""
    new = plain(arguments["new_str"] or "")
    if arguments["command"] == "insert":
        lines, first = new.removesuffix("\n").count("\n") + 1, int(arguments["insert_line"] or 0)
        starts = [0, *(at + 1 for at, sign in enumerate(document.text) if sign == "\n")]
        if first + lines < len(starts):
            yield document.splice(starts[first], starts[first + lines], "")
        elif 0 < first < len(starts):  # at the end of a file that ends without a line break
            yield document.splice(starts[first] - 1, len(document.text), "")
    elif not _too_many(document, arguments):
        for place in _places(document, new):
            yield document.splice(place, place + len(new), plain(arguments["old_str"] or ""))


def _places(document: Document, new: str) -> Sequence[int]:
    return occurrences(document.text, new) if new else range(len(document.text) + 1)


def _too_many(document: Document, arguments: dict[str, Any]) -> bool:
    """Whether the edit may have been made at more places than can be tried in a moment."""
    places = _places(document, plain(arguments["new_str"] or ""))
    return arguments["command"] != "insert" and len(places) * len(document.text) > _MOST_TRIED
