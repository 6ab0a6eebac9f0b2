"""A terminal's screen as text, and names of keys as bytes.

The emulator is pyte (0.8.2 of 2023-11 is its latest; looked up 2026-11): pure Python, and the one
that is most used. Its younger rivals are compiled, and months old.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

__all__ = ["Screen", "keys"]

_NAMED = {
    "enter": "\r", "return": "\r", "esc": "\x1b", "tab": "\t", "space": " ", "bs": "\x7f",
    "backspace": "\x7f", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D",
    "home": "\x1b[H", "end": "\x1b[F", "pageup": "\x1b[5~", "pagedown": "\x1b[6~",
    "delete": "\x1b[3~", "insert": "\x1b[2~", "lt": "<",
}  # fmt: skip
_KEY = re.compile(r"<(?:[Cc]-([a-zA-Z@\[\\\]^_ ])|(\w+))>")


def keys(text: str) -> bytes:
    """Bytes of a text in which ``<Enter>``, ``<C-c>`` and the like stand for keys."""

    def named(found: re.Match[str]) -> str:
        if found[1]:
            return chr(ord(found[1].upper()) & 0x1F)
        return _NAMED.get(found[2].lower(), found[0])

    # A line feed in a text that is typed is the Enter key.
    return _KEY.sub(named, text.replace("\n", "\r")).encode("utf-8", "surrogateescape")


class Screen:
    """What a program has drawn."""

    def __init__(self, rows: int, columns: int) -> None:
        pyte: Any = import_module("pyte")
        replies: list[str] = []

        self._replies = replies
        self._screen: Any = pyte.Screen(columns, rows)
        # Two things that pyte leaves open: answers to a program's questions, and vim's
        # `CSI > 4 ; 2 m`, which is about keys; pyte takes it for colours and fails.
        paint: Any = self._screen.select_graphic_rendition

        def colours(*attributes: int, **private: bool) -> None:
            if not private:
                paint(*attributes)

        self._screen.select_graphic_rendition = colours
        self._screen.write_process_input = replies.append
        self._stream: Any = pyte.ByteStream(self._screen)

    def feed(self, data: bytes) -> bytes:
        """Draw; the terminal's own answers (where the cursor is, …), to be sent to the program."""
        self._stream.feed(data)
        answer = "".join(self._replies)
        self._replies.clear()
        return answer.encode()

    def text(self) -> str:
        """The lines without trailing blanks, down to the last that is not empty."""
        lines: list[str] = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return "\n".join(lines)

    def cursor(self) -> tuple[int, int]:
        """Line and column, counted from 1."""
        return self._screen.cursor.y + 1, self._screen.cursor.x + 1
