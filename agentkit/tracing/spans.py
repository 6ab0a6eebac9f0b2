"""One run's spans, from its events. Imported only where somebody listens.

``invoke_agent`` for the run, and nested ones for lanes that work for it (subagents, advice,
hand-offs); below them ``chat`` per request and ``execute_tool`` per call. What has no length, such
as evidence or a change of rung, is an event on its lane's span.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, StatusCode

from agentkit import events as e
from agentkit.ladder import Rung
from agentkit.models.types import Usage
from agentkit.tracing import FACT, Tracing, content, names
from agentkit.tracing.marks import mark
from agentkit.tracing.metrics import instruments

if TYPE_CHECKING:
    from agentkit.run import Run

log = logging.getLogger(__name__)
CallKey = tuple[str, str]
_IN_CALL: ContextVar[CallKey | None] = ContextVar("agentkit_call", default=None)


@dataclass(slots=True)
class _Lane:
    """A lane that works for another one."""

    span: Span
    last: int
    """When its last event came, in nanoseconds: nothing says that a lane is over."""
    call: CallKey | None = None
    """The call that it works for."""


@dataclass(slots=True)
class _Chat:
    span: Span
    started: float
    attributes: dict[str, Any]
    heard: bool = False
    """Its first piece has come."""


@dataclass(slots=True)
class _Call:
    event: e.ToolStarted
    span: Span | None = None
    started: float = 0.0
    ended: int = 0


class RunTrace:
    """Follows one run. An error in here is logged, once, and ends the tracing and not the run."""

    def __init__(self, run: Run, agent: str, version: str, tracing: Tracing) -> None:
        self._run = run
        self._agent = agent
        self._tracing = tracing
        self._content = content.wanted(tracing.content)
        self._tracer = trace.get_tracer(
            "agentkit", version, tracer_provider=tracing.tracer_provider
        )
        self._metrics = instruments(version, tracing.meter_provider)
        self._lanes: dict[str, _Lane] = {}
        self._chats: dict[str, _Chat] = {}
        self._calls: dict[CallKey, _Call] = {}
        self._forms: dict[str, str] = {}
        self._inputs: dict[str, list[Any]] = {}
        self._usage, self._cost, self._turns = Usage(), 0.0, 0
        self._error = ""
        self._broken = False
        self._started = time.monotonic()
        self._common = {
            names.CONVERSATION: run.log.session_id,
            names.PROVIDER: names.provider_of(self._rung("")),
        }
        self._root = self._tracer.start_span(
            f"invoke_agent {agent}",
            kind=SpanKind.INTERNAL,
            attributes={
                **self._common,
                names.OPERATION: "invoke_agent",
                names.AGENT: agent,
                names.REQUEST_MODEL: self._rung("").model,
                "agentkit.rung": self._rung("").name,
            },
            links=self._earlier(),
        )
        self._handlers: dict[type[e.Event], Callable[[Any], None]] = {
            e.LaneOpened: self._opened,
            e.ModelRequested: self._requested,
            e.ModelDelta: self._delta,
            e.ModelResponded: self._responded,
            e.ModelAdvised: self._responded,
            e.ModelFailed: self._failed,
            e.ToolStarted: self._began,
            e.ToolFinished: self._finished,
            e.RungChanged: self._changed,
            e.SessionFinished: self._over,
        }

    @property
    def identity(self) -> Mapping[str, str]:
        """This trace, for the log: ``traceparent`` and the like."""
        carrier: dict[str, str] = {}
        with self._guarded():
            propagate.inject(carrier, trace.set_span_in_context(self._root))
        return {"traceparent": carrier["traceparent"]} if "traceparent" in carrier else {}

    @contextmanager
    def active(self) -> Generator[None]:
        """Within it, what others trace is below this run."""
        with _current(self._root):
            yield

    def saw(self, event: e.Event) -> None:
        """Take in an event, at the moment of its append."""
        if self._broken:
            return
        with self._guarded():
            lane = self._lanes.get(event.lane)
            if lane is not None:
                lane.last = time.time_ns()
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
            elif found := mark(event, self._content):
                self._span(event.lane).add_event(*found)
            if self._content and (message := content.said(event)):
                self._inputs.setdefault(event.lane, []).append(message)

    @contextmanager
    def _guarded(self) -> Generator[None]:
        """What goes wrong in here is a fault of the tracing: it is logged, and the run goes on."""
        try:
            yield
        except Exception:
            if not self._broken:
                log.exception("tracing of session %s has ended", self._run.log.session_id)
            self._broken = True

    @contextmanager
    def during(self, lane: str, call_id: str, address: str) -> Generator[Mapping[str, str]]:
        """Around a call, or a request: its span is the active one.

        Yields headers that a request is to carry.
        """
        span = self._found(lane, call_id, address)
        if span is None:
            yield {}
            return
        inside = _IN_CALL.set((lane, call_id)) if call_id else None
        headers: dict[str, str] = {}
        try:
            with _current(span):
                if not call_id and self._tracing.to_provider:
                    with self._guarded():
                        propagate.inject(headers)
                yield headers
        finally:
            if inside is not None:
                _IN_CALL.reset(inside)
            if call := self._calls.get((lane, call_id)):
                call.ended = time.time_ns()

    def _found(self, lane: str, call_id: str, address: str) -> Span | None:
        """The span of a call, or of a request; None where there is none, or no more tracing."""
        if not self._broken:
            with self._guarded():
                return (
                    self._call_span((lane, call_id)) if call_id else self._chat_span(lane, address)
                )
        return None

    def close(self) -> None:
        """End what is open: after a cancellation, a fault, or a parked run."""
        for chat in self._chats.values():
            with self._guarded():
                chat.span.set_attribute("agentkit.cancelled", True)
                chat.span.end()
        for call in self._calls.values():
            if call.span is not None:
                with self._guarded():
                    call.span.end(call.ended or None)
        with self._guarded():
            self._end_lanes(self._lanes)
        with self._guarded():
            self._end_root()

    def _end_root(self) -> None:
        self._root.set_attributes(
            {
                **names.usage_of(self._usage),
                "agentkit.cost.usd": round(self._cost, 8),
                "agentkit.turns": self._turns,
            }
        )
        self._root.end()
        told = {**_of(self._common, names.PROVIDER), names.AGENT: self._agent}
        self._metrics.agent.record(time.monotonic() - self._started, _with_error(told, self._error))

    # Which span, which rung.

    def _earlier(self) -> list[Link]:
        """The session's run before this one, in whichever process it was."""
        facts = self._run.state.facts.get(FACT)
        if not facts:
            return []
        before = trace.get_current_span(propagate.extract(dict(facts[-1]), context.Context()))
        return [Link(before.get_span_context(), {"agentkit.link": "earlier run"})]

    def _span(self, lane: str) -> Span:
        found = self._lanes.get(lane)
        return found.span if found is not None else self._root

    def _rung(self, lane: str) -> Rung:
        state = self._run.state
        known = state.lanes.get(lane or state.current)
        return known.rung if known is not None else self._run.ladder.rungs[0]

    # Lanes.

    def _opened(self, event: e.LaneOpened) -> None:
        if event.role == "main":
            self._lane_facts(self._root, event)
            return
        # In a call (of ours or below it) the context is right; else the opening lane counts.
        inside = _IN_CALL.get()
        under = None if inside else trace.set_span_in_context(self._span(event.parent))
        rung = Rung(**event.rung)
        name = f"{self._agent}.{event.role}"
        span = self._tracer.start_span(
            f"invoke_agent {name}",
            under,
            kind=SpanKind.INTERNAL,
            attributes={
                **self._common,
                names.OPERATION: "invoke_agent",
                names.PROVIDER: names.provider_of(rung),
                names.AGENT: name,
                names.REQUEST_MODEL: rung.model,
                "agentkit.rung": rung.name,
                "agentkit.lane": event.lane,
                "agentkit.lane.role": event.role,
                **_some("agentkit.escalation.form", self._forms.get(event.lane)),
            },
        )
        self._lane_facts(span, event)
        self._lanes[event.lane] = _Lane(span, time.time_ns(), inside)

    def _lane_facts(self, span: Span, event: e.LaneOpened) -> None:
        if self._content:
            span.set_attributes(content.head(event))

    def _end_lanes(self, lanes: Mapping[str, _Lane]) -> None:
        for name in list(lanes):
            ended = self._lanes.pop(name)
            ended.span.end(ended.last)

    def _changed(self, event: e.RungChanged) -> None:
        if event.to_lane:
            self._forms[event.to_lane] = event.form
        if found := mark(event, self._content):
            self._span(event.lane).add_event(*found)

    # Requests.

    def _requested(self, event: e.ModelRequested) -> None:
        rung = self._rung(event.lane)
        told = {
            names.OPERATION: "chat",
            names.PROVIDER: names.provider_of(rung),
            names.REQUEST_MODEL: event.model,
        }
        attributes: dict[str, Any] = {
            **self._common,
            **told,
            "gen_ai.request.max_tokens": event.max_tokens,
            "agentkit.rung": rung.name,
            "agentkit.lane": event.lane,
            "agentkit.attempt": event.attempt,
            "agentkit.request.bytes": event.size,
        }
        if self._run.watched:
            attributes["gen_ai.request.stream"] = True
        if self._content:
            inputs = self._inputs.get(event.lane, [])
            attributes["gen_ai.input.messages"] = content.as_json(inputs)
        span = self._tracer.start_span(
            f"chat {event.model}",
            trace.set_span_in_context(self._span(event.lane)),
            kind=SpanKind.CLIENT,
            attributes=attributes,
        )
        self._chats[event.lane] = _Chat(span, time.monotonic(), told)

    def _chat_span(self, lane: str, address: str) -> Span | None:
        chat = self._chats.get(lane)
        if chat is None:
            return None
        server = names.server_of(address)
        chat.span.set_attributes(server)
        chat.attributes |= server
        return chat.span

    def _delta(self, event: e.ModelDelta) -> None:
        chat = self._chats.get(event.lane)
        if chat is not None and not chat.heard:
            chat.heard = True
            waited = time.monotonic() - chat.started
            chat.span.set_attribute("gen_ai.response.time_to_first_chunk", round(waited, 4))

    def _responded(self, event: e.ModelResponded | e.ModelAdvised) -> None:
        chat = self._chats.pop(event.lane, None)
        self._turns += isinstance(event, e.ModelResponded)
        if chat is None:
            return
        attributes: dict[str, Any] = {
            **_some(names.RESPONSE_MODEL, event.served_model),
            **self._spent(event.usage, event.cost_usd, priced=event.priced),
            **_some("agentkit.cache.expected_tokens", event.expected_hits),
            **_some("agentkit.cache.missed_tokens", event.missed),
        }
        if isinstance(event, e.ModelResponded):
            attributes["gen_ai.response.finish_reasons"] = (event.finish_reason,)
            attributes |= _some("gen_ai.response.id", event.request_id)
            if self._content:
                attributes["gen_ai.output.messages"] = content.answered(event)
                self._inputs.pop(event.lane, None)
        chat.span.set_attributes(attributes)
        chat.attributes |= _some(names.RESPONSE_MODEL, event.served_model)
        self._end_chat(chat, event.usage)

    def _failed(self, event: e.ModelFailed) -> None:
        chat = self._chats.pop(event.lane, None)
        if chat is None:
            return
        chat.span.set_status(StatusCode.ERROR, event.message)
        chat.span.set_attributes(
            {
                names.ERROR: event.error,
                **_some("http.response.status_code", event.status),
                **_some("agentkit.retry.wait", event.wait),
                **self._spent(event.usage, event.cost_usd, priced=True),
            }
        )
        self._end_chat(chat, event.usage, event.error)

    def _spent(self, usage: Usage, usd: float, *, priced: bool) -> dict[str, Any]:
        self._usage += usage
        self._cost += usd
        told = names.usage_of(usage) if usage.prompt_tokens or usage.completion_tokens else {}
        return {**told, **({"agentkit.cost.usd": round(usd, 8)} if priced else {})}

    def _end_chat(self, chat: _Chat, usage: Usage, error: str = "") -> None:
        chat.span.end()
        self._metrics.chat.record(
            time.monotonic() - chat.started, _with_error(chat.attributes, error)
        )
        if usage.prompt_tokens:
            self._metrics.used(usage, chat.attributes)

    # Calls.

    def _began(self, event: e.ToolStarted) -> None:
        self._calls[event.lane, event.call_id] = _Call(event)

    def _call_span(self, key: CallKey) -> Span | None:
        """The call's span, which begins where the call does: it may have waited for others."""
        call = self._calls.get(key)
        if call is None:
            return None
        call.started = time.monotonic()
        call.span = self._tool_span(call.event.lane, call.event.call_id, call.event.tool)
        if self._content:
            arguments = content.as_json(call.event.arguments)
            call.span.set_attribute("gen_ai.tool.call.arguments", arguments)
        return call.span

    def _tool_span(self, lane: str, call_id: str, tool: str, *, known: bool = True) -> Span:
        return self._tracer.start_span(
            f"execute_tool {tool}" if known else "execute_tool",
            trace.set_span_in_context(self._span(lane)),
            kind=SpanKind.INTERNAL,
            attributes={
                **self._common,
                names.OPERATION: "execute_tool",
                names.AGENT: self._agent,
                names.TOOL: tool,
                "gen_ai.tool.call.id": call_id,
                "gen_ai.tool.type": "function",
                "agentkit.lane": lane,
            },
        )

    def _finished(self, event: e.ToolFinished) -> None:
        key = (event.lane, event.call_id)
        call = self._calls.pop(key, None) or _Call(e.ToolStarted(call_id="", tool=event.tool))
        # One that never began has a span without length; a name that the model made up is no
        # name of a span.
        known = event.status != "invalid" or event.tool in self._run.tools
        span = call.span or self._tool_span(event.lane, event.call_id, event.tool, known=known)
        span.set_attributes(
            {
                "agentkit.tool.status": event.status,
                "agentkit.tool.writes": event.writes,
                **_some("agentkit.tool.exit_code", event.data.get("exit_code")),
            }
        )
        error = "" if event.status == "done" else event.status
        if error:
            span.set_status(StatusCode.ERROR)
            span.set_attribute(names.ERROR, error)
        if self._content:
            span.set_attribute("gen_ai.tool.call.result", event.content)
        self._end_lanes({name: each for name, each in self._lanes.items() if each.call == key})
        span.end(call.ended or None)
        if call.span is not None:
            told = {names.TOOL: event.tool, names.AGENT: self._agent}
            self._metrics.tool.record(event.duration, _with_error(told, error))

    # The end.

    def _over(self, event: e.SessionFinished) -> None:
        self._root.set_attribute("agentkit.status", event.status)
        if event.status in ("finished", "cancelled"):
            return
        self._error = event.error or "TaskFailed"
        self._root.set_status(StatusCode.ERROR, event.output if event.error else None)
        self._root.set_attribute(names.ERROR, self._error)


def _current(span: Span) -> AbstractContextManager[Span]:
    """The span is the active one. Exceptions say too much: what ended it, an event tells."""
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def _some(name: str, value: Any) -> dict[str, Any]:
    """The attribute, where it has a value."""
    return {} if value is None or value == "" else {name: value}


def _of(attributes: Mapping[str, Any], *wanted: str) -> dict[str, Any]:
    return {name: attributes[name] for name in wanted}


def _with_error(attributes: Mapping[str, Any], error: str) -> dict[str, Any]:
    return {**attributes, **_some(names.ERROR, error)}
