"""Globs over paths, for images without ripgrep; the rules are those of ``rg --glob``."""

from __future__ import annotations

import re
from functools import lru_cache

from agentkit.errors import ToolError


def matches(glob: str, path: str) -> bool:
    """Whether the relative path fits.

    A glob without a slash is tried on the last part of the path, one with a slash on the whole;
    ``!`` in front turns it round.
    """
    wanted = not glob.startswith("!")
    return bool(_compiled(glob.removeprefix("!")).fullmatch(path)) is wanted


@lru_cache(maxsize=64)
def _compiled(glob: str) -> re.Pattern[str]:
    anchored = "/" in glob.rstrip("/")
    inner = glob.removeprefix("/").rstrip("/")
    prefix = "" if anchored else "(?:.*/)?"
    try:
        return re.compile(f"{prefix}{translate(inner)}", re.DOTALL)
    except re.error as error:
        raise ToolError(f"glob {glob!r} cannot be understood: {error}") from error


def translate(glob: str) -> str:
    """The glob as a regular expression: ``*`` ``?`` ``[…]`` ``{a,b}`` ``**``."""
    out: list[str] = []
    position, depth = 0, 0
    while position < len(glob):
        token, position = _token(glob, position)
        if token == "{":
            depth += 1
            out.append("(?:")
        elif token == "}" and depth:
            depth -= 1
            out.append(")")
        elif token == "," and depth:
            out.append("|")
        else:
            out.append(_piece(token, last=position == len(glob)))
    if depth:
        raise ToolError(f"glob {glob!r} has an open brace")
    return "".join(out)


def _token(glob: str, position: int) -> tuple[str, int]:
    """The next unit: ``**/``, ``**``, ``[…]``, an escaped or a single character."""
    for unit in ("**/", "**"):
        if glob.startswith(unit, position):
            return unit, position + len(unit)
    if glob[position] == "\\" and position + 1 < len(glob):
        return glob[position : position + 2], position + 2
    if glob[position] == "[":
        end = glob.find("]", position + 2)
        if end > 0:
            return glob[position : end + 1], end + 1
    return glob[position], position + 1


def _piece(token: str, *, last: bool) -> str:
    if token == "**/":
        return "(?:.*/)?"
    if token == "**":
        return ".*" if last else "[^/]*"
    if token == "*":
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if len(token) > 2 and token.startswith("["):
        inside = token[1:-1]
        negated = inside[0] in "!^"
        return (
            f"[{'^' if negated else ''}{re.escape(inside[negated:]).replace(chr(92) + '-', '-')}]"
        )
    return re.escape(token[1:] if token.startswith("\\") and len(token) > 1 else token)
