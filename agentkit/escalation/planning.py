"""Plan on any rung, in a lane of its own with tools that only read; hand over what it read.

The planner looks at the repository and calls ``submit_plan``: steps with files and a check, facts
it verified, guesses it did not. The executor gets the plan as an event and as a message, with the
files that were read, so that it does not read everything again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from agentkit.approvals.deciding import may_run
from agentkit.approvals.policy import Policy
from agentkit.errors import LimitReached, ModelError, ToolError, UnusableAnswer
from agentkit.escalation import packets
from agentkit.escalation.evidence import Finding
from agentkit.escalation.lanes import new_name, open_apart
from agentkit.events import Message, PlanUpdated, RungSkipped, ToolFinished
from agentkit.events.work import is_statement
from agentkit.models import wire
from agentkit.request import ask
from agentkit.tool import Tool, ToolContext, ToolResult, schema_check

if TYPE_CHECKING:
    from agentkit.ladder import Rung
    from agentkit.run import Run

MOST_STEPS = 30
TURNS = 20
"""Answers that a planner may use; near the last it is told to submit."""
MAX_TOKENS = 32_768
READING = 24_000
"""Characters of files read that are handed over."""
TRIVIAL = 280
"""Characters of a task below which it is not planned, if it is one paragraph without a list."""

PLANNER = """\
You plan work in a repository that somebody else will carry out. You can look, not change: your \
tools only read. Read what decides the plan, not everything. Then call submit_plan once.

Each step says what is to be true afterwards, which files it touches, and a check: a command that \
exits 0 only when the step is done, or a statement after "review: " that a reviewer can confirm \
from the diff. Name only commands that exist in this repository. Few steps are better than many; \
a task that needs no plan gets none: submit no steps and say why in the facts. Put what you saw \
with your own eyes into facts, with its place; put what you suspect into candidates."""
_REPLAN = "What went wrong with the plan so far, and which plan leads to the end from here?"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planner gives over."""

    steps: tuple[Mapping[str, Any], ...]
    facts: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


def is_trivial(task: str) -> bool:
    """Whether a task is one short paragraph: decided from its shape, without a request."""
    text = task.strip()
    return len(text) <= TRIVIAL and not re.search(r"\n\s*(\n|[-*]|\d+[.)])", text)


async def plan_first(run: Run, task: str) -> None:
    """Plan a task before the work on it begins, if the agent has a planner and it is worth it."""
    if run.planner is None or run.state.plan or is_trivial(task):
        return
    packet = packets.section("task", task)
    if run.ground.exists:
        sandbox = await run.sandbox()
        packet += f"\n\nThe repository is at {sandbox.workdir}."
    await _plan(run, run.planner, packet)


async def replan(run: Run, rung: Rung, findings: Sequence[Finding]) -> None:
    """A new plan from a stronger rung, made from what went wrong with the old one."""
    await _plan(run, rung, await packets.for_advice(run, findings, _REPLAN))


async def _plan(run: Run, rung: Rung, packet: str) -> None:
    """Ask for a plan and give it to the lane that works; without one, work goes on as it is."""
    tools = dict(sorted({**_reading(run.tools), SUBMIT.name: SUBMIT}.items()))
    entries = tuple(
        wire.tool_entry(each.name, each.description, each.parameters) for each in tools.values()
    )
    name = new_name(run, "plan")
    short = replace(rung, max_tokens=min(rung.max_tokens, MAX_TOKENS))
    planner = open_apart(run, name, short, PLANNER, role="plan", tools=entries)
    planner.tools, planner.approval, planner.tool_state = tools, Policy("read-only"), {}
    planner.append(Message(text=packet, source="agentkit"))
    try:
        plan = await _ask_for_it(planner)
    except (ModelError, UnusableAnswer) as error:
        run.append(RungSkipped(rung=rung.name, reason=f"it gave no plan: {error}"))
        return
    except LimitReached:
        return  # the work's own next request says so, if it is hit too
    if plan.steps:
        plan, left_out = await _allowed(run, plan)
        steps = tuple(dict(step) for step in plan.steps)
        run.append(PlanUpdated(steps=steps, author="planner"))
        run.notes.append(_handed_over(plan, rung, await _was_read(planner)))
        if left_out:
            run.notes.append(
                "[Left out of the plan, as nobody has allowed these commands: checks"
                f" {', '.join(f'`{each}`' for each in left_out)}]"
            )


async def _allowed(run: Run, plan: Plan) -> tuple[Plan, list[str]]:
    """The plan without the checks that the policy would not run unasked, and those.

    A check of a plan becomes a required one, and runs as no call of the model's.
    """
    left_out: list[str] = []
    steps: list[Mapping[str, Any]] = []
    for step in plan.steps:
        check = str(step.get("check") or "")
        if not check.strip() or is_statement(check) or await may_run(run.approval, check):
            steps.append(step)
        else:
            left_out.append(check)
            steps.append({name: value for name, value in step.items() if name != "check"})
    return replace(plan, steps=tuple(steps)), left_out


