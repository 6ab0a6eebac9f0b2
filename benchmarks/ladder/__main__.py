"""Print tables (a) and (b)."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import anyio

from benchmarks.ladder import plot, tables
from benchmarks.ladder.harness import CONTENDERS, Run, tell_all
from benchmarks.ladder.stories import STORIES
from benchmarks.ladder.world import WORLDS

PLOT = Path(__file__).resolve().parents[2] / "docs" / "escalation.svg"


def stories() -> None:
    """Table (a)."""
    print("(a) Failure stories: outcome, and US dollars of the fake provider's bill\n")
    print(f"{'':27}" + "".join(f"{name:>17}" for name in CONTENDERS) + "  what the ladder did")
    runs = anyio.run(tell_all, list(STORIES.values()))
    for name in STORIES:
        mine = {run.contender: run for run in runs if run.story == name}
        cells = "".join(f"{_cell(mine[each]):>17}" for each in CONTENDERS)
        print(f"{name:27}{cells}  {', '.join(mine['ladder'].forms) or '-'}")
    for each in CONTENDERS:
        mine_all = [run for run in runs if run.contender == each]
        solved = sum(run.really and run.result.ok for run in mine_all)
        usd = sum(run.usd for run in mine_all)
        false = sum(run.false_success for run in mine_all)
        print(
            f"{each}: {solved} of {len(mine_all)} solved, {false} false successes,"
            f" ${usd:.4f} in all, ${usd / solved:.4f} per solved story"
        )


def _cell(run: Run) -> str:
    return f"{run.outcome} {run.usd:.4f}"


def simulate() -> None:
    """Table (b), and the plot."""
    started, cpu = time.monotonic(), time.process_time()
    for name, world in WORLDS.items():
        rates = ", ".join(f"{rate:.1%}" for rate in world.rates())
        print(f"\n(b1) {name}; one fresh attempt solves {rates} (flash·high to pro·max);")
        print("     100k tokens of history, off-peak prices\n")
        print(tables.show(tables.compare(world, 100_000)))
    lines = tables.by_history()
    print("\n(b2) TB 2.1 today: dollars per solved task over tokens of history\n")
    print(f"{'':20}" + "".join(f"{length // 1000:>9}k" for length in tables.HISTORIES))
    for name, values in lines.items():
        print(f"{name:20}" + "".join(f"{value:10.4f}" for value in values))
    PLOT.write_text(
        plot.svg("US dollars per solved task (TB 2.1 today)", tables.HISTORIES, lines),
        encoding="utf-8",
    )
    print(f"\n(plot: {PLOT.relative_to(PLOT.parents[1])})")
    print("\n(b3) One assumption changed at a time (TB 2.1 today, 100k): dollars per solved\n")
    print(tables.sensitivity())
    print("\n(b4) How often a form rescues failing work, used once and alone\n")
    print(tables.chances())
    print("\n(b5) The default policy and its neighbours (100k): dollars per solved\n")
    print(tables.defaults())
    print(f"\n{time.monotonic() - started:.0f} s, {time.process_time() - cpu:.0f} s of them CPU")


def main() -> None:
    """Both tables, or the one that is named."""
    match sys.argv[1:]:
        case []:
            stories()
            simulate()
        case ["stories"]:
            stories()
        case ["simulate"]:
            simulate()
        case _:
            sys.exit("usage: python -m benchmarks.ladder [stories | simulate]")


if __name__ == "__main__":
    main()
