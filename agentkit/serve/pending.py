"""What the service still owes a session, read from the session's own log.

A message that was accepted is in the log before the caller hears of it, so neither a crash nor a
shutdown loses it: whichever server looks next finds what is left to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentkit.events import (
    ApprovalAsked,
    Event,
    Fact,
    RunStarted,
    SessionFinished,
    SessionForked,
    Steered,
)

ACCEPTED = "serve.accepted"
"""A fact: a message was taken in, with its ``checks``."""
WITHDRAWN = "serve.withdrawn"
"""A fact: what was accepted was cancelled before its run began."""
SAID = "serve.said"
"""A fact: a word in mid-run was taken in; the model reads it with the next ``steered``."""
MOST_TRIES = 5
"""Starts of one run after which it is left alone: it may be what ends the server."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A message whose run has not ended."""

    message: str
    """"" where the run had begun: it goes on."""
    checks: tuple[str, ...]
    words: tuple[str, ...] = ()
    """What was said in mid-run and the model has not read."""


def accepted(message: str, checks: tuple[str, ...]) -> dict[str, Any]:
    """The data of an ``ACCEPTED`` fact."""
    return {"message": message, "checks": list(checks)}


def owed(events: Iterable[Event]) -> Owed | None:
    """What is owed; None where nothing is, or where it was tried too often."""
    found: Owed | None = None
    words: list[str] = []
    tries = 0
    for event in events:
        match event:
            case Fact(kind="serve.accepted"):
                found = Owed(event.data["message"], tuple(event.data["checks"]))
                words, tries = [], 0
            case RunStarted() if found is not None:
                found = Owed("", found.checks)
                tries += 1
            case Fact(kind="serve.said"):
                words.append(event.data["text"])
            case Steered() if event.text in words:
                words.remove(event.text)
            case SessionFinished(error="StoreError"):
                pass  # the store was away: nothing of the run itself went wrong
            case ApprovalAsked():
                tries = 0  # it came so far: who waits for a person ends no server
            case SessionFinished() | SessionForked() | Fact(kind="serve.withdrawn"):
                found = None
            case _:
                pass
    if found is None or tries >= MOST_TRIES:
        return None
    return Owed(found.message, found.checks, tuple(words))
