"""What docs/escalation.md shows works and is what the code has; the simulation repeats itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from agentkit import Ladder
from agentkit.escalation import Caps, Policy, Thresholds
from agentkit.escalation.policy import WEIGHTS
from benchmarks.ladder.plot import svg
from benchmarks.ladder.strategies import CONTENDERS
from benchmarks.ladder.tables import compare
from benchmarks.ladder.world import SPRING, TODAY, tasks_differ

PAGE = (Path(__file__).parents[2] / "docs" / "escalation.md").read_text("utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_ladder_file_of_the_page_loads(tmp_path: Path) -> None:
    file = tmp_path / "careful.toml"
    file.write_text(block("toml"), encoding="utf-8")
    ladder = Ladder.load(str(file))
    assert [rung.forms for rung in ladder.rungs] == [(), ("consult", "hand-off")]
    policy = ladder.policy
    assert policy is not None
    assert (policy.cool_down, policy.share, policy.thresholds.consult) == (4, 0.25, 1.0)
    assert (policy.caps.handoff, policy.chances["consult"]) == (1, 0.2)


def test_the_program_of_the_page_runs() -> None:
    exec(compile(block("python"), "escalation.md", "exec"), {})


def test_the_page_names_the_defaults() -> None:
    for kind, weight in WEIGHTS.items():
        row = next(
            line for line in PAGE.splitlines() if line.startswith("|") and f"`{kind}`" in line
        )
        assert f"| {weight} |" in row
    caps, policy, needs = Caps(), Policy(), Thresholds()
    words = " ".join(PAGE.split())
    assert f"{caps.note} notes, {caps.consult} consultation, {caps.retry} retries" in words
    assert f"{caps.per_rung} lanes per rung; {caps.total} paid reactions" in words
    assert f"After a reaction, {policy.cool_down} turns" in words
    assert f"a note needs {needs.note:g}, advice {needs.consult:g}" in words
    assert f"factor {policy.again} with each fresh start" in words


def test_the_simulation_repeats_itself() -> None:
    two = [CONTENDERS[0], CONTENDERS[-1]]
    assert compare(TODAY, 50_000, two, 60) == compare(TODAY, 50_000, two, 60)


def test_what_the_page_concludes_holds_in_a_small_sample() -> None:
    rows = {each.name: each for each in compare(TODAY, 100_000, CONTENDERS, 400)}
    flash, ladder = rows["flash·high only"], rows["ladder flash-pro"]
    assert rows["naive switch"].per_solved > 2 * flash.per_solved
    assert rows["retry only"].solved > flash.solved
    assert ladder.solved > flash.solved
    assert ladder.per_solved < 1.3 * flash.per_solved
    assert rows["pro·high only"].per_solved > 3 * flash.per_solved


def test_where_pro_is_stronger_a_hand_off_solves_more_than_retries() -> None:
    rows = {each.name: each for each in compare(SPRING, 100_000, CONTENDERS, 400)}
    assert rows["hand-off pro only"].solved > rows["retry only"].solved


def test_without_failures_nothing_is_paid() -> None:
    perfect = replace(TODAY, flash=0.999, flash_effort=0.0, stumbles=0.0, noise=0.0, spread=0.1)
    flash, ladder = compare(perfect, 20_000, [CONTENDERS[0], CONTENDERS[-1]], 100)
    assert ladder.usd == flash.usd


def test_second_tries_are_worth_what_was_published() -> None:
    """The spread of tasks reproduces both published pairs."""
    one, either = tasks_differ(0.656, tries=2)
    assert abs(one - 0.656) < 0.01
    assert abs(either - 0.746) < 0.01
    one, any_of_five = tasks_differ(0.804, tries=5)
    assert abs(one - 0.804) < 0.01
    assert abs(any_of_five - 0.92) < 0.01


def test_the_plot_is_well_formed() -> None:
    from xml.etree import ElementTree

    tree = ElementTree.fromstring(svg("a < b", [10, 100], {"x & y": [0.1, 0.2]}))
    assert tree.tag.endswith("svg")
