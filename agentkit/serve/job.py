"""A session at work in the service: its questions, and what can be said to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from agentkit.serve.agents import Opening
from agentkit.serve.bodies import State

if TYPE_CHECKING:
    from agentkit.events import ApprovalAsked
    from agentkit.session import Session


@dataclass(slots=True)
class Job:
    """One message on its way through the service."""

    opening: Opening
    message: str
    checks: tuple[str, ...] = ()
    recorded: bool = False
    """The message is in the log already: it was accepted by an earlier process."""
    words: tuple[str, ...] = ()
    """Said to the run in an earlier process, and not read there."""
    alone: bool = False
    """It holds the session for a fork or an undo: nothing runs."""
    session: Session | None = None
    """Set once the session is open."""
    running: bool = False
    """False while it waits for its turn."""
    stopped: bool = False
    """Somebody cancelled it, or the service ends, before its run began."""
    parked: bool = False
    settled: anyio.Event = field(default_factory=anyio.Event)
    """Set once it is accepted, or refused with ``error``."""
    error: Exception | None = None
    waiting: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    @property
    def state(self) -> State:
        """For the caller."""
        if self.running:
            return "running"
        return "queued" if self.has_work else "idle"

    @property
    def has_work(self) -> bool:
        """Whether a run comes of it; a session is also made without a message."""
        return not self.alone and (bool(self.message) or self.opening.started is not None)

    @property
    def questions(self) -> list[ApprovalAsked]:
        """Calls that wait for an answer."""
        return self.session.questions if self.session is not None else []

    def cancel(self) -> None:
        """Stop the run, or take the message back while it waits."""
        self.stopped = True
        self.stop()

    def park(self) -> None:
        """Stop so that another process goes on with it."""
        self.stopped = self.parked = True
        self.stop()

    def stop(self) -> None:
        """Do what was asked for; a run that was only about to begin needs to hear it again."""
        if not (self.running and self.session is not None):
            self.waiting.cancel()
        elif self.parked:
            self.session.park()
        else:
            self.session.cancel()
