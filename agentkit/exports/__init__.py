"""A session as a file for others: its events, a trajectory in ATIF, or a page to read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, get_args

from agentkit.errors import SessionError, UsageError
from agentkit.events import to_dict

if TYPE_CHECKING:
    from agentkit.events import Event

Format = Literal["jsonl", "atif", "html"]


def export(events: Sequence[Event], format: str, diffs: Mapping[int, str] | None = None) -> bytes:
    """The session in that format.

    Args:
        diffs: by turn, the patch of what it changed; shown in the page.

    Raises:
        UsageError: there is no such format.
        SessionError: there are no events.
    """
    if format not in get_args(Format):
        raise UsageError(
            f"there is no export format {format!r}",
            hint=f"Choose {', '.join(get_args(Format)[:-1])} or {get_args(Format)[-1]}",
        )
    if not events:
        raise SessionError("the session has no events, so there is nothing to export")
    if format == "jsonl":
        return b"".join(_line(to_dict(event)) for event in events)
    if format == "atif":
        from agentkit.exports.atif import trajectory

        text = json.dumps(trajectory(events), ensure_ascii=False, indent=1)
        return text.encode("utf-8", "backslashreplace") + b"\n"
    from agentkit.exports.page import page

    return page(events, diffs).encode("utf-8", "replace")


def _line(record: object) -> bytes:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate: only escapes survive the round trip
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"
