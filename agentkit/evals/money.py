"""The job's money: a hard limit over all trials, those that were thrown away too."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import anyio

LEDGER = "discarded.jsonl"
FEWEST = 0.000_001
"""US dollars below which nothing can be bought any more."""


@dataclass(slots=True)
class Purse:
    """What running trials may still spend is set aside."""

    limit: float | None
    """US dollars; None is no limit."""
    spent: float = 0.0
    reserved: float = 0.0
    holders: int = 0
    """Tries that have something set aside; a sum of floats need not come back to 0."""
    _settled: anyio.Event = field(default_factory=anyio.Event)

    async def take(self, wish: float) -> float:
        """Set aside what one try may spend: its wish, or all that is left; 0 where nothing is.

        While others hold what is missing, this waits for them: most give much of it back.
        """
        while self._left(wish) < wish - FEWEST and self.holders:
            await self._settled.wait()
        allowed = max(0.0, min(wish, self._left(wish)))
        self.reserved += allowed
        self.holders += 1
        return allowed

    def _left(self, wish: float) -> float:
        return wish if self.limit is None else self.limit - self.spent - self.reserved

    def settle(self, allowed: float, spent: float) -> None:
        """Give back what was set aside, and count what was spent of it."""
        self.reserved -= allowed
        self.holders -= 1
        self.spent += spent
        self._settled.set()
        self._settled = anyio.Event()


def discard(job: Path, trial: Path) -> None:
    """Remove a trial that will be run again; what it has cost stays in the job's ledger."""
    cost = _cost(trial / "agent")
    if cost:
        with (job / LEDGER).open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps({"trial": trial.name, "cost_usd": cost}) + "\n")
    shutil.rmtree(trial, ignore_errors=True)


def discarded(job: Path) -> float:
    """US dollars that discarded trials have cost."""
    path = job / LEDGER
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return sum(float(json.loads(line)["cost_usd"]) for line in lines)


def _cost(folder: Path) -> float:
    """From the session's own log, which is durable before each request."""
    from agentkit.stores.sqlite import SQLiteStore

    if not (folder / "sessions.db").is_file():
        return 0.0
    store = SQLiteStore(folder)
    try:
        return sum(session.cost_usd for session in store.sessions())
    finally:
        store.close()
