"""What the finished trials of a job add up to: one row per contestant, and comparisons."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from agentkit.evals import stats
from agentkit.evals.results import Record

if TYPE_CHECKING:
    from agentkit.evals.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One contestant over all its finished trials."""

    label: str
    trials: int
    solvable: int
    """Judged trials of tasks that can be solved; score, pass@k and noise are over these."""
    solved: int
    """Of these, the ones that passed."""
    judged: int
    """Trials whose verdict says something about the agent."""
    score: stats.Mean
    """Mean of passed, over tasks; trials that others spoilt are left out."""
    pass_at: Mapping[int, float]
    noise: float
    """See ``stats.noise_floor``; nan without repeated attempts."""
    timeouts: int
    wrong: int
    """Judged, in time, and not passed: unlike a time-out, more time would not have helped."""
    faults: Mapping[str, int]
    """How many trials had a fault of which class."""
    false_successes: int
    honest_failures: int
    unsolvable: int
    """Judged trials of unsolvable tasks."""
    invalid_calls: int
    prompt_tokens: int
    hit_tokens: int
    completion_tokens: int
    cost_usd: float
    priced: bool
    turns: float
    """Mean per trial."""
    seconds: float
    """Mean of the agent's own time per trial."""

    @property
    def hit_ratio(self) -> float:
        return self.hit_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def cost_per_solved(self) -> float:
        """US dollars; inf where nothing was solved for money."""
        return self.cost_usd / self.solved if self.solved else math.inf if self.cost_usd else 0.0


def rows(records: Sequence[Record]) -> list[Row]:
    """One row per contestant, in the order in which they first appear."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.contestant.label].append(record)
    return [_row(label, each) for label, each in groups.items()]


def _row(label: str, records: Sequence[Record]) -> Row:
    outcomes = [record.outcome for record in records]
    judged = [each for each in outcomes if each.counts]
    passed = attempts_by_task([each for each in records if not each.outcome.unsolvable])
    fewest = min((len(each) for each in passed.values()), default=0)
    usage = [each.report.usage for each in outcomes]
    count = len(records)
    return Row(
        label=label,
        trials=count,
        solvable=sum(not each.unsolvable for each in judged),
        solved=sum(each.passed and not each.unsolvable for each in outcomes),
        judged=len(judged),
        score=stats.mean_of_tasks(
            {task: [float(one) for one in each] for task, each in passed.items()}
        ),
        pass_at={k: stats.pass_at(k, passed) for k in stats.ks(fewest)},
        noise=stats.noise_floor(passed),
        timeouts=sum(each.timed_out for each in outcomes),
        wrong=sum(not each.passed and not each.timed_out for each in judged),
        faults=Counter(each.fault.category for each in outcomes if each.fault is not None),
        false_successes=sum(each.false_success for each in outcomes),
        honest_failures=sum(each.honest_failure for each in outcomes),
        unsolvable=sum(each.unsolvable for each in judged),
        invalid_calls=sum(each.report.invalid_calls for each in outcomes),
        prompt_tokens=sum(each.prompt_tokens for each in usage),
        hit_tokens=sum(each.hit_tokens for each in usage),
        completion_tokens=sum(each.completion_tokens for each in usage),
        cost_usd=sum(each.report.cost_usd for each in outcomes),
        priced=all(each.report.priced for each in outcomes),
        turns=sum(each.report.turns for each in outcomes) / count,
        seconds=sum(record.seconds for record in records) / count,
    )


def attempts_by_task(records: Sequence[Record]) -> dict[str, list[bool]]:
    """Per task, which of its judged attempts passed, in their order."""
    table: dict[str, list[bool]] = defaultdict(list)
    for record in sorted(records, key=lambda each: (each.task, each.attempt)):
        if record.outcome.counts:
            table[record.task].append(record.outcome.passed)
    return dict(table)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two contestants on the same tasks."""

    first: str
    second: str
    paired: stats.Paired


def comparisons(records: Sequence[Record]) -> list[Comparison]:
    """Every two contestants, compared on what both have tried and others have not spoilt."""
    tables: dict[str, dict[stats.Attempt, bool]] = {}
    for record in records:
        table = tables.setdefault(record.contestant.label, {})
        if record.outcome.counts:
            table[record.task, record.attempt] = record.outcome.passed
    return [
        Comparison(one, other, stats.paired(tables[one], tables[other]))
        for one, other in combinations(tables, 2)
    ]


def harbor_stats(job: Job) -> dict[str, Any]:
    """``JobStats`` of Harbor's ``result.json``."""
    evals: dict[str, Any] = {}
    for row in rows(job.records):
        mine = [each for each in job.records if each.contestant.label == row.label]
        evals[_key(mine[0], job.plan.tasks.name)] = _harbor_row(row, mine)
    done = len(job.records)
    usage = [record.outcome.report.usage for record in job.records]
    return {
        "n_completed_trials": done,
        "n_errored_trials": sum(record.outcome.fault is not None for record in job.records),
        "n_running_trials": 0,
        "n_pending_trials": job.total - done,
        "n_cancelled_trials": 0,
        "n_retries": 0,
        "evals": evals,
        "n_input_tokens": sum(each.prompt_tokens for each in usage),
        "n_cache_tokens": sum(each.hit_tokens for each in usage),
        "n_output_tokens": sum(each.completion_tokens for each in usage),
        "cost_usd": sum(record.outcome.report.cost_usd for record in job.records),
    }


def _key(record: Record, source: str) -> str:
    about = record.contestant
    return "__".join([about.agent, *([about.label] if about.agent == "agentkit" else []), source])


def _harbor_row(row: Row, records: Sequence[Record]) -> dict[str, Any]:
    rewards: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    faults: dict[str, list[str]] = defaultdict(list)
    for record in records:
        name = f"{record.task}#{record.attempt}"
        if record.outcome.grade is not None and record.outcome.counts:
            for key, value in record.outcome.grade.rewards.items():
                rewards[key][str(value)].append(name)
        if record.outcome.fault is not None:
            faults[record.outcome.fault.type].append(name)
    return {
        "n_trials": row.judged,
        "n_errors": sum(row.faults.values()),
        "metrics": [] if math.isnan(row.score.value) else [{"mean": row.score.value}],
        "pass_at_k": {str(k): value for k, value in row.pass_at.items()},
        "reward_stats": rewards,
        "exception_stats": faults,
    }
