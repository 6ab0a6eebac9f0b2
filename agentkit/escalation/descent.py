"""Come back down: what a climb brought is told to the lane that it left, and work goes on there.

A hand-off comes down when it says that its step is done. After a hand-off or a move alike, work
comes down as soon as the checks that caused the climb pass while more of the task is left, and
before the next task of the user. Each time the rest is priced on both lanes: where going back
would cost more (a very long cheap lane), work stays, and the log says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentkit.checks import passes, required
from agentkit.errors import AgentkitError, BalanceEmpty, LimitReached
from agentkit.escalation import packets
from agentkit.escalation.climb import react
from agentkit.escalation.lanes import enter
from agentkit.escalation.policy import step_down
from agentkit.escalation.situation import index_of, lane_size, policy_of, targets, work
from agentkit.events import RungChanged, RungSkipped

if TYPE_CHECKING:
    from agentkit.run import Run


@dataclass(frozen=True, slots=True)
class Climb:
    """How the work came to the rung that it is on."""

    below: str
    """The lane that it left."""
    change: RungChanged

    @property
    def start(self) -> str:
        """The checkpoint of the workspace at which it began, "" where there is none."""
        return str(self.change.numbers.get("start", ""))

    @property
    def checks(self) -> list[str]:
        """The checks whose failing caused it."""
        return list(self.change.numbers.get("checks", ()))


def climb_of(run: Run) -> Climb | None:
    """The hand-off or move of this task that led to the present rung; None where none did.

    A lane that was folded has another name, and a retry is a lane of its own on the same rung.
    """
    if run.depth:
        return None
    lane, state = run.lane_name, run.state
    while below := state.opened[lane].parent:
        rung = state.lanes[lane].rung.name
        for change in reversed(state.course.reactions):
            if change.form in ("hand-off", "move") and (change.lane, change.to_rung) == (
                below,
                rung,
            ):
                return Climb(below, change)
        lane = below
    return None


async def came_down(run: Run, words: str, achieved: bool) -> bool:
    """Bring the end of a hand-off to the lane that it left; False on any other lane.

    A strong model that gives up is an answer, too: where nothing above it is left to try, its
    word ends the run.
    """
    climb = climb_of(run)
    if run.role != "hand-off" or climb is None or run.lane_name in run.state.course.settled:
        return False
    if not achieved:
        return await react(run, last_resort=True)
    stays = _stays(run, climb)
    if stays:
        _settle(run, stays)
        run.note("[This step is done. Go on with the rest of the task here; end when it is done.]")
    else:
        await _go_back(run, climb, words, "its step is done and its checks pass")
    return True


async def descend(run: Run) -> bool:
    """After a turn: go back down where the checks that caused the climb pass, and more is left.

    Where nothing is left the next answer ends the run, and going back would only cost.
    """
    climb = climb_of(run)
    if climb is None or run.lane_name in run.state.course.settled:
        return False
    if not _is_mended(run, climb) or not _is_more_left(run):
        return False
    stays = _stays(run, climb)
    if stays:
        _settle(run, stays)
        return False
    words = packets.last_words(await run.log.events(), run.lane_name)
    await _go_back(run, climb, words, "the checks that caused the climb pass")
    return True


async def start_below(run: Run) -> None:
    """Before a new message of the user: work on it begins where the last climb came from."""
    while (climb := climb_of(run)) is not None and not _stays(run, climb):
        ended = run.state.finished
        words = ended.output if ended is not None else ""
        won = ended is not None and ended.status == "finished"
        await _go_back(run, climb, words, "a new task begins", won=won)


def _is_mended(run: Run, climb: Climb) -> bool:
    """What caused the climb passes, or without such checks another one did; nothing else fails."""
    known = run.state.checks_of(run.lane_name)
    fresh = [each for name, each in known.last.items() if name not in known.stale]
    if not all(each.passed for each in fresh):
        return False
    if climb.checks:
        return all(passes(run, check) for check in climb.checks)
    began = climb.change.seq or 0
    marks = (run.state.checkpoints.get(each.on) for each in fresh)
    return any(mark is not None and (mark.seq or 0) > began for mark in marks)


def _is_more_left(run: Run) -> bool:
    steps = any(step.get("status") not in ("done", "skipped") for step in run.state.plan)
    return steps or not all(passes(run, check) for check in required(run))


def _stays(run: Run, climb: Climb) -> str:
    """Why the rest of the task is cheaper on this lane than on the one it left; "" if it is not."""
    below = index_of(run.ladder, run.state.lanes[climb.below].rung)
    above = index_of(run.ladder, run.lane.rung)
    cheap, strong = lane_size(run, climb.below), lane_size(run, run.lane_name)
    places = targets(run, below, cheap)
    turns = work(run, climb.below, cheap)
    weighed = step_down(cheap, places[below], strong, places[above], turns, policy_of(run).sizes)
    if weighed.back:
        return ""
    return f"going back would cost ${weighed.back_usd:.4f}, staying ${weighed.stay_usd:.4f}"


def _settle(run: Run, why: str) -> None:
    """Stay for the rest of the task, and log the numbers that say so."""
    run.append(_change(run, run.lane_name, why, won=True))


async def _go_back(run: Run, climb: Climb, words: str, reason: str, *, won: bool = True) -> None:
    """Append the report to the lane that the work came from, and go on there, warm."""
    words = words or "(it says nothing)"
    report = await packets.report(run, run.lane.rung.name, words, climb.start)
    run.append(_change(run, climb.below, reason, won=won))
    enter(run, climb.below)
    run.note(report)


def _change(run: Run, to_lane: str, reason: str, *, won: bool) -> RungChanged:
    spent = run.state.course.accounts[run.lane_name].usd
    return RungChanged(
        from_rung=run.lane.rung.name,
        to_rung=run.state.lanes[to_lane].rung.name,
        form="step-down",
        reason=reason,
        to_lane=to_lane,
        numbers={"turn": run.state.course.turn, "usd": round(spent, 6), "won": won},
    )


async def fell_back(run: Run, error: AgentkitError) -> bool:
    """A rung above cannot be asked: go on below with what there is. False where none is below.

    Money or tokens that run out in mid climb may still suffice for the cheap lane; a provider that
    refuses the strong model at its first request must not end work that the cheap one can go on
    with.
    """
    climb = climb_of(run)
    if climb is None:
        return False
    spent = isinstance(error, LimitReached) and error.limit in ("money", "tokens")
    refused = not isinstance(error, LimitReached | BalanceEmpty)
    first = run.state.course.accounts[run.lane_name].turns == 0
    if not (spent or (refused and first)):
        return False
    if refused:
        run.append(RungSkipped(rung=run.lane.rung.name, reason=str(error)))
    if first and run.role == "main":  # a move that was never answered: nothing to report
        run.append(_change(run, climb.below, str(error), won=False))
        enter(run, climb.below)
        return True
    words = packets.last_words(await run.log.events(), run.lane_name)
    await _go_back(run, climb, words, str(error), won=False)
    return True
