"""What a session cost and why, request by request, for the page's numbers and plots.

Each session's sums are kept and carried on with what is new in its log, so looking again while it
runs costs only the new events.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio import to_thread

from agentkit.events import (
    Event,
    LaneOpened,
    ModelAdvised,
    ModelFailed,
    ModelResponded,
    RungChanged,
    SessionForked,
    SessionStarted,
    ToolFinished,
    from_dict,
)
from agentkit.hits import Ledger
from agentkit.ladder import Rung
from agentkit.models.catalogue import Catalogue
from agentkit.models.types import Usage
from agentkit.serve import bodies
from agentkit.stores import Store

KEPT = 200
"""Sessions whose sums are kept."""
BATCH = 500
"""Events that are read at a time."""
_WORKING = ("main", "hand-off")
_WANTED = {
    each.type
    for each in (LaneOpened, ModelAdvised, ModelFailed, ModelResponded, RungChanged, SessionForked,
                 ToolFinished)
} | {"model.requested", "prefix.broken"}  # fmt: skip


@dataclass(slots=True)
class Sums:
    """One session's, up to an event."""

    ledger: Ledger
    upto: int = 0
    lane: str = "main"
    rungs: dict[str, str] = field(default_factory=dict[str, str])
    answers: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    priced: bool = True
    requests: list[bodies.RequestView] = field(default_factory=list[bodies.RequestView])
    tools: dict[str, bodies.ToolTime] = field(default_factory=dict[str, bodies.ToolTime])

    def take(self, event: Event) -> None:
        """Add one event up."""
        self.ledger.take(event)
        match event:
            case LaneOpened():
                self.rungs[event.lane] = _name(event.rung)
                if event.role in _WORKING:
                    self.lane = event.lane
            case RungChanged(form="step-down"):
                self.lane = event.to_lane
            case ModelResponded():
                self.answers += 1
                self.priced = self.priced and event.priced
                self._asked(event, "answer")
            case ModelAdvised():
                self.priced = self.priced and event.priced
                self._asked(event, "advice")
            case ModelFailed():
                self._asked(event, "failure")
            case SessionForked():
                # What came before was paid in the other session (``events.SessionForked``).
                self.usage, self.cost_usd, self.priced = event.usage, event.cost_usd, True
                for each in self.requests:
                    each.inherited = True
            case ToolFinished():
                tool = self.tools.setdefault(event.tool, bodies.ToolTime(tool=event.tool))
                tool.calls += 1
                tool.failed += event.status != "done"
                tool.seconds += event.duration
            case _:
                pass

    def _asked(
        self, event: ModelResponded | ModelAdvised | ModelFailed, kind: bodies.RequestKind
    ) -> None:
        usage = event.usage
        self.usage += usage
        self.cost_usd += event.cost_usd
        view = bodies.RequestView(
            seq=event.seq or 0,
            time=event.time,
            lane=event.lane,
            turn=self.answers,
            kind=kind,
            rung=self.rungs.get(event.lane, ""),
            hit=usage.hit_tokens,
            miss=usage.prompt_tokens - usage.hit_tokens,
            expected=None if isinstance(event, ModelFailed) else event.expected_hits,
            output=usage.completion_tokens,
            cost_usd=event.cost_usd,
            seconds=event.duration if isinstance(event, ModelResponded) else 0.0,
        )
        self.requests.append(view)

    def view(self, session_id: str, *, requests: bool) -> bodies.AccountView:
        """As the route answers it."""
        usage = {name: getattr(self.usage, name) for name in self.usage.__slots__}
        return bodies.AccountView(
            session_id=session_id,
            upto=self.upto,
            rung=self.rungs.get(self.lane, ""),
            lane=self.lane,
            turns=self.answers,
            cost_usd=self.cost_usd,
            priced=self.priced,
            usage=usage,
            cache=self.ledger.account.to_dict(),
            tools=sorted(self.tools.values(), key=lambda each: -each.seconds),
            requests=self.requests if requests else [],
        )


class Accounts:
    """The sums of the sessions that were last looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, Sums] = OrderedDict()
        self._one = anyio.Lock()

    async def json(self, session_id: str, started: SessionStarted, *, requests: bool) -> str:
        """A session's account up to now: an ``AccountView`` as JSON.

        Raises:
            StoreError: its log cannot be read.
        """
        async with self._one:  # one log at a time: it is work for the processor
            sums = self._kept.pop(session_id, None)
            if sums is None:
                sums = Sums(Ledger(Catalogue.load(started.settings.get("models"))))
            while await to_thread.run_sync(_carry_on, self._store, session_id, sums):
                pass
            self._kept[session_id] = sums
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            view = sums.view(session_id, requests=requests)
            return await to_thread.run_sync(view.model_dump_json)


def _carry_on(store: Store, session_id: str, sums: Sums) -> bool:
    """Take in the next events; whether there may be more."""
    rows = store.read(session_id, sums.upto, sums.upto + BATCH)
    for row in rows:
        if row.type in _WANTED:
            sums.take(from_dict(json.loads(row.data)))
        sums.upto = row.seq
    return len(rows) == BATCH


def _name(rung: dict[str, Any]) -> str:
    """As ``Rung.name``; a log of another version may have fields that this one does not."""
    known = {name: rung[name] for name in ("model", "thinking", "effort") if name in rung}
    return Rung(**known).name if "model" in known else ""
