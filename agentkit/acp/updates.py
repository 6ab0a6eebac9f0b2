"""Events as ``session/update`` notifications: the same while they happen and when a session loads.

What the model says in the lane that works is a message, what it thinks a thought. Calls of every
lane are shown. What agentkit itself has to say (a retry, a rung, a limit) is a thought in brackets;
a check is a call of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from acp import (
    start_tool_call,
    text_block,
    update_agent_thought_text,
    update_plan,
    update_tool_call,
    update_user_message_text,
)
from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    Cost,
    PlanEntry,
    PlanEntryStatus,
    ToolCallProgress,
    ToolCallStart,
    ToolCallStatus,
    ToolCallUpdate,
    UsageUpdate,
    UserMessageChunk,
)

from agentkit import events as e
from agentkit.acp import calls
from agentkit.acp.opening import Places
from agentkit.models.catalogue import shipped

OUTPUT = 8_000
"""Characters at the end of a running command's output that are shown meanwhile."""
OFTEN = 0.25
"""Seconds between two looks at one command's output: each look sends all that is shown."""
_STATUS: Mapping[str, PlanEntryStatus] = {"done": "completed", "in_progress": "in_progress"}
Update = (
    UserMessageChunk
    | AgentMessageChunk
    | AgentThoughtChunk
    | ToolCallStart
    | ToolCallProgress
    | AgentPlanUpdate
    | UsageUpdate
)
_WORKING = ("main", "hand-off")


@dataclass(slots=True)
class _Called:
    """A call that the editor knows of."""

    id: str
    """The editor's name of it: unlike the model's, never given twice."""
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    output: str = ""
    shown: float = 0.0


