"""Events as the Agent-User Interaction protocol has them (AG-UI 1.0, extra ``ag-ui``).

One adapter follows one session from its first event on, and gives for each event what a front end
is told. Nothing opens that does not close: messages, reasoning and calls end before their run does,
whatever ends it. A run of the protocol ends where somebody's yes is waited for, as its client
cannot speak in mid-run; the answer begins the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ag_ui import core as ui

from agentkit import events as e
from agentkit.models.types import Usage

Given = list[ui.BaseEvent]
_Kind = Literal["reasoning", "content"]
_TOLD: tuple[type[e.Event], ...] = (
    e.Evidence, e.Folded, e.LimitNear, e.ModelChanged, e.PrefixBroken, e.RungChanged
)  # fmt: skip
"""Events that the protocol has no word for: told as ``CUSTOM``, under our own names."""
_ERRORS = {
    "failed": "the task was not achieved",
    "limit": "a limit was reached",
    "error": "the run was stopped by a fault",
}


@dataclass(slots=True)
class _Stream:
    """A message on its way."""

    id: str
    text: str = ""
    closed: bool = False


@dataclass(slots=True)
class _Run:
    """A run of the protocol that is open."""

    id: str
    usage: dict[str, Usage] = field(default_factory=dict[str, Usage])


class Adapter:
    """Gives the protocol's events for a session's.

    Args:
        thread_id: the session's id.
    """

    def __init__(self, thread_id: str) -> None:
        self.thread_id = thread_id
        self.echo = True
        """Tell what the user said, too: not to a client that said it."""
        self.state: dict[str, Any] = {
            "plan": [], "checks": [], "questions": [], "cost_usd": 0.0, "turns": 0, "rung": ""
        }  # fmt: skip
        """What a front end may show beside the conversation."""
        self._run: _Run | None = None
        self._side: set[str] = set()
        self._streams: dict[_Kind, _Stream] = {}
        self._request = 0
        self._aside = False
        self._calls: dict[tuple[str, str], str] = {}
        self._ids: set[str] = set()

    @property
    def is_open(self) -> bool:
        """Whether a run is open."""
        return self._run is not None

    def begin(self, run_id: str) -> Given:
        """Open a run by hand, for a client that has asked for it; nothing may be open."""
        assert self._run is None
        self._run, self._request = _Run(run_id), 0
        started = ui.RunStartedEvent(
            thread_id=self.thread_id, run_id=run_id, protocol_version=ui.PROTOCOL_VERSION
        )
        return [started, ui.StateSnapshotEvent(snapshot=dict(self.state))]

    def abort(self, message: str, code: str) -> Given:
        """End a run of which no end is known."""
        if self._run is None:
            return []
        usage = self._usage()
        given = self._close_streams()
        self._run = None
        return [*given, ui.RunErrorEvent(message=message, code=code, usage=usage)]

    def take(self, event: e.Event) -> Given:
        """What the next event of the session becomes; often nothing."""
        given = self._taken(event)
        # Outside of a run there is only state to keep.
        return given if self._run is not None or _closes(given) else []

    def _taken(self, event: e.Event) -> Given:  # noqa: C901, PLR0911, PLR0912 - a case per event
        match event:
            case e.RunStarted():
                return self._started(event)
            case e.SessionFinished():
                return self._finished(event)
            case e.LaneOpened():
                return self._lane(event)
            case e.ModelResponded() | e.ModelAdvised():
                paid = self._spent(event)
                return [*self._said(event), *paid]
            case e.ModelFailed():
                return [*self._failed(event), *self._spent(event)]
            case e.CheckPassed() | e.CheckFailed():
                return self._checked(event)
            case e.ApprovalAnswered():
                return self._answered(event)
            case e.PlanUpdated():
                return self._set("plan", [dict(step) for step in event.steps])
            case _ if event.lane in self._side:
                return []
            case e.ModelRequested():
                self._request, self._aside = event.seq or 0, bool(event.trailing)
                return self._close_streams()
            case e.ModelDelta():
                return self._delta(event)
            case e.ToolOutput():
                value = {"toolCallId": self._call(event.lane, event.call_id), "text": event.text}
                return [ui.CustomEvent(name="agentkit.tool.output", value=value)]
            case e.ToolFinished():
                return self._result(event)
            case e.ApprovalAsked():
                return self._asked(event)
            case e.Message(source="user") if not self.echo:
                return []
            case e.Message(source="user") | e.Steered():
                return self._user(event)
            case _ if isinstance(event, _TOLD):
                return [_custom(event)]
            case _:
                return []

    # Runs.

    def _started(self, event: e.RunStarted) -> Given:
        """A run that was opened by hand is this one; any other that is open was cut off."""
        if self._run is not None and self._streams == {} and self._request == 0:
            return []
        cut = self.abort("the process that worked on it has ended", "interrupted")
        self._request = 0
        return [*cut, *self.begin(f"run-{event.seq}")]

    def _finished(self, event: e.SessionFinished) -> Given:
        self.state["cost_usd"], self.state["turns"] = round(event.cost_usd, 6), event.turns
        self._request = 0
        if self._run is None:
            return []
        given, usage, run = self._close_streams(), self._usage(), self._run.id
        given.append(ui.StateSnapshotEvent(snapshot=dict(self.state)))
        self._run = None
        if event.status in _ERRORS:
            message = event.output.strip() or _ERRORS[event.status]
            code = event.error or event.status
            return [*given, ui.RunErrorEvent(message=message, code=code, usage=usage)]
        result = {"status": event.status, "output": event.output, "data": event.data}
        cancelled = event.status != "finished"
        outcome = ui.RunFinishedCancelledOutcome() if cancelled else ui.RunFinishedSuccessOutcome()
        end = ui.RunFinishedEvent(
            thread_id=self.thread_id, run_id=run, result=result, outcome=outcome, usage=usage
        )
        return [*given, end]

    def _asked(self, event: e.ApprovalAsked) -> Given:
        """Somebody has to answer: the protocol's run ends here."""
        question = {
            "id": event.call_id,
            "tool": event.tool,
            "arguments": dict(event.arguments),
            "risk": event.risk,
            "reasons": list(event.reasons),
        }
        given = self._set("questions", [*self.state["questions"], question])
        if self._run is None:
            return []
        why = f" ({'; '.join(event.reasons)})" if event.reasons else ""
        asked = ui.Interrupt(
            id=event.call_id,
            reason="approval",
            message=f"May {event.tool} run?{why}",
            tool_call_id=self._call(event.lane, event.call_id),
            response_schema=ANSWER,
            metadata={"agentkit": question},
        )
        given += self._close_streams()
        usage, run = self._usage(), self._run.id
        self._run = None
        outcome = ui.RunFinishedInterruptOutcome(interrupts=[asked])
        end = ui.RunFinishedEvent(
            thread_id=self.thread_id, run_id=run, outcome=outcome, usage=usage
        )
        return [*given, end]

    def _answered(self, event: e.ApprovalAnswered) -> Given:
        left = [each for each in self.state["questions"] if each["id"] != event.call_id]
        if left == self.state["questions"]:
            return []
        if self._run is None and not left:
            self.state["questions"] = left
            return self.begin(f"run-{event.seq}")
        return self._set("questions", left)

    # What is said.

    def _user(self, event: e.Message | e.Steered) -> Given:
        name = f"{self.thread_id}-{event.seq}"
        return [
            ui.TextMessageStartEvent(message_id=name, role="user"),
            ui.TextMessageContentEvent(message_id=name, delta=event.text),
            ui.TextMessageEndEvent(message_id=name),
        ]

    def _delta(self, event: e.ModelDelta) -> Given:
        if self._aside or event.kind == "call" or not event.text:
            return []  # calls come whole, with their ids
        return self._write(event.kind, event.text)

    def _write(self, kind: _Kind, text: str, suffix: str = "") -> Given:
        """Go on with a message; reasoning ends where words begin."""
        given: Given = []
        if kind == "content":
            given += self._close("reasoning")
        stream = self._streams.get(kind)
        if stream is None or stream.closed:
            what = "thinking" if kind == "reasoning" else "text"
            name = f"{self.thread_id}-{self._request}-{what}{suffix}"
            stream = self._streams[kind] = _Stream(name, stream.text if stream else "")
            given += _opening(kind, name)
        stream.text += text
        if kind == "reasoning":
            given.append(ui.ReasoningMessageContentEvent(message_id=stream.id, delta=text))
        else:
            given.append(ui.TextMessageContentEvent(message_id=stream.id, delta=text))
        return given

    def _close(self, kind: _Kind) -> Given:
        stream = self._streams.get(kind)
        if stream is None or stream.closed:
            return []
        stream.closed = True
        if kind == "content":
            return [ui.TextMessageEndEvent(message_id=stream.id)]
        return [
            ui.ReasoningMessageEndEvent(message_id=stream.id),
            ui.ReasoningEndEvent(message_id=stream.id),
        ]

    def _close_streams(self) -> Given:
        given = [*self._close("reasoning"), *self._close("content")]
        self._streams = {}
        return given

    def _said(self, event: e.ModelResponded | e.ModelAdvised) -> Given:
        """The whole answer: what was not streamed of it, and its calls."""
        if event.lane in self._side or isinstance(event, e.ModelAdvised):
            return []
        self._request = self._request or event.seq or 0
        given = self._rest("reasoning", event.reasoning) + self._close("reasoning")
        given += self._rest("content", event.content)
        parent = self._streams["content"].id if "content" in self._streams else None
        given += self._close_streams()
        for call in event.calls:
            name = self._new_call(event, call.id)
            given += [
                ui.ToolCallStartEvent(
                    tool_call_id=name, tool_call_name=call.name, parent_message_id=parent
                ),
                ui.ToolCallArgsEvent(tool_call_id=name, delta=_arguments(call.arguments)),
                ui.ToolCallEndEvent(tool_call_id=name),
            ]
        return given

    def _rest(self, kind: _Kind, text: str) -> Given:
        """What is missing of a message; where pieces were lost in its middle, all of it anew."""
        stream = self._streams.get(kind)
        streamed = stream.text if stream is not None else ""
        if text == streamed:
            return []
        if text.startswith(streamed):
            return self._write(kind, text[len(streamed) :], "-rest" if streamed else "")
        given = self._close(kind)
        value = {"messageId": stream.id if stream else ""}
        given.append(ui.CustomEvent(name="agentkit.replaced", value=value))
        self._streams.pop(kind, None)
        return [*given, *self._write(kind, text, "-whole")]

    def _failed(self, event: e.ModelFailed) -> Given:
        """An attempt came to nothing: what was streamed of it is not part of the conversation."""
        if event.lane in self._side:
            return []
        names = [stream.id for stream in self._streams.values()]
        given = self._close_streams()
        if names:
            given.append(ui.CustomEvent(name="agentkit.discarded", value={"messageIds": names}))
        return [*given, _custom(event)]

    # Calls.

    def _new_call(self, event: e.ModelResponded, call_id: str) -> str:
        """A name of its own in the thread: models use ids again."""
        name = call_id if call_id not in self._ids else f"{call_id}-{event.seq}"
        self._ids.add(name)
        self._calls[event.lane, call_id] = name
        return name

    def _call(self, lane: str, call_id: str) -> str:
        return self._calls.get((lane, call_id), call_id)

    def _result(self, event: e.ToolFinished) -> Given:
        result = ui.ToolCallResultEvent(
            message_id=f"{self.thread_id}-{event.seq}",
            tool_call_id=self._call(event.lane, event.call_id),
            content=event.content,
            role="tool",
            metadata={"agentkit": {"status": event.status, "duration": event.duration}},
        )
        return [result]

    # State.

    def _set(self, key: str, value: Any) -> Given:
        if self.state[key] == value:
            return []
        self.state[key] = value
        patch = [{"op": "replace", "path": f"/{key}", "value": value}]
        return [ui.StateDeltaEvent.model_validate({"delta": patch})]

    def _lane(self, event: e.LaneOpened) -> Given:
        if event.role not in ("main", "hand-off"):
            self._side.add(event.lane)
            return []
        rung = event.rung
        name = "·".join(str(rung[key]) for key in ("model", "effort") if rung.get(key))
        return self._set("rung", name)

    def _checked(self, event: e.CheckPassed | e.CheckFailed) -> Given:
        passed = isinstance(event, e.CheckPassed)
        others = [each for each in self.state["checks"] if each["command"] != event.command]
        return self._set("checks", [*others, {"command": event.command, "passed": passed}])

    def _spent(self, event: e.ModelResponded | e.ModelAdvised | e.ModelFailed) -> Given:
        if self._run is not None and (event.usage.prompt_tokens or event.usage.completion_tokens):
            model = getattr(event, "served_model", "") or getattr(event, "model", "") or "unknown"
            self._run.usage[model] = self._run.usage.get(model, Usage()) + event.usage
        turns = self.state["turns"] + isinstance(event, e.ModelResponded)
        cost = round(self.state["cost_usd"] + event.cost_usd, 6)
        return [*self._set("turns", turns), *self._set("cost_usd", cost)]

    def _usage(self) -> list[ui.TokenUsage] | None:
        if self._run is None or not self._run.usage:
            return None
        return [
            ui.TokenUsage(
                model=model,
                input_tokens=each.prompt_tokens,
                output_tokens=each.completion_tokens,
                total_tokens=each.prompt_tokens + each.completion_tokens,
                reasoning_tokens=each.reasoning_tokens,
                cached_input_tokens=each.hit_tokens,
            )
            for model, each in self._run.usage.items()
        ]


ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["allow"],
    "properties": {
        "allow": {"type": "boolean"},
        "reason": {"type": "string", "description": "Of a no: the model reads it."},
    },
}
"""What answers a question."""


def _opening(kind: _Kind, name: str) -> Given:
    if kind == "content":
        return [ui.TextMessageStartEvent(message_id=name, role="assistant")]
    return [
        ui.ReasoningStartEvent(message_id=name),
        ui.ReasoningMessageStartEvent(message_id=name, role="reasoning"),
    ]


def _arguments(text: str) -> str:
    """The model's own text, if it is JSON, as front ends parse it."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return json.dumps({"invalid": text}) if text.strip() else "{}"
    return text


def _custom(event: e.Event) -> ui.BaseEvent:
    return ui.CustomEvent(name=f"agentkit.{event.type}", value=e.to_dict(event))


def _closes(given: Iterable[ui.BaseEvent]) -> bool:
    return any(isinstance(each, ui.RunFinishedEvent | ui.RunErrorEvent) for each in given)
