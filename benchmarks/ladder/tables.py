"""The simulation's tables: cost per solved task with its confidence interval, and what moves it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agentkit.escalation import Caps, Policy
from agentkit.escalation.prices import FORMS
from benchmarks.ladder.simulate import Outcome, Simulation, Strategy
from benchmarks.ladder.strategies import CONTENDERS, only
from benchmarks.ladder.world import FLASH, PRO, TODAY, WORLDS, Task, World, task

HISTORIES = (10_000, 50_000, 200_000, 500_000, 900_000)
TASKS = 1_000
FEW = 400
"""Tasks of the tables in which everything is compared on the same tasks."""


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy over many tasks."""

    name: str
    solved: float
    """Share of the tasks."""
    false: float
    usd: float
    """US dollars per task."""
    per_solved: float
    half: float
    """Half the width of its 95% confidence interval."""
    extra: float | None
    """US dollars per task solved beyond those of the first row; None where there are none."""


def tasks_of(world: World, count: int) -> list[Task]:
    """The first so many tasks of a world."""
    return [task(world, number) for number in range(count)]


def play(world: World, tasks: Sequence[Task], strategy: Strategy, history: int) -> list[Outcome]:
    """All tasks under one strategy."""
    return [Simulation(world, each, strategy, history).run() for each in tasks]


def row(name: str, outcomes: Sequence[Outcome], base: Row | None) -> Row:
    """Sum up. The interval is that of a ratio of means (delta method)."""
    count = len(outcomes)
    solved = sum(each.solved for each in outcomes) / count
    usd = sum(each.usd for each in outcomes) / count
    ratio = usd / solved if solved else float("inf")
    errors = [each.usd - ratio * each.solved for each in outcomes]
    deviation = (sum(error * error for error in errors) / (count - 1)) ** 0.5
    half = 1.96 * deviation / (count**0.5 * solved) if solved else float("inf")
    extra = None
    if base is not None and solved > base.solved + 0.005:
        extra = (usd - base.usd) / (solved - base.solved)
    false = sum(each.false for each in outcomes) / count
    return Row(name, solved, false, usd, ratio, half, extra)


def compare(
    world: World, history: int, strategies: Iterable[Strategy] = CONTENDERS, count: int = TASKS
) -> list[Row]:
    """All strategies on the same tasks; the first is what the others are held against."""
    tasks = tasks_of(world, count)
    rows: list[Row] = []
    for strategy in strategies:
        outcomes = play(world, tasks, strategy, history)
        rows.append(row(strategy.name, outcomes, rows[0] if rows else None))
    return rows


def show(rows: Sequence[Row]) -> str:
    """A table for people."""
    head = f"{'':20}{'solved':>8}{'false':>7}{'$/task':>9}{'$/solved':>10}{'±95%':>8}{'$/extra':>9}"
    lines = [head]
    for each in rows:
        extra = "-" if each.extra is None else f"{each.extra:.3f}" if each.extra > 0 else "saves"
        lines.append(
            f"{each.name:20}{each.solved:8.1%}{each.false:7.1%}{each.usd:9.4f}"
            f"{each.per_solved:10.4f}{each.half:8.4f}{extra:>9}"
        )
    return "\n".join(lines)


def by_history() -> dict[str, list[float]]:
    """Cost per solved task over the length of the history, for the plot and its table."""
    out: dict[str, list[float]] = {each.name: [] for each in CONTENDERS}
    for history in HISTORIES:
        for each in compare(TODAY, history, count=FEW):
            out[each.name].append(each.per_solved)
    return out


