"""The workspace's best state: where most checks passed, and how to get back there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from agentkit.errors import AgentkitError
from agentkit.escalation import packets
from agentkit.escalation.situation import is_worse

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
    """At the end of a run that did not succeed: leave the workspace at its best state.

    Returns the checkpoint that it was put back to, "" where the last state is the best one.
    """
    if not run.ground.exists or not is_worse(run):
        return ""
    best, _ = run.state.course.best()
    with anyio.move_on_after(PATIENCE):
        try:
            await run.checkpoints.restore(best)
        except AgentkitError:
            return ""
        return best
    return ""
