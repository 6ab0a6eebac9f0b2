"""Run the tool calls of one answer.

They run side by side where they do not touch the same things, in the model's order where they
do, and their results always enter the log in the model's order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import anyio

from agentkit.approvals.asking import answers, given_before, not_executed, refusal
from agentkit.approvals.deciding import decide
from agentkit.checks import explain, outcome, required, run_checks
from agentkit.errors import SandboxError, StoreError, ToolError
from agentkit.escalation.advice import answer_question
from agentkit.events import (
    ToolFinished,
    ToolOutput,
    ToolStarted,
    ToolStatus,
)
from agentkit.hooks import Call, Refuse, appended
from agentkit.models.arguments import Broken, nearest_name, parse_arguments
from agentkit.models.types import ToolCall
from agentkit.outputs import capped, keep
from agentkit.subagents import carry_out
from agentkit.tool import PLAN, Claim, Tool, ToolContext, ToolResult

if TYPE_CHECKING:
    from agentkit.run import Run


@dataclass(slots=True)
class _Planned:
    """One call on its way: what it asks for, what it touches, and later its result."""

    call: ToolCall
    tool: Tool | None = None
    arguments: dict[str, Any] | None = None
    repairs: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    judged: Call | None = None
    """The call with its risk, where a policy looked at it."""
    begun: bool = False
    finished: ToolFinished | None = None

    @property
    def writes(self) -> bool:
        return any(claim.write for claim in self.claims)

    def refuse(self, refusal: Refuse) -> None:
        self.finished = _result(self, "refused", not_executed(refusal))

    def conflicts(self, other: _Planned) -> bool:
        return any(a.conflicts(b) for a in self.claims for b in other.claims)


async def dispatch(run: Run, calls: Sequence[ToolCall]) -> list[ToolFinished]:
    """Run the calls and log their results, both in the model's order.

    Cancelled in the middle, every call still gets a result (``cancelled`` for those that did
    not end), so that the history stays valid; then the cancellation goes on. Only while somebody's
    yes is waited for, all stay open, and none has begun.

    Raises:
        SandboxError, StoreError: the ground is gone; each call has a result all the same.
        ApprovalNeeded: nobody is there to ask; the calls stay open.
    """
    planned = [_plan(run, call) for call in calls]
    waits = False
    try:
        try:
            await _permit(run, planned)
        except BaseException:
            # Somebody's yes was waited for: the calls stay open until it comes (``take_up``).
            waits = not run.depth and bool(run.state.waiting_calls(run.lane_name))
            raise
        if any(each.finished is None and each.writes for each in planned):
            await run.checkpoints.before_write()
        _log_starts(run, planned)
        await run.log.commit()  # intent before effect
        await _execute(run, planned)
    finally:
        for each in [] if waits else planned:
            if each.finished is None:
                text = "[cancelled before it ended; it may have had effects]"
                if not each.begun:
                    text = "[not executed: the run was stopped before it]"
                each.finished = _result(each, "cancelled", text)
        # Not committed here: the next request, or the end of the run, does it at once.
        ended = [each.finished for each in planned if each.finished is not None and not waits]
        logged = [run.append(each) for each in ended]
    if any(each.writes for each in logged):
        await run.checkpoints.after_turn()
    return logged


def _plan(run: Run, call: ToolCall) -> _Planned:
    """Find the tool and check the arguments; what is wrong becomes the call's result."""
    planned = _Planned(call)
    tool = run.tools.get(call.name)
    if tool is None:
        planned.finished = _result(planned, "invalid", _unknown_tool(call.name, list(run.tools)))
        return planned
    planned.tool = tool
    parsed = parse_arguments(call.arguments)
    if isinstance(parsed, Broken):
        run.wants_room = run.wants_room or parsed.truncated
        text = f"ERROR: not executed. The arguments are not valid JSON: {parsed.reason}"
        planned.finished = _result(planned, "invalid", text)
        return planned
    planned.repairs = parsed.repairs
    try:
        planned.arguments = tool.check(parsed.value)
        planned.claims = (*tool.claims(planned.arguments), *((PLAN,) if tool.ends_run else ()))
    except ToolError as error:
        text = f"ERROR: not executed. {error}"
        planned.finished = _result(planned, "invalid", text)
    return planned


def _unknown_tool(name: str, known: list[str]) -> str:
    nearest = nearest_name(name, known)
    guess = f" Did you mean {nearest!r}?" if nearest else ""
    there = f"Tools: {', '.join(known)}" if known else "There are none here: answer in words."
    return f"ERROR: there is no tool {name!r}.{guess} {there}"


async def _permit(run: Run, planned: Sequence[_Planned]) -> None:
    """Ask guard, hooks and policy, then people; a refusal becomes the call's result."""
    asks: list[_Planned] = []
    for each in planned:
        if each.finished is None:
            refused = await _screened(run, each)
            if refused is not None:
                each.refuse(refused)
            elif each.tool is not None and not each.tool.ends_run:
                asks += [each] if await _is_asked(run, each, each.tool) else []
    pairs = [(each.judged or _as_call(each), _loggable(each.arguments)) for each in asks]
    given = await answers(run, pairs) if pairs else []
    for each, refused in zip(asks, given, strict=True):
        if refused is not None:
            each.refuse(refused)


async def _screened(run: Run, planned: _Planned) -> Refuse | None:
    call = _as_call(planned)
    found = run.guard(call, planned.claims) if run.guard is not None else None
    if found is None and run.hooks.before_tool is not None:
        found = await run.hooks.before_tool(call)
    return found


