"""The job's money: a hard limit over all trials, those that were thrown away too."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import anyio

LEDGER = "discarded.jsonl"
AWAY = "away.json"
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
    cost = cost_of(trial)
    if cost:
        with (job / LEDGER).open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps({"trial": trial.name, "cost_usd": cost}) + "\n")
    shutil.rmtree(trial, ignore_errors=True)


def discarded(job: Path) -> float:
    """US dollars that discarded trials have cost."""
    path = job / LEDGER
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return sum(float(json.loads(line)["cost_usd"]) for line in lines)


def send_away(trial: Path, allowed: float) -> None:
    """Note that the trial runs where its store cannot be read: it may cost all it is allowed."""
    (trial / AWAY).write_text(json.dumps({"allowed_usd": allowed}) + "\n", encoding="utf-8")


def come_home(trial: Path) -> None:
    """The trial's own store is here now, and tells what it has cost."""
    (trial / AWAY).unlink(missing_ok=True)


def cost_of(trial: Path) -> float:
    """US dollars that a trial has cost, from what its folder holds, finished or not.

    Its session's own log is durable before each request. Where the log is on another machine, this
    is the most that the trial may cost: a limit must hold in the worst case too.
    """
    from agentkit.stores.sqlite import SQLiteStore

    away = trial / AWAY
    if away.is_file():
        return float(json.loads(away.read_text(encoding="utf-8"))["allowed_usd"])
    if not (trial / "agent" / "sessions.db").is_file():
        return 0.0
    store = SQLiteStore(trial / "agent")
    try:
        return sum(session.cost_usd for session in store.sessions())
    finally:
        store.close()
