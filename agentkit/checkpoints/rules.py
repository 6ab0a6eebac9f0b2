"""Which paths of a workspace a checkpoint covers: git's own ignore rules, without git.

Left out always, wherever they lie: ``ALWAYS`` (repositories, installed packages, caches). Left
out by rule: what the project's ``.gitignore`` and ``.agentkitignore`` files say, nearest file
first, as gitignore(5) describes. A path that an earlier checkpoint covered stays covered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

ALWAYS = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".jj",
        "node_modules",
        ".venv",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".nox",
        ".hypothesis",
        ".ipynb_checkpoints",
        ".gradle",
        ".parcel-cache",
        ".turbo",
        ".next",
        ".nuxt",
        ".terraform",
        ".direnv",
        ".cache",
        ".DS_Store",
    }
)
"""Names that no rule of a project brings back."""

IGNORE_FILES = (".gitignore", ".agentkitignore")
"""Read in each covered folder, in this order: where both speak, the later one decides."""

LONGEST = 1 << 20
"""Bytes of an ignore file that are read."""

_Matcher = re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring patterns that say the same, as at most four expressions."""

    ignores: bool
    name: _Matcher
    path: _Matcher
    folder_name: _Matcher
    folder_path: _Matcher

    def fits(self, name: str, path: str, *, folder: bool) -> bool:
        matchers = ((self.name, name), (self.path, path))
        if folder:
            matchers += ((self.folder_name, name), (self.folder_path, path))
        return any(each is not None and each.fullmatch(text) for each, text in matchers)


class IgnoreFile:
    """The patterns of one ignore file."""

    def __init__(self, text: str) -> None:
        self._groups: list[_Group] = []
        parts = _empty()
        ignores = True
        for line in text.removeprefix("\ufeff").split("\n"):
            parsed = _parse(line)
            if parsed is None:
                continue
            negated, only_folders, anchored, pattern = parsed
            if negated is ignores:  # the other kind begins
                self._close(parts, ignores=ignores)
                ignores = not negated
                parts = _empty()
            parts[2 * only_folders + anchored].append(pattern)
        self._close(parts, ignores=ignores)

    def _close(self, parts: list[list[str]], *, ignores: bool) -> None:
        if any(parts):
            self._groups.insert(0, _Group(ignores, *(_joined(part) for part in parts)))

    def decide(self, name: str, path: str, *, folder: bool) -> bool | None:
        """Whether the path (relative to the file's folder) is ignored; None where it is silent."""
        for group in self._groups:  # the last pattern that fits decides
            if group.fits(name, path, folder=folder):
                return group.ignores
        return None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that hold in one folder: its own files first, then those above it."""

    folder: str = ""
    """Relative to the workspace, "" for the workspace itself."""
    files: tuple[tuple[int, IgnoreFile], ...] = field(default=())
    """With the length of each one's folder prefix."""

    def below(self, folder: str, files: Iterable[IgnoreFile] = ()) -> Rules:
        """The rules in a folder under this one that has these ignore files, weakest first."""
        start = len(folder) + 1 if folder else 0
        own = tuple((start, file) for file in reversed(list(files)))
        return Rules(folder, own + self.files)

    def ignores(self, name: str, *, folder: bool) -> bool:
        """Whether this entry of the folder is left out."""
        if name in ALWAYS:
            return True
        path = f"{self.folder}/{name}" if self.folder else name
        for start, file in self.files:
            decision = file.decide(name, path[start:], folder=folder)
            if decision is not None:
                return decision
        return False


def _empty() -> list[list[str]]:
    return [[], [], [], []]


def _parse(line: str) -> tuple[bool, bool, bool, str] | None:
    """Negated, for folders only, anchored, expression; None for comments and nonsense."""
    line = line.removesuffix("\r")
    if line.startswith("#"):
        return None
    while line.endswith(" ") and not _escaped(line):
        line = line[:-1]
    negated = line.startswith("!")
    line = line.removeprefix("!") if negated else line
    only_folders = line.endswith("/")
    line = line.removesuffix("/") if only_folders else line
    if not line:
        return None
    anchored = "/" in line
    expression = _translate(line.removeprefix("/"))
    if expression is None:
        return None
    return negated, only_folders, anchored, expression


def _escaped(line: str) -> bool:
    """Whether the last character has a backslash before it that itself has none."""
    bare = line[:-1]
    return (len(bare) - len(bare.rstrip("\\"))) % 2 == 1


def _joined(patterns: list[str]) -> _Matcher:
    return re.compile("|".join(patterns), re.DOTALL) if patterns else None


def _translate(pattern: str) -> str | None:
    """The pattern as a regular expression over paths; None where it can match nothing."""
    out: list[str] = []
    position, size = 0, len(pattern)
    while position < size:
        if pattern.startswith("**/", position) and pattern[position - 1 : position] in ("", "/"):
            out.append("(?:.*/)?")
            position += 3
        elif pattern[position:] == "**" and pattern[position - 1 : position] in ("", "/"):
            out.append(".+")
            position = size
        elif pattern[position] == "[":
            piece, position = _bracket(pattern, position)
            if piece is None:
                return None
            out.append(piece)
        elif pattern[position] == "\\":
            if position + 1 == size:
                return None
            out.append(re.escape(pattern[position + 1]))
            position += 2
        else:
            out.append(_WILD.get(pattern[position]) or re.escape(pattern[position]))
            position += 1
    expression = "".join(out)
    try:
        re.compile(expression)
    except re.error:
        return None
    return expression


_WILD = {"*": "[^/]*", "?": "[^/]"}


_CLASSES = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z",
    "space": r"\s", "blank": r" \t", "xdigit": "0-9A-Fa-f", "punct": r"!-/:-@\[-`{-~",
}  # fmt: skip


def _bracket(pattern: str, start: int) -> tuple[str | None, int]:
    """The bracket expression that begins there, and where it ends; None if it never ends."""
    position, inner = start + 1, ""
    negated = pattern[position : position + 1] in ("!", "^")
    position += negated
    first = position
    while position < len(pattern) and (pattern[position] != "]" or position == first):
        if pattern.startswith("[:", position) and ":]" in pattern[position:]:
            end = pattern.index(":]", position)
            inner += _CLASSES.get(pattern[position + 2 : end], "")
            position = end + 2
            continue
        if pattern[position] == "\\" and position + 1 < len(pattern):
            position += 1
            inner += "\\" + pattern[position]
        else:
            inner += "-" if pattern[position] == "-" else re.escape(pattern[position])
        position += 1
    if position >= len(pattern):
        return None, position
    return f"(?!/)[{'^' if negated else ''}{inner}]", position + 1
