"""The job's money: a hard limit over all trials, those that were thrown away too."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

LEDGER = "discarded.jsonl"


@dataclass(slots=True)
class Purse:
    """What running trials may still spend is set aside."""

    limit: float | None
    """US dollars; None is no limit."""
    spent: float = 0.0
    reserved: float = 0.0

    def take(self, wish: float) -> float:
        """Set aside what one trial may spend: its wish, or what is left; 0 where nothing is."""
        left = wish if self.limit is None else self.limit - self.spent - self.reserved
        allowed = max(0.0, min(wish, left))
        self.reserved += allowed
        return allowed

    def settle(self, allowed: float, spent: float) -> None:
        """Give back what was set aside, and count what was spent of it."""
        self.reserved -= allowed
        self.spent += spent


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
