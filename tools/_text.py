"""From a command's bytes to the text that a model reads, and the cutting of what is too long."""

from __future__ import annotations

import re
from dataclasses import dataclass

OUTPUT_LIMIT = 16_000
"""Characters of one result. The vendor's own harness uses the same number (benchmarks.md §5)."""

LINE_LIMIT = 500
"""Characters shown of one line where many lines are listed."""

_ESCAPE_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)"  # OSC and other strings: titles, links
    r"|[ -/]*[0-~])"  # two characters: charset, keypad
)
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\r\n])")
_BACKSPACED = re.compile(r"[^\n\x08]\x08")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BINARY_SAMPLE = 8_192


def decode(data: bytes) -> str:
    r"""UTF-8 with every other byte as ``\xNN``: nothing is lost, whatever a program prints."""
    return data.decode("utf-8", "backslashreplace")


def readable(data: bytes) -> str:
    r"""What a person would see on a terminal in the end, without colours or control characters.

    A line that was drawn several times over with carriage returns (a progress bar) is kept in
    its last form. ``\r\n`` stays: a file's line ends are a fact that an edit may depend on.
    """
    text = decode(data)
    if "\x1b" in text:
        text = _ESCAPE_SEQUENCE.sub("", text)
    if "\r" in text:
        text = _OVERWRITTEN.sub("", text)
    while "\x08" in text:
        shorter = _BACKSPACED.sub("", text)
        if shorter == text:
            break
        text = shorter
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def is_binary(data: bytes) -> bool:
    """Whether these bytes mean nothing to a reader: git's rule, a NUL near the start."""
    return b"\0" in data[:_BINARY_SAMPLE]


@dataclass(frozen=True, slots=True)
class Clip:
    """The parts of a text that are shown."""

    head: str
    tail: str = ""
    omitted: int = 0
    """Characters between the two."""
    omitted_lines: int = 0

    @classmethod
    def of(cls, text: str, limit: int, *, keep_end: bool = True) -> Clip:
        """At most ``limit`` characters: start and end, or only the start.

        A cut moves to a line break where that gives away less than a tenth of the part.
        """
        if len(text) <= limit:
            return cls(text)
        size = limit // 2 if keep_end else limit
        stop = text.rfind("\n", size - size // 10, size) + 1 or size
        start = len(text)
        if keep_end:
            start -= size
            start = text.find("\n", start, start + size // 10) + 1 or start
        between = text[stop:start]
        return cls(text[:stop], text[start:], len(between), between.count("\n"))

    def join(self, notice: str) -> str:
        """Both parts with the notice on a line of its own between them."""
        if not self.omitted:
            return self.head
        gap = "" if self.head.endswith("\n") else "\n"
        return f"{self.head}{gap}{notice}\n{self.tail}".rstrip("\n")


def one_line(name: str) -> str:
    r"""A file's name with line breaks and the like as ``\n`` or ``\xNN``: one name, one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def clip_line(line: str, limit: int = LINE_LIMIT) -> str:
    """One line, its end replaced by a count where it is too long."""
    if len(line) <= limit:
        return line
    return f"{line[:limit]} […{len(line) - limit:,} more characters]"


def counted(number: int, noun: str) -> str:
    """``1 match``, ``2,000 matches``: a number with its noun."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun}es" if noun.endswith(("ch", "sh", "s", "x")) else f"{noun}s"
    if noun.endswith("y"):
        plural = f"{noun[:-1]}ies"
    return f"{number:,} {plural}"
