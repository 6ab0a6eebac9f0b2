r"""A text file taken apart so that an edit changes nothing but what it names.

The text is worked on with plain ``\n`` line breaks; how each line really ended, the encoding and
a byte order mark are kept beside it and put back when the bytes are made.
"""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import dataclass, replace
from itertools import zip_longest

from agentkit.errors import ToolError

# Longest first: the mark of UTF-32-LE begins with that of UTF-16-LE.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LF, CRLF = "\n", "\r\n"


class NotText(ValueError):
    """The bytes are no text in any encoding that we can give back unchanged."""


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a text file."""

    text: str
    r"""The content; each line break is one ``\n``."""
    breaks: tuple[str, ...] = ()
    """How each line break of ``text`` is written in the file."""
    encoding: str = "utf-8"
    mark: bytes = b""
    """The byte order mark."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Document:
        """Read a file.

        Raises:
            NotText: it holds NUL bytes, or its byte order mark lies.
        """
        mark, encoding = next((each for each in _MARKS if data.startswith(each[0])), (b"", ""))
        if encoding:
            try:
                return cls._of(data[len(mark) :].decode(encoding), encoding, mark)
            except UnicodeDecodeError as error:
                raise NotText(
                    f"its byte order mark says {encoding}, its content does not"
                ) from error
        if b"\0" in data:
            raise NotText("it holds NUL bytes")
        try:
            return cls._of(data.decode("utf-8"), "utf-8")
        except UnicodeDecodeError:
            return cls._of(data.decode("latin-1"), "latin-1")

    @classmethod
    def _of(cls, raw: str, encoding: str, mark: bytes = b"") -> Document:
        text, breaks = _split(raw)
        return cls(text, breaks, encoding, mark)

    @classmethod
    def new(cls, content: str) -> Document:
        """A file that is to be written exactly so."""
        return cls._of(content, "utf-8")

    def to_bytes(self) -> bytes:
        """The file's bytes.

        Raises:
            ToolError: the encoding has no place for a character.
        """
        parts = zip_longest(self.text.split("\n"), self.breaks, fillvalue="")
        raw = "".join(line + end for line, end in parts)
        try:
            return self.mark + raw.encode(self.encoding)
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            raise ToolError(
                f"the file is encoded as {self.encoding}, which has no character "
                f"{character!r} (U+{ord(character):04X}). Nothing was changed. Write it as an "
                "escape, or convert the file first, for instance with iconv"
            ) from error

    @property
    def lines(self) -> list[str]:
        """The lines, without their ends; a final line break opens no further line."""
        lines = self.text.split("\n")
        if not lines[-1]:
            lines.pop()
        return lines

    @property
    def break_style(self) -> str:
        r"""The commonest line break; ``\n`` where there is none."""
        return max(Counter(self.breaks).items(), key=lambda each: each[1])[0] if self.breaks else LF

    @property
    def traits(self) -> str:
        r"""What is unusual about the file, ``""`` for plain UTF-8 with ``\n``."""
        kinds = set(self.breaks)
        ends = "mixed line ends" if len(kinds) > 1 else "CRLF line ends" if CRLF in kinds else ""
        mark = "byte order mark" if self.mark else ""
        encoding = "" if self.encoding == "utf-8" else self.encoding
        return ", ".join(each for each in (encoding, mark, ends) if each)

    def splice(self, start: int, end: int, replacement: str) -> Document:
        """Replace ``text[start:end]``.

        Line breaks of the replacement take the place of those that go, in order; further ones are
        written as the file writes most of its own.
        """
        new = plain(replacement)
        first = self.text.count("\n", 0, start)
        gone = self.text.count("\n", start, end)
        came = new.count("\n")
        kept = self.breaks[first : first + min(gone, came)]
        fresh = (self.break_style,) * (came - len(kept))
        return replace(
            self,
            text=self.text[:start] + new + self.text[end:],
            breaks=self.breaks[:first] + kept + fresh + self.breaks[first + gone :],
        )

    def rewrite(self, content: str) -> Document:
        """New content in the same encoding, with the file's own kind of line break."""
        if "\r\n" in content:
            return replace(Document.new(content), encoding=self.encoding, mark=self.mark)
        return replace(self, text=content, breaks=(self.break_style,) * content.count("\n"))

    def insert_lines(self, after: int, content: str) -> Document:
        """Insert a block of whole lines after line ``after`` (0: at the start).

        At the very end the file keeps its state: it ends with a line break afterwards exactly if
        it did before. An empty file gets one.
        """
        block = plain(content).removesuffix("\n")
        lines = self.lines
        at_end = after == len(lines)
        if at_end and self.text and not self.text.endswith("\n"):
            return self.splice(len(self.text), len(self.text), "\n" + block)
        start = sum(len(line) + 1 for line in lines[:after])
        return self.splice(start, start, block + "\n")


def plain(text: str) -> str:
    r"""The text with each ``\r\n`` as ``\n``."""
    return text.replace(CRLF, LF)


def _split(raw: str) -> tuple[str, tuple[str, ...]]:
    if CRLF not in raw:
        return raw, (LF,) * raw.count(LF)
    pieces = raw.split(LF)
    breaks = tuple(CRLF if piece.endswith("\r") else LF for piece in pieces[:-1])
    lines = [piece.removesuffix("\r") for piece in pieces[:-1]]
    return "\n".join([*lines, pieces[-1]]), breaks
