"""Show a text so that what is read is what runs: nothing in it is obeyed, hidden or reordered."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Controls, marks of direction, zero-width characters, tags, surrogates, line separators."""
_BLANKS = ("\u115f", "\u1160", "\u3164", "\uffa0", "\u2800")
"""Letters by their category that show nothing."""
MOST_BLANK = 3
"""Empty lines in a row that are shown as they are: more would push what matters off the screen."""


def is_hidden(character: str) -> bool:
    """Whether a screen shows nothing of it, or something else, or a space that is none."""
    if character in " \n\t":
        return False
    kind = unicodedata.category(character)
    return (
        kind in _HIDDEN or kind == "Zs" or character in _BLANKS or 0xFE00 <= ord(character) < 0xFE10
    )


def hidden(text: str) -> list[str]:
    """The hidden characters of a text, each once, as ``U+202E``."""
    return list(dict.fromkeys(f"U+{ord(each):04X}" for each in text if is_hidden(each)))


def visible(text: str) -> str:
    r"""The text with hidden characters as escapes: ``\u202e``, ``\x1b``; lines stay lines."""
    out: list[str] = []
    for each in text:
        code = ord(each)
        if each == "\t":
            out.append("    ")
        elif not is_hidden(each):
            out.append(each)
        else:
            out.append(
                f"\\x{code:02x}"
                if code < 256
                else f"\\u{code:04x}"
                if code < 65_536
                else f"\\U{code:08x}"
            )
    return "".join(out)


def lines(text: str) -> list[str]:
    """The text for a screen, whole; only long runs of empty lines are counted, not shown."""
    shown: list[str] = []
    blank = 0
    for line in [*visible(text).split("\n"), None]:
        if line is not None and not line.strip():
            blank += 1
            continue
        shown += [""] * blank if blank <= MOST_BLANK else [f"[{blank} empty lines]"]
        blank = 0
        if line is not None:
            shown.append(line.rstrip())
    while shown and not shown[-1]:
        shown.pop()
    return shown
