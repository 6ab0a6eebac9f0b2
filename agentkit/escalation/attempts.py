"""Parallel attempts: several hand-offs at once, each in a fork of the sandbox; checks decide.

The winner's changes are merged into the workspace; nothing of the others stays. All of them share
a packet, so all but the first read it from the cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from agentkit.checks import required, run_checks
from agentkit.errors import AgentkitError
from agentkit.escalation import packets
from agentkit.escalation.lanes import new_name, open_fresh
from agentkit.events import RungChanged
from agentkit.forks import FanOut
from agentkit.ground import Ground

if TYPE_CHECKING:
    from agentkit.ladder import Rung
    from agentkit.run import Run
    from agentkit.sandbox import Sandbox


@dataclass(slots=True)
class Attempt:
    """One of several at the same thing."""

    lane: str
    sandbox: Sandbox
    words: str = ""
    passed: int = -1
    """Checks that pass in its copy; -1 where it did not come to its end."""
    failure: str = ""


async def hand_off(run: Run, rung: Rung, change: RungChanged, packet: str) -> bool:
    """Make the attempts and bring the best one home; False where that is not possible here."""
    checks = required(run)
    sandbox = await run.sandbox()
    if not checks or not sandbox.capabilities.fork:
        return False
    attempts: list[Attempt] = []
    try:
        for _ in range(run.attempts):
            lane = new_name(run, "attempt")
            fork = await sandbox.fork(f"{run.log.session_id}-{lane}")
            attempts.append(Attempt(lane, fork))
            _open(run, rung, packet, attempts[-1])
        run.append(replace(change, to_lane=", ".join(each.lane for each in attempts)))
        fan = FanOut()
        async with anyio.create_task_group() as tasks:
            for each in attempts:
                tasks.start_soon(_work, run, each, fan, checks)
        await _bring_home(run, rung, sandbox, attempts, len(checks))
    finally:
        with anyio.CancelScope(shield=True):
            for each in attempts:
                await each.sandbox.close()
    return True


def _open(run: Run, rung: Rung, packet: str, attempt: Attempt) -> None:
    """All attempts read the same to the last byte: one more, and the cache would not have it."""
    open_fresh(run, attempt.lane, rung, packet, role="attempt")
    words = (
        f"[You are one of {run.attempts} attempts, each in a copy of its own."
        " Trust your own reading more than what was tried.]"
    )
    run.on(attempt.lane).note(words)


async def _work(run: Run, attempt: Attempt, fan: FanOut, checks: tuple[str, ...]) -> None:
    """One attempt to its end; what ends it badly is its own matter, not the run's."""
    from agentkit.loop import turns

    own = run.on(
        attempt.lane,
        ground=Ground.of(attempt.sandbox),
        tool_state={},
        fan=fan,
        steering=[],
        checks=checks,
        depth=run.depth + 1,
        parse_output=None,
        wants_room=False,
    )
    try:
        outcome = await turns(own)
        attempt.words = outcome.output
    except AgentkitError as error:
        attempt.failure = str(error)
    try:
        await run_checks(own, checks)
    except AgentkitError as error:
        attempt.failure = attempt.failure or str(error)
        return
    last = own.state.checks_of(own.lane_name).last
    attempt.passed = sum(last[check].passed for check in checks if check in last)


async def _bring_home(
    run: Run, rung: Rung, sandbox: Sandbox, attempts: list[Attempt], wanted: int
) -> None:
    best = max(attempts, key=lambda each: each.passed)
    tally = "; ".join(
        f"{each.lane}: {max(each.passed, 0)} of {wanted} checks{_why(each)}" for each in attempts
    )
    won = best.passed == wanted
    changed = await sandbox.merge(best.sandbox) if won else []
    reason = (
        f"{best.lane} passes every check; its changes are in the workspace"
        if won
        else "none passes every check, so nothing was changed"
    )
    run.append(
        RungChanged(
            from_rung=rung.name,
            to_rung=run.lane.rung.name,
            form="step-down",
            reason=f"{reason} ({tally})",
            to_lane=run.lane_name,
            numbers={"turn": run.state.course.turn, "won": won, "files": changed[:100]},
        )
    )
    files = packets.section("changed-files", "\n".join(changed[:200]))
    words = best.words or packets.section("failure", best.failure)
    run.note(
        f"[{len(attempts)} attempts were made by {rung.name}, each in a copy ({tally}). {reason}.]"
        f"\n\n{words}\n\n{files}".strip()
    )


def _why(attempt: Attempt) -> str:
    return f" ({packets.clip(attempt.failure, 200)})" if attempt.failure else ""
