"""Paths as the model writes them, and file errors as it reads them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from agentkit.errors import FileError, ToolError
from agentkit.sandbox import Sandbox
from agentkit.tool import Claim
from agentkit.tools._text import one_line

READ_LIMIT = 16 << 20
"""Larger files are for the shell."""


def absolute(sandbox: Sandbox, path: str) -> str:
    """The path without detours; a relative one starts in the workspace, not in the shell's cwd.

    Raises:
        ToolError: it is empty or holds a NUL.
    """
    if not path.strip():
        raise ToolError("path is empty")
    if "\0" in path:
        raise ToolError("path holds a NUL character")
    return posixpath.normpath(posixpath.join(sandbox.workdir, path)).replace("//", "/", 1)


def file_claim(arguments: Mapping[str, Any], *, write: bool) -> Claim:
    """What a call on one file touches.

    Where the workspace is, is not known here, so a relative path claims every file: in the
    model's order, too, if the same turn names the file by its absolute path.
    """
    path = arguments.get("path")
    if isinstance(path, str) and path.startswith("/"):
        return Claim(f"file:{posixpath.normpath(path)}", write)
    return Claim("*", write)


async def not_found(sandbox: Sandbox, path: str) -> ToolError:
    """Words for a path that does not exist, with names that look like it."""
    parent, name = posixpath.split(path)
    try:
        names = await sandbox.list_dir(parent)
    except FileError:
        return ToolError(f"{path} does not exist, and neither does its directory")
    near = get_close_matches(name, [each.rstrip("/") for each in names], n=3, cutoff=0.6)
    hint = f". Similar there: {', '.join(one_line(name) for name in near)}" if near else ""
    return ToolError(f"{path} does not exist{hint}")


async def read(sandbox: Sandbox, path: str) -> bytes | None:
    """The file's bytes, or None where nothing is there.

    Raises:
        ToolError: it is a directory, too large or may not be read.
    """
    try:
        return await sandbox.read_file(path, max_bytes=READ_LIMIT)
    except FileError as error:
        if error.reason == "missing":
            return None
        if error.reason == "too-large":
            raise ToolError(
                f"{path} is larger than {READ_LIMIT >> 20} MB; use bash with sed, head or grep"
            ) from error
        if error.reason == "directory":
            raise ToolError(f"{path} is a directory") from error
        raise ToolError(error.what) from error


async def write(sandbox: Sandbox, path: str, data: bytes) -> None:
    """Write the file.

    Raises:
        ToolError: in the sandbox's words.
    """
    try:
        await sandbox.write_file(path, data)
    except FileError as error:
        raise ToolError(f"{error.what}. Nothing was changed") from error