async def _is_asked(run: Run, planned: _Planned, tool: Tool) -> bool:
    """Whether the call needs somebody's yes now; one that was given before a restart holds."""
    call = _as_call(planned)
    before = given_before(run, call, _loggable(planned.arguments))
    if before is not None and (declined := refusal(before)) is not None:
        planned.refuse(declined)
        return False
    verdict = await decide(run.approval, call, tool, planned.claims)
    planned.judged = verdict.call
    if verdict.action == "deny":
        planned.refuse(Refuse(verdict.reason))
    return verdict.action == "ask" and before is None


def _log_starts(run: Run, planned: Sequence[_Planned]) -> None:
    for each in planned:
        if each.finished is None and each.tool is not None:
            each.begun = True
            run.append(
                ToolStarted(
                    call_id=each.call.id,
                    tool=each.tool.name,
                    arguments=_loggable(each.arguments),
                    repeatable=each.tool.repeatable,
                    repairs=each.repairs,
                )
            )


def _loggable(arguments: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments as JSON types (checked ones may be Python objects)."""
    from pydantic_core import to_jsonable_python

    return cast("dict[str, Any]", to_jsonable_python(arguments or {}, fallback=str))


def _data_of(result: ToolResult) -> dict[str, Any]:
    """What the log keeps of a tool's data, which may be what no JSON can be made of."""
    try:
        return _loggable(dict(result.data))
    except ValueError as error:  # it holds itself, or is nested without end
        return {"not_kept": str(error)}


async def _execute(run: Run, planned: Sequence[_Planned]) -> None:
    """Start each call as soon as all earlier ones that it conflicts with have ended."""
    ended = [anyio.Event() for _ in planned]
    fatal: list[Exception] = []

    async def one(index: int) -> None:
        each = planned[index]
        try:
            for earlier in range(index):
                if each.conflicts(planned[earlier]):
                    await ended[earlier].wait()
            if not fatal:
                each.finished = await _call(run, each)
        except Exception as error:  # of sandbox, store or a hook: raised as it is, in no group
            fatal.append(error)
            each.finished = _result(each, "failed", f"ERROR: {error}")
        finally:
            ended[index].set()

    runnable = [index for index, each in enumerate(planned) if each.finished is None]
    for index, each in enumerate(planned):
        if each.finished is not None:
            ended[index].set()
    async with anyio.create_task_group() as tasks:
        for index in runnable:
            tasks.start_soon(one, index)
    if fatal:
        raise fatal[0]


async def _call(run: Run, planned: _Planned) -> ToolFinished:
    tool, arguments = planned.tool, planned.arguments
    assert tool is not None
    assert arguments is not None
    started = time.monotonic()
    try:
        with run.log.during(run.lane_name, planned.call.id):
            result = await tool.run(_context(run, planned), arguments)
    except ToolError as error:
        result = ToolResult(f"ERROR: {error}", ok=False, data=error.data)
    except (SandboxError, StoreError):
        raise
    except Exception as error:
        result = ToolResult(f"ERROR: {type(error).__name__}: {error}", ok=False)
    if tool.ends_run and result.ok and result.data.get("achieved", True):
        result = await _held_by_checks(run, result)
    result = await capped(run, tool, planned.call.id, result)
    finished = replace(
        _result(planned, "done" if result.ok else "failed", result.content),
        display=result.display,
        data=_data_of(result),
        duration=round(time.monotonic() - started, 4),
    )
    if run.hooks.after_tool is not None:
        given = await run.hooks.after_tool(_as_call(planned), finished)
        if extra := appended("after_tool", given):
            finished = replace(finished, content=f"{finished.content}\n\n{extra}")
    return finished


async def _held_by_checks(run: Run, result: ToolResult) -> ToolResult:
    """A finish is answered with the failing output while a required check fails."""
    failures = await run_checks(run, required(run))
    if not failures:
        return result
    return ToolResult(explain(failures), ok=False, data={"checks_failed": len(failures)})


def _context(run: Run, planned: _Planned) -> ToolContext:
    call_id = planned.call.id
    return ToolContext(
        session_id=run.log.session_id,
        call_id=call_id,
        lane=run.lane_name,
        budget=run.budget,
        emit_output=lambda text: run.log.show(
            ToolOutput(lane=run.lane_name, call_id=call_id, text=text)
        ),
        state=run.tool_state,
        record=run.record,
        facts=lambda kind: list(run.state.facts.get(kind, ())),
        update_plan=run.update_plan,
        _sandbox=run.sandbox,
        _run_checks=partial(_checked, run),
        _consult=partial(answer_question, run),
        _delegate=partial(carry_out, run),
        _keep=partial(keep, run),
    )


async def _checked(run: Run, checks: Sequence[str]) -> Mapping[str, str]:
    if not run.ground.exists:
        raise ToolError("this agent has no sandbox, so its steps can have no checks")
    return {each.command: outcome(each) for each in await run_checks(run, checks)}


def _as_call(planned: _Planned) -> Call:
    arguments = MappingProxyType(planned.arguments or {})  # to look at: the model's call stands
    shell = planned.tool is not None and planned.tool.script is not None
    return Call(planned.call.id, planned.call.name, arguments, planned.writes, shell)


def _result(planned: _Planned, status: ToolStatus, content: str) -> ToolFinished:
    return ToolFinished(
        call_id=planned.call.id,
        tool=planned.call.name,
        status=status,
        content=content,
        writes=planned.writes and status in ("done", "failed", "cancelled"),
    )
