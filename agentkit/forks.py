"""Forks: go on from an earlier point of a history, on a prefix that the provider has stored.

A fork has the head and the bytes of what it comes from, up to the end of a turn, so its first
request is read from the cache up to there. ``fork_lane`` opens a lane of the same session (a
subagent, an attempt, an undone turn), ``fork_session`` a session of its own. Where many forks
share a prefix that nobody has sent yet, ``FanOut`` lets one ask first.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio

from agentkit.errors import SessionError, UsageError
from agentkit.events import (
    Checkpoint,
    Event,
    ModelResponded,
    SessionForked,
    ToolFinished,
    from_dict,
    now,
)
from agentkit.events.model import LaneRole
from agentkit.log import as_row
from agentkit.stores import Row, Store

if TYPE_CHECKING:
    from agentkit.run import Run
    from agentkit.state import State

FORKED = "[not executed here: this is a fork, and the call belongs to the history it came from]"


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a session's log at which a fork may start."""

    turn: int
    """Answers of the session up to here; 0 is before the first."""
    seq: int
    """The last event that the fork has."""
    lane: str


def points(events: Sequence[Event]) -> list[Point]:
    """The end of each turn: its answer, and the results of all its calls.

    Turns are counted as ``agentkit sessions show`` counts them. A turn whose calls have no
    results yet (the process died in it) is not among them.
    """
    found: list[Point] = []
    waiting: dict[str, tuple[int, set[str]]] = {}
    turn = 0
    for event in events:
        seq = event.seq or 0
        if isinstance(event, ModelResponded):
            if turn == 0:
                found.append(Point(0, _before(events, seq), event.lane))
            turn += 1
            waiting[event.lane] = (turn, {call.id for call in event.calls})
        elif isinstance(event, ToolFinished) and event.lane in waiting:
            waiting[event.lane][1].discard(event.call_id)
        else:
            continue
        number, open_calls = waiting[event.lane]
        if not open_calls:
            found.append(Point(number, seq, event.lane))
            del waiting[event.lane]
    return found


def _before(events: Sequence[Event], seq: int) -> int:
    """The last event before the first request."""
    return next(((each.seq or 1) - 1 for each in events if each.type == "model.requested"), seq - 1)


def turn_point(events: Sequence[Event], turn: int | None = None) -> Point:
    """The end of a turn, with the checkpoint that was taken there; None is the last one.

    Raises:
        SessionError: there is no such turn, or none has ended.
    """
    found = points(events)
    if not found:
        raise SessionError("the session has no answer yet, so there is nothing to go back to")
    chosen = [each for each in found if turn in (None, each.turn)]
    if not chosen:
        raise SessionError(
            f"the session has no turn {turn} that ended",
            hint=f"Its turns are {found[0].turn} to {found[-1].turn}: `agentkit sessions show`",
        )
    point, seq = chosen[-1], chosen[-1].seq
    for event in events[seq:]:
        if not isinstance(event, Checkpoint):
            break
        seq = event.seq or seq
    return replace(point, seq=seq)


def fork_session(
    store: Store,
    parent: str,
    new_id: str,
    *,
    turn: int | None = None,
    at: Point | None = None,
    workspace: str = "",
    undone: State | None = None,
) -> Point:
    """Copy a session's log up to the end of a turn into a session of its own. Blocks.

    The copy is whole: it does not need its parent any more. Bringing the workspace to the state
    of that turn is the caller's business: see ``agentkit.branches``.

    Args:
        turn: as ``agentkit sessions show`` counts; None is the last one that ended.
        at: the place itself, where the caller knows it already.
        workspace: where the copy works, if not where its parent does.
        undone: the parent's state, where the copy goes on in its place (an undo): the sandbox is
            taken over, and limits go on with what was spent.

    Raises:
        SessionError: no such session, no such turn, or ``new_id`` exists already.
        StoreError: the store cannot be used.
    """
    rows = store.read(parent)
    if not rows:
        raise SessionError(f"there is no session {parent!r}")
    if store.read(new_id):
        raise SessionError(f"a session {new_id!r} exists already", hint="Choose another id")
    point = at or turn_point([from_dict(json.loads(row.data)) for row in rows], turn)
    copied = [_renamed(row, new_id, workspace) for row in rows if row.seq <= point.seq]
    forked = SessionForked(
        seq=point.seq + 1,
        time=now(),
        lane=point.lane,
        parent=parent,
        at=point.seq,
        turn=point.turn,
    )
    if undone is not None:
        forked = replace(
            forked,
            reason="undo",
            usage=undone.usage,
            cost_usd=undone.cost_usd,
            turns=undone.turns,
            seconds=undone.seconds,
        )
    store.share_contents(parent, new_id)
    store.append(new_id, [*copied, as_row(forked)])
    return point


def _renamed(row: Row, session_id: str, workspace: str) -> Row:
    if row.type != "session.started":
        return row
    data = json.loads(row.data)
    data["session_id"] = session_id
    if workspace:
        data["workspace"] = workspace
        if "workspace" in data["settings"]:
            data["settings"]["workspace"] = workspace
    return replace(row, data=json.dumps(data, ensure_ascii=False, separators=(",", ":")))


@dataclass(slots=True)
class FanOut:
    """Lets one of several forks ask first, so that the others find their prefix stored.

    Without it, N requests that start together all pay for the same prefix at the miss price.
    """

    stored: bool = False
    """The provider has the common prefix: nobody waits."""
    _first: anyio.Lock = field(default_factory=anyio.Lock)

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Around a fork's first request. Where it fails, the next one in line is the first."""
        if not self.stored:
            async with self._first:
                if not self.stored:
                    yield
                    self.stored = True
                    return
        yield


def fork_lane(
    run: Run,
    name: str,
    *,
    turn: int | None = None,
    role: LaneRole = "task",
    fan: FanOut | None = None,
    in_copy: bool = False,
) -> Run:
    """Open a lane that begins with this one's history, and give a run that works on it.

    Both share log, state, limits, sandbox and endpoints; each has its own notes and steering.
    Calls that are open at that point get a result that says so, on the new lane only.

    Args:
        name: the new lane's, not used before.
        turn: the end of this turn of the lane's own history; None is its present end.
        role: ``main`` where the session itself goes on there (an undone turn).
        fan: shared by forks that start together.
        in_copy: the new lane works in a copy of the workspace.

    Raises:
        UsageError: the name is taken, or there is no such turn.
    """
    lane, state = run.lane, run.state
    if name in state.lanes:
        raise UsageError(f"a lane {name!r} exists already", hint="Choose another name")
    try:
        at = lane.last_seq if turn is None else lane.boundary(turn)
    except ValueError as error:
        raise UsageError(f"lane {run.lane_name} cannot be forked: {error}") from None
    if fan is not None and lane.is_stored(at):
        fan.stored = True
    fork = run.on(name, steering=[], tool_state={}, fan=fan)
    head = replace(state.opened[run.lane_name], seq=None, time="", role=role, in_copy=in_copy)
    upto = lane.size_at(at) - lane.head_size
    fork.append(replace(head, parent=run.lane_name, replays=run.lane_name, upto=upto))
    for (on, id), call in list(state.open_calls.items()):
        if on == name:
            fork.append(
                ToolFinished(call_id=id, tool=call.name, status="cancelled", content=FORKED)
            )
    return fork
