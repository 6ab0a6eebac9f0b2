"""Facts that change while a session lives: told when they change, as notes behind the history.

The head of a lane is frozen, so nothing in it may have a date. What changes (the day, the
project's instructions, files that somebody else edited, the money left) is appended as a short
user-role note together with the next input, once. What was told last is a fact in the log, so a
resumed session does not repeat it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from agentkit.events import Event, Fact, Message

if TYPE_CHECKING:
    from agentkit.run import Run

TOLD = "told"
"""Kind of the events that keep what was told last."""


class Surrounding(Protocol):
    """Something that may change meanwhile.

    Attributes:
        kind: its name in the log.
        each_turn: looked at before each request, so ``look`` must cost next to nothing; else at
            the start of a run, against what it was at the end of the last one: what changed in
            between is somebody else's doing.
    """

    kind: str
    each_turn: bool

    def baseline(self, run: Run) -> str | None:
        """What the model takes it to be before anything was told; None is the first look."""
        ...

    async def look(self, run: Run) -> str | None:
        """What it is now; None where that is not known."""
        ...

    def words(self, before: str, now: str) -> str:
        """What the model reads of the change; "" where it is not worth a word."""
        ...


class Today:
    """The day, in UTC. Sessions are told when another one begins."""

    kind = "date"
    each_turn = True

    def baseline(self, run: Run) -> str | None:
        started = run.state.session
        return started.time[:10] if started is not None else None

    async def look(self, run: Run) -> str | None:
        return today()

    def words(self, before: str, now: str) -> str:
        return f"It is now {now} (UTC)."


def today() -> str:
    """The present day in UTC, ``2026-11-24``."""
    return datetime.now(UTC).date().isoformat()


class Left:
    """Money and time, told when half of a limit is used.

    After that ``limit.near`` speaks, at four fifths and when a twentieth is left.
    """

    kind = "left"
    each_turn = True
    _STEP = 0.5

    def baseline(self, run: Run) -> str | None:
        return ""

    async def look(self, run: Run) -> str | None:
        limits = run.budget.limits
        used: list[str] = []
        for name, spent, allowed, unit in (
            ("money", run.state.cost_usd, limits.cost_usd, "${:.4g} of ${:.4g}"),
            ("time", run.budget.elapsed, limits.deadline, "{:.0f} of {:.0f} seconds"),
        ):
            if allowed and spent >= self._STEP * allowed:
                used.append(f"{unit.format(spent, allowed)} of the {name}")
        told = _last(run, self.kind) or ""
        # the amounts grow with each turn; only another limit is another fact
        return told if _names("\n".join(used)) == _names(told) else "\n".join(used)

    def words(self, before: str, now: str) -> str:
        return f"Used so far: {', '.join(now.splitlines())}." if now else ""


def _names(value: str) -> list[str]:
    return [line.rsplit(" ", 1)[-1] for line in value.splitlines()]


DEFAULT: tuple[Surrounding, ...] = (Today(), Left())


async def tell(run: Run, *, starting: bool = False) -> None:
    """Append a note for each fact that is not what was told last.

    Args:
        starting: a run begins, so those are looked at that change between runs.
    """
    if run.lane_name != run.state.current:
        return  # a side lane has its task; the session's own lane must not miss it
    for each in run.surroundings:
        told = _last(run, each.kind)
        if each.each_turn:
            before = told if told is not None else each.baseline(run)
            now = await each.look(run)
            if now is not None and now != before:
                _say(run, each, before, now)
                _record(run, each.kind, now)
        elif starting and told:
            _say(run, each, told, await each.look(run))
            # The agent itself changes it from here on. A crash must not blame somebody else.
            _record(run, each.kind, "")


def _say(run: Run, fact: Surrounding, before: str | None, now: str | None) -> None:
    if before is None or now is None or before == now:
        return
    if words := fact.words(before, now):
        run.note(f"[{words}]")


async def leave(run: Run) -> None:
    """Keep how things are at the end of a run, for a look at the start of the next."""
    for each in run.surroundings:
        if not each.each_turn:
            _record(run, each.kind, await each.look(run) or "")


def kept(events: Sequence[Event]) -> list[str]:
    """The briefing and what was told of changes since: texts that no summary may replace."""
    texts: list[str] = []
    note = ""
    for event in events:
        if isinstance(event, Message) and event.source == "agentkit":
            note = event.text
        elif isinstance(event, Fact) and event.kind in ("briefed", TOLD) and note:
            texts.append(note)
            note = ""
        else:
            note = ""
    return texts


def _record(run: Run, kind: str, value: str) -> None:
    if _last(run, kind) != value:
        run.record(TOLD, {"kind": kind, "value": value})


def _last(run: Run, kind: str) -> str | None:
    facts: list[Mapping[str, Any]] = run.state.facts.get(TOLD, [])
    return next((str(fact["value"]) for fact in reversed(facts) if fact["kind"] == kind), None)
