"""Words and numbers for people: cleaned, clipped, and short."""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]?"
)
# C0 and C1 controls except tab and newline, and what turns the direction of writing around: a
# command must read as it runs.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text without anything that a terminal would obey instead of show."""
    text = text.replace("\r\n", "\n")
    return _CONTROLS.sub("\ufffd", _ESCAPES.sub("", text)).replace("\t", "    ")


def overwritten(text: str) -> str:
    """Like ``clean``; of a line that a progress bar rewrote, only what stood there at last."""
    lines = text.replace("\r\n", "\n").split("\n")
    return clean("\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines))


def clip(text: str, width: int) -> str:
    """One line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"


def tokens(count: int) -> str:
    """``842``, ``12.3k``, ``1.20M``."""
    if count < 1_000:
        return str(count)
    return f"{count / 1_000:.1f}k" if count < 1_000_000 else f"{count / 1_000_000:.2f}M"


def dollars(amount: float, *, priced: bool = True) -> str:
    """``$0.0012``, two digits from ten cents on; "unknown" where a price is missing."""
    if not priced:
        return f"more than {dollars(amount)} (some prices are unknown)" if amount else "unknown"
    if 0 < amount < 0.0001:
        return "<$0.0001"
    return f"${amount:.2f}" if amount >= 0.1 or amount == 0 else f"${amount:.4f}"


def seconds(span: float) -> str:
    """``4.2 s``, ``3 min 07 s``, ``2 h 05 min``."""
    if span < 60:
        return f"{span:.1f} s"
    whole = int(span)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def percent(ratio: float) -> str:
    """``97%``; 100% only where nothing missed."""
    return f"{min(99.0, ratio * 100) if ratio < 1 else 100:.0f}%"


def plural(count: int, noun: str) -> str:
    """``1 turn``, ``2 turns``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def call_line(tool: str, arguments: dict[str, Any]) -> str:
    """One line that says what a call does: ``bash: pytest -q``."""
    for name in ("command", "pattern", "path", "summary"):
        main = arguments.get(name)
        if isinstance(main, str) and main.strip():
            extra = str(arguments.get("path", "")) if name != "path" else ""
            if tool == "str_replace_editor":
                return f"{tool}: {arguments.get('command', '')} {extra}".rstrip()
            return f"{tool}: {main}{f' in {extra}' if extra else ''}"
    return f"{tool}: {arguments}" if arguments else tool


_PLAIN = str.maketrans(
    {"·": "-", "…": "~", "✓": "+", "✗": "x", "→": ">", "●": "*", "○": "o", "▸": ">", "—": "-"}
)


def for_stream(text: str, stream: TextIO | None = None) -> str:
    """Our own typographic marks in ASCII where the stream cannot hold them."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN)
    return text
