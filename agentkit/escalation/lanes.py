"""Open the lanes on which a ladder works: fresh ones with a packet, moved ones, the way back.

A run works on one of these lanes at a time; ``enter`` is the only place where it changes lanes.
All fresh lanes of one rung share their head (system prompt and tools of the agent), so the second
one starts warm.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from agentkit.events import LaneOpened, LaneRole, Message, ToolFinished

if TYPE_CHECKING:
    from agentkit.ladder import Rung
    from agentkit.run import Run


NO_TOOLS = "[not executed: there are no tools here; answer in words]"


def new_name(run: Run, stem: str) -> str:
    """A lane's name that is not used yet, for instance ``hand-off-2``."""
    number = sum(name.rpartition("-")[0] == stem for name in run.state.lanes) + 1
    return f"{stem}-{number}"


def open_fresh(run: Run, name: str, rung: Rung, packet: str, *, role: LaneRole) -> None:
    """A lane with the agent's head on that rung, and a packet as its first message."""
    head = next(iter(run.state.opened.values()))  # the session's own; a folded one has more tools
    opened = replace(
        head, seq=None, time="", rung=asdict(rung), role=role, parent=run.lane_name, replays=""
    )
    on = run.on(name)
    on.append(replace(opened, upto=0))
    on.append(Message(text=packet, source="agentkit"))


def open_moved(run: Run, name: str, rung: Rung) -> None:
    """The whole history of this lane, to be read cold by another rung."""
    here = run.state.opened[run.lane_name]
    upto = run.lane.size - run.lane.head_size
    moved = replace(here, seq=None, time="", rung=asdict(rung), parent=run.lane_name)
    run.on(name).append(replace(moved, replays=run.lane_name, upto=upto))


def open_apart(
    run: Run, name: str, rung: Rung, system: str, *, role: LaneRole, tools: tuple[Any, ...] = ()
) -> Run:
    """A lane beside the work, for an adviser, a planner or a reviewer, and the run on it."""
    user_id = run.state.opened[run.lane_name].user_id
    apart = run.on(name, tools={}, fan=None, steering=[], wants_room=False, parse_output=None)
    if name not in run.state.lanes:
        apart.append(
            LaneOpened(
                rung=asdict(rung),
                system=system,
                tools=tools,
                user_id=user_id,
                role=role,
                parent=run.lane_name,
            )
        )
    return apart


def refuse_calls(run: Run) -> None:
    """Answer the calls of somebody who has no tools: without results no request can follow them."""
    for (lane, call_id), call in list(run.state.open_calls.items()):
        if lane == run.lane_name:
            run.append(
                ToolFinished(call_id=call_id, tool=call.name, status="cancelled", content=NO_TOOLS)
            )


def enter(run: Run, lane: str) -> None:
    """Go on on that lane; what waited to be said goes along."""
    run.lane_name = lane
    run.wants_room = False
