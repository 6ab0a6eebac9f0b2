"""How a run ended, for whoever asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agentkit.errors import AgentkitError
from agentkit.events import CheckReport, SessionFinished, Status
from agentkit.models.types import Usage


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. Only ``finished`` means that the task was done and every check passes."""

    status: Status
    output: str
    session_id: str
    data: Any = None
    """The validated result where the agent has an ``output_type``."""
    checks: tuple[CheckReport, ...] = ()
    cost_usd: float = 0.0
    """US dollars of the whole session so far."""
    priced: bool = True
    """False where some request had no known price: the cost is then too low."""
    usage: Usage = field(default_factory=Usage)
    """Tokens of the whole session so far."""
    turns: int = 0
    """Answered requests of the whole session so far."""
    duration: float = 0.0
    """Seconds of this run."""
    exit_code: int = 0
    """What the command line would exit with."""

    @property
    def ok(self) -> bool:
        return self.status == "finished"

    @property
    def cache_hit_ratio(self) -> float:
        """Share of all input that was billed at the cache-hit price, 0 to 1."""
        return self.usage.hit_ratio

    @classmethod
    def of(cls, finished: SessionFinished, session_id: str, data: Any) -> Result:
        """From the run's last event; ``data`` is the structured result as an instance."""
        return cls(
            status=finished.status,
            output=finished.output,
            session_id=session_id,
            data=data,
            checks=finished.checks,
            cost_usd=finished.cost_usd,
            priced=finished.priced,
            usage=finished.usage,
            turns=finished.turns,
            duration=finished.duration,
            exit_code=finished.exit_code,
        )


def exit_code(status: Status, error: BaseException | None) -> int:
    """What the command line exits with: the error's own code, else the status's."""
    codes = {"finished": 0, "failed": 1, "limit": 3, "cancelled": 130, "error": 1, "waiting": 6}
    return error.exit_code if isinstance(error, AgentkitError) else codes[status]