class Updates:
    """Translates the events of one session, in order.

    Args:
        past: the events are from the log: what the user said is told as well.
    """

    def __init__(self, places: Places, *, past: bool = False) -> None:
        self.past = past
        self._places = places
        self._called: dict[tuple[str, str], _Called] = {}
        self._used: set[str] = set()
        self._roles: dict[str, str] = {}
        self._cost = 0.0
        self._streamed = {"content": False, "reasoning": False}
        self._message = 0
        self._said = ""

    def of(self, event: e.Event) -> Iterator[Update]:  # noqa: C901, PLR0912 - a case per kind
        """The updates that tell of this event; none for what an editor has no place for."""
        match event:
            case e.Message(source="user") if self.past:
                yield update_user_message_text(event.text)
            case e.Steered():
                yield update_user_message_text(event.text)
            case e.LaneOpened():
                self._roles[event.lane] = event.role
            case e.ModelDelta(kind="content" | "reasoning"):
                if self._works(event.lane):
                    self._streamed[event.kind] = True
                    yield self._chunk(event.kind, event.text)
            case e.ModelResponded():
                yield from self._answer(event)
            case e.ModelFailed():
                yield from self._failed(event)
            case e.ApprovalAsked():
                yield from self._announced(event, "pending")
            case e.ToolStarted():
                yield from self._announced(event, "in_progress")
            case e.ToolOutput():
                yield from self._output(event)
            case e.ToolFinished():
                yield from self._finished(event)
            case e.PlanUpdated():
                yield update_plan([_entry(step) for step in event.steps])
            case e.CheckPassed() | e.CheckFailed():
                yield _check(event)
            case e.RungChanged():
                yield _aside(f"{event.form}: {event.to_rung}. {event.reason}")
            case e.LimitNear():
                used = f"{event.used:.4g} of {event.allowed:.4g}"
                yield _aside(f"{used} of the {event.limit} limit are used")
            case e.SessionFinished():
                yield from self._end(event)
            case _:
                pass

    def question(self, event: e.ApprovalAsked) -> ToolCallUpdate:
        """The call that waits for somebody's yes; its announcement came before."""
        id = self._called[event.lane, event.call_id].id
        return calls.described(id, event, self._places)

    def _works(self, lane: str) -> bool:
        return self._roles.get(lane, "main") in _WORKING

    def _chunk(self, kind: str, text: str) -> AgentMessageChunk | AgentThoughtChunk:
        block, number = text_block(text), f"m{self._message}"
        if kind == "content":
            return AgentMessageChunk(
                session_update="agent_message_chunk", content=block, message_id=number
            )
        return AgentThoughtChunk(
            session_update="agent_thought_chunk", content=block, message_id=number
        )

    def _answer(self, event: e.ModelResponded) -> Iterator[Update]:
        if self._works(event.lane):
            if event.reasoning and not self._streamed["reasoning"]:
                yield self._chunk("reasoning", event.reasoning)
            if event.content and not self._streamed["content"]:
                yield self._chunk("content", event.content)
            self._said = event.content.strip()
            self._next()
        yield from self._spent(event)

    def _failed(self, event: e.ModelFailed) -> Iterator[Update]:
        """What was shown of a broken answer stands; the next one is a message of its own."""
        again = "; asking again" if event.wait is not None else ""
        yield _aside(f"{event.error}: {event.message}{again}")
        self._next()
        self._cost += event.cost_usd

    def _next(self) -> None:
        self._message += 1
        self._streamed = {"content": False, "reasoning": False}

    def _spent(self, event: e.ModelResponded) -> Iterator[Update]:
        self._cost += event.cost_usd
        facts = shipped().model(event.model)
        if facts.known and event.usage.reported and self._works(event.lane):
            yield UsageUpdate(
                session_update="usage_update",
                used=event.usage.prompt_tokens + event.usage.completion_tokens,
                size=facts.context,
                cost=Cost(amount=round(self._cost, 6), currency="USD") if event.priced else None,
            )

    def _announced(
        self, event: e.ApprovalAsked | e.ToolStarted, status: ToolCallStatus
    ) -> Iterator[Update]:
        called = self._called.get((event.lane, event.call_id))
        if called is not None:
            yield update_tool_call(called.id, status=status)
            return
        called = self._new(event, event.call_id, event.tool, event.arguments)
        yield start_tool_call(
            called.id,
            calls.title(event.tool, event.arguments, self._places),
            kind=calls.kind(event.tool, event.arguments),
            status=status,
            content=calls.diffs(event.tool, event.arguments, self._places) or None,
            locations=calls.locations(event.arguments, self._places) or None,
            raw_input=calls.given(event.arguments),
        )

    def _new(self, event: e.Event, call_id: str, tool: str, arguments: Any) -> _Called:
        """Some endpoints give the same id in every answer, and lanes know nothing of each other."""
        id = call_id if call_id not in self._used else f"{call_id}/{event.seq}"
        self._used.add(id)
        called = self._called[event.lane, call_id] = _Called(id, tool, arguments)
        return called

    def _output(self, event: e.ToolOutput) -> Iterator[Update]:
        called = self._called.get((event.lane, event.call_id))
        if called is None:
            return
        called.output = (called.output + event.text)[-OUTPUT:]
        now = time.monotonic()
        if now - called.shown >= OFTEN:
            called.shown = now
            yield update_tool_call(called.id, content=calls.words(called.output))

    def _finished(self, event: e.ToolFinished) -> Iterator[Update]:
        done = event.status == "done"
        status: ToolCallStatus = "completed" if done else "failed"
        if (event.lane, event.call_id) not in self._called:  # unknown tool, bad arguments, refused
            called = self._new(event, event.call_id, event.tool, {})
            yield start_tool_call(called.id, event.tool, kind=calls.kind(event.tool, {}))
        called = self._called.pop((event.lane, event.call_id))
        change = calls.diffs(called.tool, called.arguments, self._places) if done else []
        yield update_tool_call(
            called.id,
            status=status,
            content=change or calls.words(event.content) or None,
            raw_output=dict(event.data) or None,
        )

    def _end(self, event: e.SessionFinished) -> Iterator[Update]:
        """The answer, where it was not the model's last words anyway; else what went wrong."""
        if event.status == "cancelled":
            return
        output = event.output.strip()
        if output and output != self._said:
            mark = "" if event.status in ("finished", "failed") and not event.error else "⚠ "
            yield self._chunk("content", f"{mark}{output}")
        self._said = ""
        self._next()


def _aside(words: str) -> AgentThoughtChunk:
    return update_agent_thought_text(f"[{' '.join(words.split())}]\n")


def _entry(step: Mapping[str, Any]) -> PlanEntry:
    status = _STATUS.get(str(step.get("status")), "pending")
    return PlanEntry(content=str(step.get("step", "")), priority="medium", status=status)


def _check(event: e.CheckPassed | e.CheckFailed) -> Update:
    passed = isinstance(event, e.CheckPassed)
    return start_tool_call(
        f"check/{event.seq}",
        f"check: {event.command}",
        kind="execute",
        status="completed" if passed else "failed",
        content=calls.words(event.output) or None,
        raw_output=None if passed else {"exit_code": event.exit_code},
    )
