"""A session at work in the service: its questions, and what can be said to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from agentkit.hooks import Call, Refuse
from agentkit.serve.agents import Opening
from agentkit.serve.bodies import State
from agentkit.serve.problems import Problem

if TYPE_CHECKING:
    from agentkit.session import Session


@dataclass(slots=True)
class Ask:
    """A call that waits for somebody's yes."""

    call: Call
    answered: anyio.Event = field(default_factory=anyio.Event)
    answer: bool | Refuse = False


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
    asks: dict[str, Ask] = field(default_factory=dict[str, Ask])

    async def approve(self, call: Call) -> bool | Refuse:
        """The ``approve`` hook: wait for an answer, however long it takes."""
        ask = self.asks[call.id] = Ask(call)
        await ask.answered.wait()
        return ask.answer

    @property
    def state(self) -> State:
        """For the caller."""
        return "running" if self.running or not self.message else "queued"

    @property
    def questions(self) -> list[dict[str, Any]]:
        """Calls that wait for an answer."""
        return [
            {"call": each.call.id, "tool": each.call.tool, "arguments": dict(each.call.arguments)}
            for each in self.asks.values()
            if not each.answered.is_set()
        ]

    def answer(self, call_id: str, *, allow: bool, reason: str) -> None:
        """Answer a question.

        Raises:
            Problem: 404 for no such question, 409 where it was answered already.
        """
        ask = self.asks.get(call_id)
        if ask is None:
            raise Problem(404, "no call of this id waits for an answer")
        if ask.answered.is_set():
            raise Problem(409, "this call was answered already")
        refusal = Refuse(f"The user declined this call: {reason}") if reason else False
        ask.answer = True if allow else refusal
        ask.answered.set()

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
