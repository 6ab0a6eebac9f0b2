"""Letters to the process that works on a session, from others that share the store.

A process that is asked to steer, cancel or answer a session which another one works on cannot do
it itself. It sends a letter: a row of the store, durable, of which listeners are told with a
``Notice`` of ``seq`` 0. The owner takes it, does what it says and replies; the sender reads the
reply and removes the letter. Whoever was too late is told the truth: a letter is taken by one, and
a letter that was withdrawn before it was taken is never done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

FRESH = 60.0
"""Seconds after which a letter that nobody took is not done any more: its sender is gone."""
KEPT = 600.0
"""Seconds after which what a sender left behind is removed."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A request to the process that works on a session."""

    id: str
    text: str
    taken: bool = False
    """Somebody began to do what it says."""
    reply: str = ""


@runtime_checkable
class Post(Protocol):
    """What a store offers whose sessions are shared by processes. Methods block."""

    def send(self, session_id: str, text: str) -> str:
        """Leave a letter, durably, and tell listeners; gives its id."""
        ...

    def take(self, session_id: str) -> list[Letter]:
        """The fresh letters that nobody took yet, in order; they are the caller's to do now."""
        ...

    def reply(self, session_id: str, letter_id: str, text: str) -> None:
        """Answer a letter that was taken, and tell listeners."""
        ...

    def letter(self, letter_id: str) -> Letter | None:
        """What became of a letter so far."""
        ...

    def withdraw(self, letter_id: str) -> Letter | None:
        """Remove a letter and give its last state; from here on nobody takes it."""
        ...
