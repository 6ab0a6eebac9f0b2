"""What all events have in common."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

JsonObject = dict[str, Any]


def now() -> str:
    """The present moment in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What all events have in common."""

    type: ClassVar[str] = ""
    stored: ClassVar[bool] = True

    lane: str = "main"
    seq: int | None = None
    time: str = ""