async def _ask_for_it(planner: Run) -> Plan:
    """Let the planner read until it submits.

    Raises:
        UnusableAnswer: it only writes prose, or reads without end.
    """
    from agentkit.dispatch import dispatch

    prose = 0
    for turn in range(TURNS):
        answer = await ask(planner)
        if answer.calls:
            for result in await dispatch(planner, answer.calls):
                if result.tool == SUBMIT.name and result.status == "done":
                    return _plan_of(result)
        else:
            prose += 1
            if prose > 2:
                raise UnusableAnswer("it answers with prose")
            planner.note("[This is not a plan. Call submit_plan; without steps if none is needed.]")
        if turn == TURNS - 3:
            planner.note("[You have read enough. Submit the plan now.]")
    raise UnusableAnswer(f"it did not submit one in {TURNS} answers")


def _plan_of(result: ToolFinished) -> Plan:
    data = result.data
    return Plan(tuple(data["steps"]), tuple(data["facts"]), tuple(data["candidates"]))


_ABSOLUTE = {"path": "/x"}
"""Arguments that let a tool on one file say that it claims only that."""
_NOT_FOR_PLANNERS = ("plan", "consult", "task", "recall")


def _reading(tools: Mapping[str, Tool]) -> dict[str, Tool]:
    """Those that can be of use without writing; a shell, which always may write, is not."""
    return {
        name: tool
        for name, tool in tools.items()
        if not tool.ends_run
        and name not in _NOT_FOR_PLANNERS
        and not any(claim.resource == "*" and claim.write for claim in tool.claims(_ABSOLUTE))
    }


async def _was_read(planner: Run) -> str:
    """The results of the planner's calls, the last ones first, as far as they fit."""
    events = await planner.log.events()
    results = [
        each
        for each in events
        if isinstance(each, ToolFinished)
        and each.lane == planner.lane_name
        and (each.status, each.tool != SUBMIT.name) == ("done", True)
    ]
    room, parts = READING, list[str]()
    for each in reversed(results):
        text = f"{each.display or each.tool}:\n{each.content}"
        if len(text) <= room:
            parts.append(text)
            room -= len(text)
    left_out = len(results) - len(parts)
    more = f"({left_out} longer results are left out)\n\n" if left_out else ""
    return more + "\n\n".join(reversed(parts))


def _handed_over(plan: Plan, rung: Rung, read: str) -> str:
    words = "It is set as your plan; keep its statuses true, and change it if it turns out wrong."
    parts = [
        f"[A plan by {rung.name}. {words}]",
        packets.plan([dict(step) for step in plan.steps]),
        packets.section("verified", "\n".join(f"- {each}" for each in plan.facts)),
        packets.section("unverified", "\n".join(f"- {each}" for each in plan.candidates)),
        packets.section("already-read", read),
    ]
    return "\n\n".join(part for part in parts if part)


_STEP = {
    "type": "object",
    "properties": {
        "step": {"type": "string", "description": "what is true afterwards"},
        "files": {"type": "array", "items": {"type": "string"}},
        "check": {"type": "string", "description": "command that must exit 0, or review: …"},
    },
    "required": ["step"],
    "additionalProperties": False,
}
_TEXTS = {"type": "array", "items": {"type": "string"}}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "steps": {"type": "array", "items": _STEP},
        "facts": {**_TEXTS, "description": "seen by you, each with its place"},
        "candidates": {**_TEXTS, "description": "suspected, not verified"},
    },
    "required": ["steps", "facts", "candidates"],
    "additionalProperties": False,
}


def _checked(arguments: dict[str, Any]) -> dict[str, Any]:
    checked = schema_check(_SCHEMA)(arguments)
    steps = cast("list[dict[str, Any]]", checked["steps"])
    if len(steps) > MOST_STEPS:
        raise ToolError(f"the plan has {len(steps)} steps; at most {MOST_STEPS} are allowed")
    if not steps and not any(str(fact).strip() for fact in checked["facts"]):
        raise ToolError("a plan without steps needs the reason among its facts")
    for number, step in enumerate(steps, 1):
        if not step["step"].strip():
            raise ToolError(f"step {number} is empty")
    return checked


async def _submitted(_context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
    steps = [{**step, "status": "pending"} for step in arguments["steps"]]
    return ToolResult("Submitted.", data={**arguments, "steps": steps})


SUBMIT = Tool(
    "submit_plan",
    "Give the plan and end. Without steps: the task needs none.",
    _SCHEMA,
    _submitted,
    _checked,
    lambda _arguments: (),
)
