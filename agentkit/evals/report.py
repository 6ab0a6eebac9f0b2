"""A job's report as Markdown, for terminals, files and pull requests."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentkit.evals.outcome import Outcome
from agentkit.evals.summary import Comparison, Row, comparisons, rows

if TYPE_CHECKING:
    from agentkit.evals.job import Job

Table = Sequence[Sequence[str]]
_SCORE = (
    "Score: mean over solvable tasks of the share of attempts that passed, ± standard error over"
    " tasks; a trial that a fault of sandbox, provider or tests spoilt (?) is left out."
)
_PAIRS = (
    "McNemar: exact, two-sided, one pair per task that both contestants tried; the better one at a"
    " task is who passed more attempts."
)


def markdown(job: Job) -> str:
    """The whole report."""
    found = rows(job.records)
    parts = [
        f"# {job.folder.name}",
        scope(job),
        *_warnings(job, found),
        "## Contestants",
        grid(contestants(found)),
        *(["## Comparisons", grid(compared(comparisons(job.records)))] if len(found) > 1 else []),
        "## Tasks",
        grid(tasks(job)),
        *_notes(found),
    ]
    return "\n\n".join(parts) + "\n"


def scope(job: Job) -> str:
    """What was tried, in a sentence."""
    return (
        f"Task set {job.plan.tasks.name}: {len(job.plan.tasks.tasks)} tasks,"
        f" {job.plan.attempts} attempt(s) each; {len(job.records)} of {job.total} trials finished."
    )


def as_it_should(job: Job) -> int | None:
    """For a check of the task set itself: how many tasks behave; None for other agents.

    An oracle must pass what can be solved and nothing else; ``nop`` must pass nothing.
    """
    kind = job.plan.contestants[0].agent
    if kind == "agentkit":
        return None
    outcomes = [record.outcome for record in job.records if record.outcome.counts]
    return sum(each.passed == (kind == "oracle" and not each.unsolvable) for each in outcomes)


def _warnings(job: Job, found: Sequence[Row]) -> list[str]:
    lines: list[str] = []
    if (good := as_it_should(job)) is not None:
        lines.append(f"Task set check: {good}/{job.total} tasks are as they should be.")
    if job.out_of_money:
        lines.append(f"**Stopped: the money limit of ${job.plan.max_cost:g} was reached.**")
    if any(not row.priced for row in found):
        lines.append("**Some requests have no known price: costs are too low.**")
    lines += [f"- refused: `{each.name}`: {each.reason}" for each in job.refused]
    return ["\n".join(lines)] if lines else []


def contestants(found: Sequence[Row]) -> Table:
    """One row per contestant."""
    head = (
        "contestant", "solved", "score", "pass@k", "timeouts", "wrong", "faults",
        "false successes", "honest failures", "invalid calls", "turns", "time", "input", "hits",
        "output", "cost", "cost/solved",
    )  # fmt: skip
    return [head, *(_cells(row) for row in found)]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.label,
        f"{row.solved}/{row.solvable}",
        str(row.score),
        " ".join(f"@{k} {100 * value:.0f}%" for k, value in row.pass_at.items()) or "-",
        str(row.timeouts),
        str(row.wrong),
        ", ".join(f"{name} {count}" for name, count in sorted(row.faults.items())) or "0",
        str(row.false_successes),
        f"{row.honest_failures}/{row.unsolvable}" if row.unsolvable else "-",
        str(row.invalid_calls),
        f"{row.turns:.1f}",
        f"{row.seconds:.0f} s",
        f"{row.prompt_tokens:,}",
        f"{100 * row.hit_ratio:.1f}%",
        f"{row.completion_tokens:,}",
        f"${row.cost_usd:.4f}",
        f"${row.cost_per_solved:.4f}" if math.isfinite(row.cost_per_solved) else "-",
    )


def compared(found: Sequence[Comparison]) -> Table:
    """One row per pair of contestants."""
    head = ("pair", "first better", "second better", "alike", "McNemar p")
    return [
        head,
        *(
            (
                f"{each.first} / {each.second}",
                str(each.paired.first),
                str(each.paired.second),
                str(each.paired.alike),
                f"{each.paired.p_value:.3f}",
            )
            for each in found
        ),
    ]


def tasks(job: Job) -> Table:
    """One row per task, one column per contestant: a mark per attempt, ? where it was spoilt."""
    labels = [each.label for each in job.plan.contestants]
    marks: dict[tuple[str, str], str] = defaultdict(str)
    for record in sorted(job.records, key=lambda each: each.attempt):
        marks[record.contestant.label, record.task] += _mark(record.outcome)
    lines = [
        (
            f"{task.name}{' (unsolvable)' if task.unsolvable else ''}",
            *(marks[label, task.name] or "…" for label in labels),
        )
        for task in job.plan.tasks.tasks
    ]
    return [("task", *labels), *lines]


def _mark(outcome: Outcome) -> str:
    return "✓" if outcome.passed else "✗" if outcome.counts else "?"


def _notes(found: Sequence[Row]) -> list[str]:
    lines = [_SCORE, "False success: the agent said that it was done, and the tests disagree."]
    if len(found) > 1:
        lines.append(_PAIRS)
    noisy = [row for row in found if not math.isnan(row.noise)]
    if noisy:
        floors = ", ".join(f"{row.label} ±{100 * row.noise:.1f}" for row in noisy)
        lines.append(
            f"Noise floor (standard deviation of the score from one run to the next): {floors}"
            " points. A difference below twice that may be luck."
        )
    return ["\n".join(f"- {line}" for line in lines)]


def grid(table: Table) -> str:
    """A Markdown table with columns in line."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join([line(table[0]), rule, *(line(row) for row in table[1:])])
