"""Subagents: a part of the work on a lane of its own, by order of a tool call.

A subagent reads only, or writes only where its call says, or works in a copy of the sandbox whose
changes come home at its end. It starts fresh, or from the history of the lane that calls it: then
its first request is read from the cache up to there. Its cost, turns and tokens count in the same
limits; what it says at its end is the result of the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio

from agentkit.errors import AgentkitError, SandboxError, StoreError, ToolError
from agentkit.escalation.lanes import new_name
from agentkit.events import Message
from agentkit.forks import fork_lane
from agentkit.ground import Ground
from agentkit.hooks import Call, Refuse
from agentkit.tool import Claim, ToolResult

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agentkit.agent import Agent
    from agentkit.run import Guard, Run

MOST_DEPTH = 1
"""Subagents have none of their own: their calls would be paid for and watched by nobody."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a subagent is to do, and what it may."""

    prompt: str
    writes: tuple[str, ...] = ()
    """Absolute paths, files or folders, that it may write; empty: it only reads."""
    in_copy: bool = False
    """It works in a fork of the sandbox, where it may do anything; its changes are merged."""
    warm: bool = False
    """It starts from the history of the lane that calls it."""
    agent: Agent | None = None
    """Another definition: its instructions, tools and first rung."""


async def carry_out(run: Run, order: Order) -> ToolResult:
    """Run a subagent to its end and give what it says.

    Raises:
        ToolError: it may not be started here.
        SandboxError, StoreError: the ground is gone.
    """
    from agentkit.loop import turns

    if run.depth >= MOST_DEPTH:
        raise ToolError("a subagent cannot start subagents")
    async with _ground(run, order) as ground:
        child = _open(run, order, ground)
        child.append(Message(text=_words(order), source="agentkit"))
        try:
            outcome = await turns(child)
        except (SandboxError, StoreError):
            raise
        except AgentkitError as error:
            raise ToolError(f"the subagent did not come to its end: {error}") from error
        home = await _bring_home(run, order, ground) if outcome.achieved else ""
    account = run.state.course.accounts[child.lane_name]
    data = {"lane": child.lane_name, "turns": account.turns, "cost_usd": round(account.usd, 6)}
    words = outcome.output.strip() or "(it says nothing)"
    return ToolResult(f"{words}{home}", ok=outcome.achieved, data=data)


def _words(order: Order) -> str:
    if order.in_copy:
        rights = "You work in a copy of the workspace; what you change is merged when you end."
    elif order.writes:
        rights = f"You may write only: {', '.join(order.writes)}. All else you only read."
    else:
        rights = "You only read: no call of yours may change anything."
    return (
        f"[You are a subagent. Do the following and nothing else. {rights} End with the answer that"
        f" whoever called you needs: they see nothing else of what you do.]\n\n{order.prompt}"
    )


@asynccontextmanager
async def _ground(run: Run, order: Order) -> AsyncGenerator[Ground]:
    """The caller's sandbox, or a fork of it that is removed at the end."""
    if not order.in_copy:
        yield run.ground
        return
    sandbox = await run.sandbox()
    if not sandbox.capabilities.fork:
        raise ToolError("this sandbox cannot be copied; leave the copy out")
    fork = await sandbox.fork(f"{run.log.session_id}-copy-{len(run.state.lanes)}")
    try:
        yield Ground.of(fork)
    finally:
        with anyio.CancelScope(shield=True):
            await fork.close()


def _open(run: Run, order: Order, ground: Ground) -> Run:
    name = new_name(run, "task")
    own: dict[str, Any] = {
        "ground": ground,
        "tool_state": {},
        "steering": [],
        "checks": (),
        "parse_output": None,
        "depth": run.depth + 1,
        "wants_room": False,
        "guard": None if order.in_copy else guard(order.writes),
    }
    if order.agent is not None:
        return _other_agent(run, name, order.agent, own, in_copy=order.in_copy)
    if order.warm:
        child = fork_lane(run, name, role="task", in_copy=order.in_copy)
        return replace(child, **own)
    head = replace(run.state.opened[run.lane_name], seq=None, time="", replays="", upto=0)
    run.on(name).append(replace(head, role="task", parent=run.lane_name, in_copy=order.in_copy))
    return run.on(name, **own)


def _other_agent(
    run: Run, name: str, agent: Agent, own: Mapping[str, Any], *, in_copy: bool
) -> Run:
    """A lane with another definition's head."""
    opening = agent.opening()
    child = run.on(name, **own)
    child.tools, child.ladder = agent.table, agent.ladder
    child.append(replace(opening, role="task", parent=run.lane_name, in_copy=in_copy))
    return child


def guard(writes: Sequence[str]) -> Guard:
    """Refuses calls that write anything but these paths."""

    def look(call: Call, claims: tuple[Claim, ...]) -> Refuse | None:
        for claim in claims:
            if claim.write and not any(_inside(claim.resource, path) for path in writes):
                what = claim.resource.removeprefix("file:")
                allowed = ", ".join(writes) or "nothing"
                what = "anything, as it may" if what == "*" else what
                return Refuse(f"This subagent may write {allowed}, and {call.tool} writes {what}.")
        return None

    return look


def _inside(resource: str, path: str) -> bool:
    kind, _, name = resource.partition(":")
    folder = path.rstrip("/")
    return kind == "file" and (name == folder or name.startswith(f"{folder}/"))


async def _bring_home(run: Run, order: Order, ground: Ground) -> str:
    if not order.in_copy or ground.opened is None:
        return ""
    sandbox = await run.sandbox()
    try:
        changed = await sandbox.merge(ground.opened)
    except SandboxError as error:
        raise ToolError(f"its changes could not be merged, so none was: {error}") from error
    listed = ", ".join(changed[:50]) + (" …" if len(changed) > 50 else "")
    return f"\n\n[merged into the workspace: {listed or 'nothing was changed'}]"
