"""What a job shows while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agentkit.cli.text import clean

if TYPE_CHECKING:
    from rich.console import RenderableType

    from agentkit.evals.job import Job, View
    from agentkit.evals.results import Record
    from agentkit.evals.spec import Trial


@contextmanager
def make_view() -> Generator[View]:
    """A view that fits standard error."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.live import Live

    view = Table()
    with Live(
        console=Console(stderr=True),
        get_renderable=view.render,
        refresh_per_second=4,
        transient=True,
    ) as live:
        view.above = live.console.print
        yield view


class Progress:
    """Numbers of a job under way."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.began = time.monotonic()
        self.fresh = 0
        self.job: Job | None = None

    def begun(self, job: Job) -> None:
        self.job = job

    def started(self, trial: Trial) -> None:
        self.running[trial.name] = "starting"

    def line(self, trial: Trial, text: str) -> None:
        self.running[trial.name] = clean(text.splitlines()[-1])

    def ended(self, trial: Trial, record: Record) -> None:
        self.fresh += 1
        self.running.pop(trial.name, None)

    @property
    def totals(self) -> str:
        """One line: how far, how well, how dear, how long still."""
        job = self.job
        if job is None:
            return "starting"
        passed = sum(record.outcome.passed for record in job.records)
        money = f"${job.purse.spent:.4f}"
        if job.purse.limit is not None:
            money += f" of ${job.purse.limit:g}"
        return (
            f"{len(job.records)}/{job.total} trials · {len(self.running)} running · {passed} passed"
            f" · {money} · {self._left(job)}"
        )

    def _left(self, job: Job) -> str:
        if not self.fresh:
            return "time left unknown"
        pace = (time.monotonic() - self.began) / self.fresh
        seconds = int(pace * (job.total - len(job.records)))
        return f"about {seconds // 60}:{seconds % 60:02d} left"


class Lines(Progress):
    """One line for each thing that happens."""

    def begun(self, job: Job) -> None:
        super().begun(job)
        if job.records:
            self._say(f"going on: {len(job.records)} of {job.total} trials are finished")
        for each in job.refused:
            self._say(f"refused: {each.name}: {clean(each.reason)}")

    def started(self, trial: Trial) -> None:
        super().started(trial)
        self._say(f"{trial.name} · {trial.contestant.label} · attempt {trial.attempt}")

    def ended(self, trial: Trial, record: Record) -> None:
        super().ended(trial, record)
        self._say(f"{verdict_of(record)} · {self.totals}")

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Table(Lines):
    """The running trials with what each of them does, and the totals."""

    def __init__(self) -> None:
        super().__init__()
        self.above: Callable[..., None] = print

    def started(self, trial: Trial) -> None:
        Progress.started(self, trial)

    def render(self) -> RenderableType:
        from rich.table import Table as Grid
        from rich.text import Text

        grid = Grid(box=None, padding=(0, 1), show_header=False)
        for name, doing in list(self.running.items())[:20]:
            grid.add_row(Text(name, style="bold"), Text(doing, overflow="ellipsis", no_wrap=True))
        grid.add_row(Text("total", style="bold"), Text(self.totals))
        return grid

    def _say(self, text: str) -> None:
        from rich.text import Text

        self.above(Text(text))


def verdict_of(record: Record) -> str:
    """One line on a finished trial."""
    outcome = record.outcome
    mark = "✓" if outcome.passed else "✗"
    fault = f" · {outcome.fault.type}" if outcome.fault else ""
    lie = " · claimed success" if outcome.false_success else ""
    label = record.contestant.label
    return (
        f"{mark} {record.task} · {label} · attempt {record.attempt}{fault}{lie}"
        f" · {record.seconds:.0f} s · ${outcome.report.cost_usd:.4f}"
    )
