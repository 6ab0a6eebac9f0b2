"""What the service still owes a session, read from the session's own log.

A message that was accepted is in the log before the caller hears of it, so neither a crash nor a
shutdown loses it: whichever server looks next finds what is left to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentkit.events import Event, Fact, RunStarted, SessionFinished, SessionForked

ACCEPTED = "serve.accepted"
"""A fact: a message was taken in, with its ``checks``."""
WITHDRAWN = "serve.withdrawn"
"""A fact: what was accepted was cancelled before its run began."""
MOST_TRIES = 5
"""Starts of one run after which it is left alone: it may be what ends the server."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A message whose run has not ended."""

    message: str
    """"" where the run had begun: it goes on."""
    checks: tuple[str, ...]


def accepted(message: str, checks: tuple[str, ...]) -> dict[str, Any]:
    """The data of an ``ACCEPTED`` fact."""
    return {"message": message, "checks": list(checks)}


def owed(events: Iterable[Event]) -> Owed | None:
    """What is owed; None where nothing is, or where it was tried too often."""
    found: Owed | None = None
    tries = 0
    for event in events:
        match event:
            case Fact(kind="serve.accepted"):
                found = Owed(event.data["message"], tuple(event.data["checks"]))
                tries = 0
            case RunStarted() if found is not None:
                found = Owed("", found.checks)
                tries += 1
            case SessionFinished() | SessionForked() | Fact(kind="serve.withdrawn"):
                found = None
            case _:
                pass
    return found if tries < MOST_TRIES else None
