"""What a ladder did, told in a few lines with prices: stretches of work, and what lay between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agentkit import events as e
from agentkit.cli import text
from agentkit.cli.story import Line, change, skipped

MOST_LINES = 10
_BESIDE = ("consult", "review", "plan", "task", "attempt")


@dataclass(slots=True)
class _Stretch:
    """Work on one lane until something else happens."""

    rung: str
    lane: str
    turns: int = 0
    usd: float = 0.0
    evidence: dict[str, int] = field(default_factory=dict[str, int])

    def line(self) -> Line:
        seen = ", ".join(
            f"{kind.replace('-', ' ')}{f' ×{n}' if n > 1 else ''}"
            for kind, n in self.evidence.items()
        )
        work = f"{text.plural(self.turns, 'turn')}, {text.dollars(self.usd)}"
        return Line(f"  {self.rung}: {work}{f'; {seen}' if seen else ''}")


def course(events: Sequence[e.Event]) -> list[Line]:
    """The story in at most ten lines; none where the ladder had nothing to do."""
    if not any(isinstance(each, e.Evidence | e.RungChanged | e.RungSkipped) for each in events):
        return []
    lines = list(_told(events))
    if len(lines) > MOST_LINES:
        left = len(lines) - MOST_LINES + 1
        half = MOST_LINES // 2
        middle = Line(f"  … {text.plural(left, 'more step')}", "dim")
        lines = [*lines[:half], middle, *lines[half + left :]]
    return [Line("course", "bold"), *lines]


def _told(events: Sequence[e.Event]) -> Iterator[Line]:
    rungs: dict[str, str] = {}
    roles: dict[str, str] = {}
    now: _Stretch | None = None
    beside: dict[str, float] = {}
    for event in events:
        if isinstance(event, e.LaneOpened):
            rung = event.rung
            effort = rung.get("effort") if rung.get("thinking") else "non-thinking"
            rungs[event.lane], roles[event.lane] = f"{rung.get('model')}·{effort}", event.role
        elif isinstance(event, e.ModelResponded | e.ModelFailed | e.ModelAdvised):
            if roles.get(event.lane) in _BESIDE:
                beside[event.lane] = beside.get(event.lane, 0.0) + event.cost_usd
                continue
            if now is None or now.lane != event.lane:
                if now is not None and now.turns:
                    yield now.line()
                now = _Stretch(rungs.get(event.lane, "?"), event.lane)
            now.turns += isinstance(event, e.ModelResponded)
            now.usd += event.cost_usd
        elif isinstance(event, e.Evidence) and now is not None:
            now.evidence[event.kind] = now.evidence.get(event.kind, 0) + 1
        elif isinstance(event, e.RungChanged | e.RungSkipped | e.SessionFinished):
            if now is not None and now.turns:
                yield now.line()
                now = _Stretch(now.rung, now.lane)
            yield from _between(event)
    if beside:
        asked = ", ".join(f"{lane} {text.dollars(usd)}" for lane, usd in beside.items())
        yield Line(f"  beside the work: {asked}", "dim")


def _between(event: e.RungChanged | e.RungSkipped | e.SessionFinished) -> Iterator[Line]:
    match event:
        case e.RungChanged():
            yield change(event)
        case e.RungSkipped():
            yield skipped(event)
        case _:
            yield Line(f"  {event.status}: {text.dollars(event.cost_usd)} in all", "bold")