VARIED: tuple[tuple[str, World], ...] = (
    ("as assumed", TODAY),
    ("correlation 0.5", replace(TODAY, correlation=0.5)),
    ("correlation 0.95", replace(TODAY, correlation=0.95)),
    ("false positives 50%", replace(TODAY, noise=0.5)),
    ("false negatives 30%", replace(TODAY, silent=0.3)),
    ("advice worth nothing", replace(TODAY, advice=0.0)),
    ("advice worth 0.5", replace(TODAY, advice=0.5)),
    ("output 3,000 a turn", replace(TODAY, output=3_000)),
    ("no repair in the lane", replace(TODAY, repair=0.0)),
    ("repair 0.5", replace(TODAY, repair=0.5)),
    ("tasks alike (s = 1)", replace(TODAY, spread=1.0)),
)
_FLASH_ONLY, _PRO_ONLY, _RETRY, _LADDER = (
    CONTENDERS[0], CONTENDERS[2], CONTENDERS[4], CONTENDERS[-1]
)  # fmt: skip


def sensitivity(history: int = 100_000) -> str:
    """Dollars per solved task and share solved, one assumption changed at a time."""
    chosen = (_FLASH_ONLY, _PRO_ONLY, _RETRY, CONTENDERS[6], CONTENDERS[7], _LADDER)
    lines = [f"{'':24}" + "".join(f"{each.name:>20}" for each in chosen)]
    for name, world in VARIED:
        rows = compare(world, history, chosen, FEW)
        lines.append(
            f"{name:24}" + "".join(f"{f'{r.per_solved:.4f} ({r.solved:.1%})':>20}" for r in rows)
        )
    return "\n".join(lines)


def chances(history: int = 100_000) -> str:
    """How often a form rescues, used once and alone: where the policy's chances come from."""
    uses: tuple[tuple[str, Strategy], ...] = (
        ("retry", only("", "retry", rungs=(FLASH,))),
        ("hand-off flash·max", only("", "hand-off", rungs=(0, 1))),
        ("hand-off pro·high", only("", "hand-off", rungs=(FLASH, PRO))),
        ("move pro·high", only("", "move", rungs=(FLASH, PRO))),
        ("consult pro·high", only("", "consult", rungs=(FLASH, PRO))),
        ("re-plan pro·high", only("", "re-plan", rungs=(FLASH, PRO))),
    )
    once = Caps(note=0, retry=1, consult=1, replan=1, handoff=1, move=1)
    lines = [f"{'':20}" + "".join(f"{name:>18}" for name in WORLDS)]
    for name, strategy in uses:
        assert strategy.policy is not None
        policy = replace(strategy.policy, caps=once, share=1.0)
        cells: list[float] = []
        for world in WORLDS.values():
            outcomes = play(
                world, tasks_of(world, 1_000), replace(strategy, policy=policy), history
            )
            used = [each for each in outcomes if each.reactions]
            cells.append(sum(each.reactions[0][2] for each in used) / len(used))
        lines.append(f"{name:20}" + "".join(f"{cell:18.0%}" for cell in cells))
    return "\n".join(lines)


def defaults(history: int = 100_000) -> str:
    """The default policy and its neighbours: solved and dollars per solved, in each world."""
    policy = Policy()

    def without(*forms: str) -> Policy:
        return replace(policy, forms=frozenset(set(FORMS) - set(forms)))

    def capped(**caps: int) -> Policy:
        return replace(policy, caps=replace(policy.caps, **caps))

    early = replace(policy.thresholds, retry=2.0, replan=2.0, handoff=2.0, move=2.0)
    variants = {
        "the default": policy,
        "without advice": without("consult"),
        "without new plans": without("re-plan"),
        "without moves": without("move"),
        "without retries": without("retry"),
        "without hand-offs": without("hand-off"),
        "3 reactions in all": capped(total=3),
        "7 reactions in all": capped(total=7),
        "everything at score 2": replace(policy, thresholds=early),
        "cool-down of 6 turns": replace(policy, cool_down=6),
        "cool-down of 12 turns": replace(policy, cool_down=12),
    }
    lines = [f"{'':24}" + "".join(f"{name:>18}" for name in WORLDS)]
    for name, variant in variants.items():
        strategy = Strategy(name, variant)
        rows = [compare(world, history, [strategy], FEW)[0] for world in WORLDS.values()]
        lines.append(
            f"{name:24}" + "".join(f"{f'{r.per_solved:.4f} ({r.solved:.1%})':>18}" for r in rows)
        )
    return "\n".join(lines)
