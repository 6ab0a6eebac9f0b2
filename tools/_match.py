"""Where a text occurs in a file; and, when it does not, what it was probably meant to be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from agentkit.tools._text import clip_line

MOST_LINES = 20_000
"""Longer files are not searched for similar lines: it would take seconds."""

_NUMBERED = re.compile(r"^ *\d+\t", re.MULTILINE)
_TYPOGRAPHIC = str.maketrans("‘’‚“”„–—−\u00a0", "'''\"\"\"--- ")
_GOOD_ENOUGH = 0.5


def occurrences(text: str, wanted: str) -> list[int]:
    """Where ``wanted`` begins in ``text``; overlapping ones count, as they are ambiguous too."""
    found: list[int] = []
    start = text.find(wanted)
    while start >= 0:
        found.append(start)
        start = text.find(wanted, start + 1)
    return found


def line_at(text: str, offset: int) -> int:
    """The number of the line, from 1, that holds this offset."""
    return text.count("\n", 0, offset) + 1


@dataclass(frozen=True, slots=True)
class Near:
    """Lines that resemble what was looked for."""

    first: int
    lines: tuple[str, ...]
    difference: str = ""
    """What tells them apart, where it is one plain thing."""


def explain_missing(text: str, wanted: str) -> str:
    """Why ``wanted`` does not occur, in words that lead to the right call."""
    if hint := _respelled(text, wanted):
        return hint
    near = nearest(text, wanted)
    if near is None:
        return "Nothing in the file resembles it; view the file"
    end = near.first + len(near.lines) - 1
    where = f"line {near.first}" if end == near.first else f"lines {near.first}-{end}"
    shown = numbered(near.lines[:30], near.first)
    if near.difference:
        return f"It matches {where} except for {near.difference}. The file has:\n{shown}"
    return f"The most similar text is at {where}:\n{shown}"


def numbered(lines: Sequence[str], first: int, *, width: int = 300) -> str:
    """Lines with their numbers, as ``cat -n`` prints them, each at most ``width`` characters."""
    return "\n".join(
        f"{number:>6}\t{clip_line(line, width)}" for number, line in enumerate(lines, first)
    )


def nearest(text: str, wanted: str) -> Near | None:
    """The lines most like ``wanted``, or None where nothing is."""
    lines, target = text.split("\n"), wanted.strip("\n").split("\n")
    if len(lines) > MOST_LINES or not wanted.strip():
        return None
    loose = [_loosen(line) for line in target]
    haystack = [_loosen(line) for line in lines]
    for first in range(len(lines) - len(target) + 1):
        if haystack[first : first + len(target)] == loose:
            found = tuple(lines[first : first + len(target)])
            return Near(first + 1, found, _difference(found, tuple(target)))
    best = _most_common_lines(haystack, loose)
    if best is None:
        best = _most_similar_line(haystack, loose)
    if best is None:
        return None
    return Near(best + 1, tuple(lines[best : best + len(target)]))


def _respelled(text: str, wanted: str) -> str:
    """A hint for the ways in which a whole argument can be misspelt."""
    if _NUMBERED.match(wanted) and _NUMBERED.sub("", wanted) in text:
        return "It matches without the line numbers; leave them and the tab out"
    if wanted.strip("\n") and wanted.strip("\n") in text:
        return "It matches without the line breaks at its start or end; the file has others there"
    if "\\n" in wanted and wanted.replace("\\n", "\n").replace("\\t", "\t") in text:
        return "It matches with real line breaks in place of the two characters \\n"
    return ""


def _loosen(line: str) -> str:
    return " ".join(line.translate(_TYPOGRAPHIC).split())


def _difference(found: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    if [line.rstrip() for line in found] == [line.rstrip() for line in wanted]:
        return "spaces at line ends"
    if [line.strip() for line in found] == [line.strip() for line in wanted]:
        tabs = any(line.startswith("\t") for line in found)
        if tabs and not any(line.startswith("\t") for line in wanted):
            return "indentation, which is tabs in the file"
        return "indentation"
    if [line.translate(_TYPOGRAPHIC) for line in found] == list(wanted):
        return "typographic quotes, dashes or spaces in the file"
    return "white space or typographic characters"


def _most_common_lines(haystack: list[str], target: list[str]) -> int | None:
    """The window that shares most lines with the target, if it is half of them or more."""
    wanted = Counter(line for line in target if line)
    if not wanted:
        return None
    width, inside, shared, best, most = len(target), Counter[str](), 0, None, 0
    for index, line in enumerate(haystack):
        inside[line] += 1
        shared += line in wanted and inside[line] <= wanted[line]
        if index >= width:
            old = haystack[index - width]
            shared -= old in wanted and inside[old] <= wanted[old]
            inside[old] -= 1
        if shared > most:
            best, most = max(0, index - width + 1), shared
    return best if most * 2 >= wanted.total() else None


def _most_similar_line(haystack: list[str], target: list[str]) -> int | None:
    """Where the target would begin if its longest line stood at the line most like it."""
    anchor = max(range(len(target)), key=lambda index: len(target[index]))
    matcher = SequenceMatcher(b=target[anchor][:300], autojunk=False)
    best, most = None, _GOOD_ENOUGH
    for index, line in enumerate(haystack):
        matcher.set_seq1(line[:300])
        if matcher.real_quick_ratio() > most and matcher.quick_ratio() > most:
            ratio = matcher.ratio()
            if ratio > most:
                best, most = index, ratio
    return None if best is None else max(0, best - anchor)
