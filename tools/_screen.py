"""A terminal's screen as text, and names of keys as bytes.

The emulator is pyte (0.8.2 of 2023-11 is its latest; looked up 2026-11): pure Python, and the one
that is most used. Its younger rivals are compiled, and months old.
"""

from __future__ import annotations

import re
from collections import deque
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


SCROLLED = 400
"""Lines that are kept of those that left the screen at its top."""

_OTHER_SCREEN = {47, 1047, 1049}
"""Private modes by which editors and pagers ask for a screen of their own."""


class Screen:
    """What a program has drawn."""

    def __init__(self, rows: int, columns: int) -> None:
        pyte: Any = import_module("pyte")
        replies: list[str] = []

        self._replies = replies
        self._scrolled: deque[str] = deque(maxlen=SCROLLED)
        self._gone = 0
        self._screen: Any = pyte.Screen(columns, rows)
        self._keep_what_scrolls()
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

    def _keep_what_scrolls(self) -> None:
        """A program without a screen of its own prints more than one screen holds."""
        screen, apart = self._screen, set[int]()
        index, set_mode, reset_mode = screen.index, screen.set_mode, screen.reset_mode

        def kept_index() -> None:
            if not apart and screen.margins is None and screen.cursor.y == screen.lines - 1:
                top = screen.buffer[0]
                self._gone += len(self._scrolled) == SCROLLED
                self._scrolled.append(
                    "".join(top[column].data for column in range(screen.columns)).rstrip()
                )
            index()

        def noted_set(*modes: int, **private: bool) -> None:
            apart.update(_OTHER_SCREEN.intersection(modes) if private.get("private") else ())
            set_mode(*modes, **private)

        def noted_reset(*modes: int, **private: bool) -> None:
            apart.difference_update(modes if private.get("private") else ())
            reset_mode(*modes, **private)

        screen.index, screen.set_mode, screen.reset_mode = kept_index, noted_set, noted_reset

    def scrolled(self) -> tuple[str, int]:
        """Lines that left the screen since this was last asked, and how many more before them."""
        lines, gone = [*self._scrolled], self._gone
        self._scrolled.clear()
        self._gone = 0
        return "".join(f"{line}\n" for line in lines), gone

    def text(self) -> str:
        """The lines without trailing blanks, down to the last that is not empty."""
        lines: list[str] = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return "\n".join(lines)

    def cursor(self) -> tuple[int, int]:
        """Line and column, counted from 1."""
        return self._screen.cursor.y + 1, self._screen.cursor.x + 1
