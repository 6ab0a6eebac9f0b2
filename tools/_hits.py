"""Search results: grouped by file, bounded, and counted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agentkit.tools._text import OUTPUT_LIMIT, clip_line, counted, one_line, readable

MOST_LINES = 200
"""Result lines shown in all."""

MOST_PER_FILE = 30
"""Matches shown of one file, where several have some: one file must not hide the others."""

_NUMBERED = re.compile(rb"(?P<number>\d+)(?P<kind>[:-])(?P<text>.*)", re.DOTALL)
_GAP = re.compile(rb"\A--\r?\n")  # between blocks with context; ripgrep's ends as it reads lines
_STOPPED = b": WARNING: stopped searching binary file"


@dataclass(slots=True)
class FileHits:
    """The lines found in one file: number, text, and whether it is a match or its context."""

    path: str
    lines: list[tuple[int, str, bool]] = field(default_factory=list[tuple[int, str, bool]])
    raw_path: bytes = field(default=b"", compare=False)
    """The name as it was printed."""
    with_nul: set[int] = field(default_factory=set[int], compare=False)
    """The numbers of lines that hold a NUL; their text cannot tell, as ``\\x00`` may be source."""
    stopped: bool = field(default=False, compare=False)
    """ripgrep met a NUL and left the rest of the file unread."""

    @property
    def matches(self) -> int:
        return sum(is_match for _, _, is_match in self.lines)

    def drop_nul_lines(self) -> int:
        """Leave out the lines that hold a NUL; how many these were."""
        self.lines = [line for line in self.lines if line[0] not in self.with_nul]
        return len(self.with_nul)


def parse_nul(output: bytes) -> list[FileHits]:
    """Read ``path NUL number:text`` lines (``-`` instead of ``:`` before context).

    A path may hold line breaks: it is all that stands before the NUL, but for ripgrep's word that
    it stopped reading the file before.
    """
    found: dict[bytes, FileHits] = {}
    path = b""
    start, nul = 0, output.find(b"\0")
    while nul >= 0:
        end = output.find(b"\n", nul)
        end = len(output) if end < 0 else end
        line = _NUMBERED.fullmatch(output, nul + 1, end)
        if line:
            start = _after_stop(output, start, found.get(path))
            path = _GAP.sub(b"", output[start:nul])
            _add(found, path, line)
        start, nul = end + 1, output.find(b"\0", end)
    _after_stop(output, start, found.get(path))
    return list(found.values())


def _after_stop(output: bytes, start: int, hits: FileHits | None) -> int:
    """Where the next path begins: behind the word that the file before was not read to its end."""
    if hits is None or not output.startswith(hits.raw_path + _STOPPED, start):
        return start
    hits.stopped = True
    return output.find(b"\n", start + len(hits.raw_path)) + 1 or len(output)


def parse_colons(output: bytes, paths: Iterable[bytes]) -> list[FileHits]:
    """Read ``path:number:text`` lines of a grep that knows no NUL.

    The files are known, so a colon in a name does no harm: the path is the longest known one.
    """
    known = frozenset(paths)
    found: dict[bytes, FileHits] = {}
    last = b""
    for line in output.split(b"\n"):
        path = last if line.startswith((last + b":", last + b"-")) and last else _path(line, known)
        numbered = _NUMBERED.match(line, len(path) + 1) if path else None
        if numbered:
            last = path
            _add(found, path, numbered)
    return list(found.values())


def _path(line: bytes, known: frozenset[bytes]) -> bytes:
    """The longest known path that the line starts with, followed by a separator and a number."""
    ends = [found.start() for found in re.finditer(rb"[:-](?=\d+[:-])", line)]
    return next((line[:end] for end in reversed(ends) if line[:end] in known), b"")


def _add(found: dict[bytes, FileHits], path: bytes, line: re.Match[bytes]) -> None:
    if path not in found:
        found[path] = FileHits(readable(path.removeprefix(b"./")), raw_path=path)
    number = int(line["number"])
    found[path].lines.append((number, _line(line["text"]), line["kind"] == b":"))
    if b"\0" in line["text"]:
        found[path].with_nul.add(number)


def _line(text: bytes) -> str:
    """One found line; what lies beyond the cut need not be decoded."""
    line = readable(text[: 1 << 16]).rstrip("\r")
    return clip_line(line, 300)


def show(files: Sequence[FileHits], prefix: str, *, cut: bool = False) -> str:
    """The results under the names of their files, then the count of what is not shown.

    Args:
        prefix: put before each path, to make it one that other tools take.
        cut: the search itself was stopped, so that there may be more than was counted.
    """
    blocks: list[str] = []
    room, characters = MOST_LINES, OUTPUT_LIMIT
    hidden, hidden_files = 0, 0
    per_file = MOST_PER_FILE if len(files) > 1 else MOST_LINES
    for each in files:
        block, shown = _block(each, prefix, min(room, per_file))
        if room <= 0 or len(block) > characters:
            hidden += each.matches
            hidden_files += 1
            continue
        blocks.append(block)
        room -= shown
        characters -= len(block) + 1
    total = sum(each.matches for each in files)
    end = f"{counted(total, 'match')} in {counted(len(files), 'file')}"
    if cut:
        end = f"more than {end}"
    if hidden:
        end += f"; {counted(hidden, 'match')} in {counted(hidden_files, 'file')} not shown"
    if hidden or cut:
        end += ": narrow the pattern, path or glob"
    return "\n".join([*blocks, f"[{end}]"])


def _block(hits: FileHits, prefix: str, most: int) -> tuple[str, int]:
    """One file's results, at most ``most`` lines of them, and how many these are."""
    lines = hits.lines[: max(most, 1)]
    parts = [prefix + one_line(hits.path)]
    previous = 0
    with_context = any(not is_match for _, _, is_match in hits.lines)
    for number, text, is_match in lines:
        if with_context and previous and number > previous + 1:
            parts.append("  …")
        parts.append(f"{number}{':' if is_match else '-'} {text}")
        previous = number
    left = hits.matches - sum(is_match for _, _, is_match in lines)
    if left:
        parts.append(f"[… {counted(left, 'more match')} in this file]")
    return "\n".join(parts), len(lines)


def show_names(names: Sequence[str], prefix: str, *, cut: bool = False) -> str:
    """File names, one to a line, then their count."""
    shown: list[str] = []
    characters = OUTPUT_LIMIT
    for name in names[:MOST_LINES]:
        characters -= len(prefix) + len(name) + 1
        if characters < 0:
            break
        shown.append(prefix + one_line(name))
    end = f"{'more than ' if cut else ''}{counted(len(names), 'file')}"
    if len(shown) < len(names):
        end += f"; the first {len(shown)} are shown: narrow the path or glob"
    return "\n".join([*shown, f"[{end}]"])
