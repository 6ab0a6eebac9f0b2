"""A stored session, told to a person or to a program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agentkit import events as e
from agentkit.cli import cache, summary, text
from agentkit.cli.climbs import course
from agentkit.cli.story import Line, plan, story
from agentkit.hits import account
from agentkit.models.catalogue import Catalogue
from agentkit.state import State, replay


def told(session_id: str, events: Sequence[e.Event], home: str) -> Iterator[Line]:
    """All of it, compactly; each turn under its number."""
    state = replay(list(events))
    yield from _head(session_id, events, state)
    climbed = course(events)
    if climbed:
        yield from climbed
        yield Line("")
    turn = 0
    for event in events:
        if isinstance(event, e.ModelResponded):
            turn += 1
            yield Line(f"turn {turn}", "bold")
        if isinstance(event, e.SessionFinished):
            yield from summary.closing(event, session_id, None, home)
            yield Line("")
        else:
            yield from story(event)
    if state.finished is None:
        yield Line("this session has not ended, or was killed", "warn")
        yield Line(f"go on      {summary.resume_command(session_id, home)}")
    if state.plan:
        yield Line("plan at last")
        yield from plan(state.plan)


def _head(session_id: str, events: Sequence[e.Event], state: State) -> Iterator[Line]:
    started = state.session
    yield Line(f"session    {session_id}")
    if started is not None:
        yield Line(f"agent      {text.clean(started.agent)}, agentkit {started.version}")
        if started.workspace:
            yield Line(f"workspace  {text.clean(started.workspace)}")
    yield Line(f"started    {events[0].time if events else ''}")
    for lane in (each for each in events if isinstance(each, e.LaneOpened)):
        rung = lane.rung
        effort = rung.get("effort") if rung.get("thinking") else "non-thinking"
        yield Line(f"rung       {rung.get('model')}·{effort} (lane {lane.lane})")
    served = sorted({x.served_model for x in events if isinstance(x, e.ModelResponded)} - {""})
    if served:
        yield Line(f"served     {text.clean(', '.join(served))}")
    yield from cache.told(account(events, _catalogue(state)))
    yield Line("")


def _catalogue(state: State) -> Catalogue:
    """With the prices that the session's own settings knew."""
    settings = state.session.settings if state.session is not None else {}
    return Catalogue.load(settings.get("models"))


def as_json(session_id: str, events: Sequence[e.Event]) -> dict[str, Any]:
    """The same facts as an object."""
    state = replay(list(events))
    answers = [each for each in events if isinstance(each, e.ModelResponded)]
    return {
        "id": session_id,
        "workspace": state.session.workspace if state.session else "",
        "settings": state.session.settings if state.session else {},
        "status": state.finished.status if state.finished else "open",
        "output": state.finished.output if state.finished else "",
        "task": next(
            (x.text for x in events if isinstance(x, e.Message) and x.source == "user"), ""
        ),
        "plan": list(state.plan),
        "course": [line.text.strip() for line in course(events)[1:]],
        "checks": [
            {"command": x.command, "passed": x.passed, "exit_code": x.exit_code}
            for x in state.checks.values()
        ],
        "turns": [_turn(number, each, events) for number, each in enumerate(answers, 1)],
        "cost_usd": state.cost_usd,
        "priced": state.priced,
        "cache_hit_ratio": state.usage.hit_ratio,
        "cache": account(events, _catalogue(state)).to_dict(),
        "usage": {name: getattr(state.usage, name) for name in state.usage.__slots__},
    }


def _turn(number: int, answer: e.ModelResponded, events: Sequence[e.Event]) -> dict[str, Any]:
    ids = {call.id for call in answer.calls}
    after = (each for each in events if (each.seq or 0) > (answer.seq or 0))
    statuses: dict[str, str] = {}
    for each in after:
        if isinstance(each, e.ModelResponded):
            break
        if isinstance(each, e.ToolFinished) and each.call_id in ids:
            statuses[each.call_id] = each.status
    return {
        "turn": number,
        "lane": answer.lane,
        "model": answer.model,
        "served_model": answer.served_model,
        "content": answer.content,
        "calls": [
            {"tool": x.name, "arguments": x.arguments, "status": statuses.get(x.id, "open")}
            for x in answer.calls
        ],
        "cost_usd": answer.cost_usd,
        "cache_hit_ratio": answer.usage.hit_ratio,
        "expected_hits": answer.expected_hits,
        "missed": answer.missed,
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
    }
