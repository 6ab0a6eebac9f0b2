"""A session as a trajectory in the Agent Trajectory Interchange Format, ATIF v1.8.

The format is Harbor's (harbor 0.24, read 2026-11): steps numbered from 1, results beside the calls
that they answer, prompt tokens with the cached ones among them, no unknown keys. What our log
knows beyond it is under ``extra``. Lanes of subagents and attempts are trajectories of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from agentkit import events as e

VERSION = "ATIF-v1.8"
Json = dict[str, Any]
_APART = ("task", "attempt")
"""Roles of lanes that are trajectories of their own."""


def trajectory(events: Sequence[e.Event]) -> Json:
    """The session as an ATIF document."""
    started = next((each for each in events if isinstance(each, e.SessionStarted)), None)
    lanes = {each.lane: each for each in events if isinstance(each, e.LaneOpened)}
    apart = [name for name, opened in lanes.items() if opened.role in _APART]
    session_id = started.session_id if started else ""
    main = [each for each in events if each.lane not in apart]
    document = _document(main, session_id, started, lanes, "main")
    below = [
        _document([each for each in events if each.lane == name], session_id, started, lanes, name)
        for name in apart
    ]
    filled = [each for each in below if each["steps"]]
    if filled:
        document["subagent_trajectories"] = filled
    document["extra"] = _about(events)
    return document


def _document(
    events: Sequence[e.Event],
    session_id: str,
    started: e.SessionStarted | None,
    lanes: dict[str, e.LaneOpened],
    name: str,
) -> Json:
    steps = [step | {"step_id": number} for number, step in enumerate(_steps(events, lanes), 1)]
    opened = next((each for each in events if isinstance(each, e.LaneOpened)), None)
    agent: Json = {
        "name": started.agent if started else "agentkit",
        "version": started.version if started else "0",
    }
    if opened is not None:
        agent["model_name"] = str(opened.rung.get("model", ""))
        agent["tool_definitions"] = [dict(tool) for tool in opened.tools]
    return {
        "schema_version": VERSION,
        "session_id": session_id,
        "trajectory_id": name,
        "agent": agent,
        "steps": [_ordered(step) for step in steps],
        "final_metrics": _totals(events, len(steps)),
    }


def _ordered(step: Json) -> Json:
    return {"step_id": step.pop("step_id"), **step}


def _steps(events: Sequence[e.Event], lanes: dict[str, e.LaneOpened]) -> Iterator[Json]:
    results = _results(events)
    for event in events:
        step = _step(event, lanes, results)
        if step is not None:
            extra = {"seq": event.seq, "lane": event.lane, **step.pop("extra", {})}
            yield {"timestamp": event.time, **step, "extra": extra}


def _results(events: Sequence[e.Event]) -> dict[tuple[str, str, int], e.ToolFinished]:
    """Results by lane, call and the answer they belong to: ids may come again in a session."""
    found: dict[tuple[str, str, int], e.ToolFinished] = {}
    answer: dict[str, int] = {}
    for event in events:
        if isinstance(event, e.ModelResponded):
            answer[event.lane] = event.seq or 0
        elif isinstance(event, e.ToolFinished):
            found[event.lane, event.call_id, answer.get(event.lane, 0)] = event
    return found


def _step(
    event: e.Event,
    lanes: dict[str, e.LaneOpened],
    results: dict[tuple[str, str, int], e.ToolFinished],
) -> Json | None:
    match event:
        case e.LaneOpened():
            return {"source": "system", "message": event.system}
        case e.Message():
            return {"source": "user", "message": event.text, "extra": {"author": event.source}}
        case e.Steered():
            return {"source": "user", "message": event.text, "extra": {"author": "user"}}
        case e.ModelAdvised():
            return _aside(event)
        case e.ModelResponded():
            return _answer(event, lanes, results)
        case _:
            return None


def _aside(event: e.ModelAdvised) -> Json:
    return {
        "source": "agent",
        "message": event.content,
        "model_name": event.served_model,
        "metrics": _metrics(event.usage, event.cost_usd),
        "llm_call_count": 1,
        "extra": {"kind": "aside"},
    }


def _answer(
    event: e.ModelResponded,
    lanes: dict[str, e.LaneOpened],
    results: dict[tuple[str, str, int], e.ToolFinished],
) -> Json:
    step: Json = {
        "source": "agent",
        "message": event.content,
        "model_name": event.served_model or event.model,
        "metrics": _metrics(event.usage, event.cost_usd),
        "llm_call_count": 1,
        "extra": {"finish_reason": event.finish_reason, "requested_model": event.model},
    }
    if event.reasoning:
        step["reasoning_content"] = event.reasoning
    opened = lanes.get(event.lane)
    if opened is not None and opened.rung.get("thinking") and opened.rung.get("effort"):
        step["reasoning_effort"] = str(opened.rung["effort"])
    if event.calls:
        step["tool_calls"] = [
            {
                "tool_call_id": call.id,
                "function_name": call.name,
                "arguments": _arguments(call.arguments),
            }
            for call in event.calls
        ]
        found = [results.get((event.lane, call.id, event.seq or 0)) for call in event.calls]
        answers = [
            {"source_call_id": each.call_id, "content": each.content} for each in found if each
        ]
        if answers:
            step["observation"] = {"results": answers}
    return step


def _arguments(text: str) -> Json:
    """An object, as the format wants; what the model sent otherwise is kept as text."""
    try:
        value: object = json.loads(text) if text else {}
    except ValueError:
        return {"_text": text}
    return cast("Json", value) if isinstance(value, dict) else {"_value": value}


def _metrics(usage: Any, cost_usd: float) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.hit_tokens,
        "cost_usd": cost_usd,
    }


def _totals(events: Sequence[e.Event], steps: int) -> Json:
    answers = [x for x in events if isinstance(x, e.ModelResponded | e.ModelAdvised)]
    failed = [x for x in events if isinstance(x, e.ModelFailed)]
    return {
        "total_prompt_tokens": sum(x.usage.prompt_tokens for x in answers),
        "total_completion_tokens": sum(x.usage.completion_tokens for x in answers),
        "total_cached_tokens": sum(x.usage.hit_tokens for x in answers),
        "total_cost_usd": sum(x.cost_usd for x in (*answers, *failed)),
        "total_steps": steps,
    }


def _about(events: Sequence[e.Event]) -> Json:
    end = next((each for each in reversed(events) if isinstance(each, e.SessionFinished)), None)
    about: Json = {"status": end.status if end else "open"}
    if end is not None:
        about |= {"exit_code": end.exit_code, "output": end.output}
        about["checks"] = [{"command": c.command, "passed": c.passed} for c in end.checks]
    return about
