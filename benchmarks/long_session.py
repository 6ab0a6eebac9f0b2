"""A long session's log, written straight into a store: what the page has to show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agentkit import events as e
from agentkit.ladder import FLASH, PRO, Rung
from agentkit.log import as_row
from agentkit.models.types import ToolCall, Usage
from agentkit.stores import Store

START = datetime(2026, 11, 24, 9, tzinfo=UTC)
BATCH = 500


def write(store: Store, session_id: str, events: Iterator[e.Event]) -> int:
    """Number the events and store them; gives how many there were."""
    rows = [
        as_row(replace(event, seq=seq, time=_time(seq)))
        for seq, event in enumerate(events, start=1)
    ]
    for at in range(0, len(rows), BATCH):
        store.append(session_id, rows[at : at + BATCH])
    return len(rows)


def _time(seq: int) -> str:
    at = START + timedelta(seconds=2 * seq)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def opening(
    session_id: str, task: str, tools: tuple[dict[str, Any], ...] = ()
) -> Iterator[e.Event]:
    """A session up to its first request."""
    yield e.SessionStarted(session_id=session_id, agent="coder", version="0.1.0", workspace="/work")
    yield e.RunStarted(checks=("pytest -q",), limits={"turns": 3000})
    yield _lane("main", FLASH, tools)
    yield e.Message(text=task)


def _lane(name: str, rung: Rung, tools: tuple[dict[str, Any], ...] = ()) -> e.LaneOpened:
    role = "main" if name == "main" else "hand-off"
    return e.LaneOpened(
        lane=name, rung=asdict(rung), system="You fix bugs.", tools=tools, role=role
    )


def turns(count: int, *, lane: str = "main", first: int = 0) -> Iterator[e.Event]:
    """Turns as they are: a thought, a word, a command or an edit, its output, now and then more."""
    for number in range(first, first + count):
        yield e.ModelRequested(lane=lane, model=FLASH.model, attempt=1, size=9000, prefix="0" * 16)
        call = ToolCall(id=f"call_{number}", name="bash", arguments="{}")
        yield e.ModelResponded(
            lane=lane,
            content=f"Step {number}: I look at `module_{number % 40}.py`.",
            reasoning=f"What fails is in part {number}. " * 12,
            calls=(call,),
            finish_reason="tool_calls",
            usage=_usage(number),
            cost_usd=0.0002,
            model=FLASH.model,
            duration=1.5,
            expected_hits=4000 + 300 * (number % 300),
        )
        yield from _call(number, call.id, lane)
        if number % 25 == 24:
            yield from _trouble(number, lane)


def _usage(number: int) -> Usage:
    prompt = 4500 + 300 * (number % 300)
    missed = prompt // 2 if number % 97 == 96 else 500
    return Usage(prompt, prompt - missed, missed, 120, 60)


def _call(number: int, call_id: str, lane: str) -> Iterator[e.Event]:
    if number % 5 == 4:
        old = "\n".join(f"line {each} of {number}" for each in range(12))
        arguments = {
            "path": f"module_{number}.py",
            "old_str": old,
            "new_str": old.replace("7", "8"),
        }
        tool, output = "str_replace_editor", f"Edited module_{number}.py (120 lines)"
    else:
        arguments = {"command": f"sed -n {number},{number + 40}p module_{number % 40}.py"}
        lines = (7, 30, 300, 12)[number % 4]
        tool, output = "bash", "\n".join(f"{each:5} some code of {number}" for each in range(lines))
    yield e.ToolStarted(lane=lane, call_id=call_id, tool=tool, arguments=arguments)
    yield e.ToolFinished(
        lane=lane, call_id=call_id, tool=tool, status="done", content=output, duration=0.2,
        writes=tool != "bash",
    )  # fmt: skip


def _trouble(number: int, lane: str) -> Iterator[e.Event]:
    yield e.PlanUpdated(steps=({"step": f"Mend part {number}", "status": "in_progress"},))
    yield e.CheckFailed(
        lane=lane, command="pytest -q", exit_code=1, output=f"FAILED test_{number}\n" * 40
    )
    yield e.Evidence(
        lane=lane, kind="check-failed", weight=1.0, sources=(1,), detail="pytest -q (exit code 1)"
    )
    yield e.RungChanged(
        lane=lane, from_rung=FLASH.name, to_rung=FLASH.name, form="note", reason="check failed",
        prices={f"note {FLASH.name}": 0.001, f"move {PRO.name}": 0.02},
        numbers={"history": 20000},
    )  # fmt: skip


def long_session(session_id: str, count: int) -> Iterator[e.Event]:
    """A whole session of so many turns."""
    yield from opening(session_id, f"A long piece of work of {count} turns")
    yield from turns(count)
    yield e.CheckPassed(command="pytest -q", duration=2.0)
    yield e.SessionFinished(
        status="finished", exit_code=0, output="All is done.", turns=count,
        usage=Usage(100, 90, 10, 5), cost_usd=0.0002 * count, duration=3600.0,
        checks=(e.CheckReport(command="pytest -q", passed=True),),
    )  # fmt: skip
