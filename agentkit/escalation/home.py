"""The workspace's best state: where most checks passed, and how to get back there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from agentkit.checks import required, run_checks
from agentkit.errors import AgentkitError
from agentkit.escalation import packets
from agentkit.events.work import is_statement

if TYPE_CHECKING:
    from agentkit.run import Run

PATIENCE = 60.0
"""Seconds that bringing the best state home may take after a limit was reached."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An attempt that was taken back."""

    checkpoint: str
    """The state that the workspace is in now."""
    diff: str
    """What the attempt had changed, as reading matter."""


async def mark(run: Run, reason: str) -> str:
    """The checkpoint of the workspace as it is now, "" where none can be taken."""
    if not run.ground.exists:
        return ""
    try:
        taken = await run.checkpoints.take(reason)
    except AgentkitError:
        return ""
    return taken.id if taken.tree else ""


async def back_to_best(run: Run) -> Abandoned | None:
    """Put the workspace back to where most checks passed; None where that cannot be done."""
    best, _ = run.state.course.best()
    if not best:
        return None
    try:
        diff = (await run.checkpoints.diff(best)).text
        await run.checkpoints.restore(best, tell=False)
    except AgentkitError:
        return None
    return Abandoned(best, packets.clip(diff, packets.DIFF))


async def bring_home(run: Run) -> str:
    """At the end of a run that did not succeed: leave the workspace at its best verified state.

    A last state on which the checks were not run is looked at first; past the deadline there is no
    time for that, and a state that was verified is worth more than one that was not. What is put
    aside is itself a checkpoint.

    Returns the checkpoint that it was put back to, "" where the last state is the best one.
    """
    course = run.state.course
    best, _ = course.best()
    if not best:
        return ""
    now = await _looked_at(run)
    if not course.should_go_home(now):
        return ""
    with anyio.move_on_after(PATIENCE):
        try:
            await run.checkpoints.restore(best)
        except AgentkitError:
            return ""
        return best
    return ""


async def _looked_at(run: Run) -> str:
    """The checkpoint of the last state, with the commands run on it if there is time for them."""
    now = ""
    with anyio.move_on_after(PATIENCE):
        now = await mark(run, "at the end")
        left = run.budget.seconds_left
        if run.state.course.should_go_home(now) and (left is None or left > 0):
            commands = [check for check in required(run) if not is_statement(check)]
            with suppress(AgentkitError):
                await run_checks(run, commands)
    return now
