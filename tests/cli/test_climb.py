"""The ladder as users meet it: a weak model fails, asks, hands over, and brings the work home."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentkit.cli.demo_data.recording import DATA
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable

from .conftest import Cli

CHECK = "python3 -m pytest -q"
LADDER = """\
name = "weak-strong"

[[rung]]
model = "deepseek-flash"

[[rung]]
model = "deepseek-v4-pro"
forms = ["consult", "hand-off"]

[policy]
forms = ["consult", "hand-off"]

[policy.thresholds]
consult = 2
hand-off = 3
"""
AT_FIRST = "    return [divided(discount * amount, total) for amount in amounts]\n"
WRONG = (
    "    return [0 for _ in amounts]\n",
    "    return [discount] + [0] * (len(amounts) - 1)\n",
    "    return [discount // len(amounts)] * len(amounts)\n",
)
RIGHT = """\
    down = [discount * amount // total for amount in amounts]
    most_cut = sorted(range(len(amounts)), key=lambda at: -(discount * amounts[at] % total))
    for place in most_cut[: discount - sum(down)]:
        down[place] += 1
    return down
"""


def replace(old: str, new: str) -> Reply:
    """Give ``shares`` another end."""
    edit = {"command": "str_replace", "path": "atelier/discounts.py", "old_str": old}
    return Reply(reasoning="so", calls=[Call("str_replace_editor", {**edit, "new_str": new})])


def finish(words: str) -> Reply:
    return Reply(calls=[Call("finish", {"summary": words})])


class Cast:
    """A weak model, a strong one and an adviser; each goes on where it was."""

    def __init__(self) -> None:
        done = finish("The shares add up now.")
        bodies = [AT_FIRST, *WRONG]
        tries = [replace(old, new) for old, new in pairwise(bodies)]
        self.weak = [*(step for each in tries for step in (each, done)), done]
        self.strong = [replace(WRONG[-1], RIGHT), finish("Cents left over go to the cut lines.")]
        self.advised = 0

    def __call__(self, request: dict[str, Any]) -> Reply:
        if request["messages"][0]["content"].startswith("You advise"):
            self.advised += 1
            return Reply("Round down, then give the cents left over away.", "hm")
        return (self.strong if "pro" in request["model"] else self.weak).pop(0)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The demo's project, which has a bug that two tests show."""
    folder = tmp_path / "atelier"
    shutil.copytree(DATA / "project", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_planner_and_attempts_from_the_command_line(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    """``--planner 2 --attempts 2``; what happens is shown while it happens."""
    ladder = tmp_path / "ladder.toml"
    both = 'forms = ["consult", "hand-off"]'
    ladder.write_text(LADDER.replace(both, 'forms = ["hand-off"]'))
    task = "Write the answer.\n\n- into answer.txt\n- and nothing else"
    check = "grep -qx 42 answer.txt"

    written = iter((7, 42))

    def script(request: dict[str, Any]) -> Reply:
        words = "\n".join(str(each.get("content")) for each in request["messages"])
        number = sum(each["role"] == "assistant" for each in request["messages"])
        if request["messages"][0]["content"].startswith("You plan work"):
            plan = {"steps": [{"step": "The answer is there"}], "facts": [], "candidates": []}
            return Reply(reasoning="so", calls=[Call("submit_plan", plan)])
        if "attempts were made" in words:
            return finish("It was 42.")
        first = "one of 2 attempts" in words and not number
        value = next(written) if first else number
        write = Call("bash", {"command": f"echo {value} > answer.txt"})
        return finish("Done.") if number % 2 else Reply(reasoning="so", calls=[write])

    with FakeDeepSeek(script) as server:
        ran = cli(
            "run", task, "--workspace", str(project), "--ladder", str(ladder), "--check", check,
            "--base-url", server.base_url, "--sandbox", "local", "--approve", "auto",
            "--planner", "2", "--attempts", "2", "--off-peak-wait", "0",
        )  # fmt: skip
        assert server.requests[0].body["model"] == "deepseek-v4-pro"
    assert ran.code == 0, ran.out[-2000:] + ran.err
    assert (project / "answer.txt").read_text() == "42\n"
    shown = ran.out + ran.err
    for words in (
        "The answer is there",
        "✗ check failed",
        "evidence: check failed",
        "↑ hand-off deepseek-v4-pro·high, about $",
        "↓ back on deepseek-flash·high: attempt-2 passes every check",
        "✓ check passed",
    ):
        assert words in shown, shown


@pytest.mark.docker
def test_a_weak_model_consults_hands_off_and_steps_down(
    cli: Cli, project: Path, tmp_path: Path
) -> None:
    ladder = tmp_path / "ladder.toml"
    ladder.write_text(LADDER)
    cast = Cast()
    with FakeDeepSeek(cast) as server:
        ran = cli(
            "run", "Ticket 31: the shares of a discount do not add up to it. Fix it.",
            "--workspace", str(project), "--ladder", str(ladder), "--check", CHECK,
            "--base-url", server.base_url, "--session", "climb", "--json",
        )  # fmt: skip
        assert_prefix_stable(server)
        assert server.violations == []
    assert ran.code == 0, ran.out[-2000:] + ran.err
    events = [json.loads(line) for line in ran.out.splitlines()]
    changes = [(each["form"], each["to_rung"]) for each in events if each["type"] == "rung.changed"]
    assert changes == [
        ("consult", "deepseek-v4-pro·high"),
        ("hand-off", "deepseek-v4-pro·high"),
        ("step-down", "deepseek-flash·high"),
    ]
    assert cast.advised == 1
    assert cast.weak == []
    for each in (event for event in events if event["type"] == "rung.changed"):
        assert each["reason"]
        assert each["form"] == "step-down" or (each["prices"] and each["evidence"])
    assert [each["passed"] for each in events[-1]["checks"]] == [True]
    assert events[-1]["checks"][0]["on"], "on which state of the workspace it passed"
    after = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=project, check=False)
    assert after.returncode == 0, "the world agrees"

    asked = sum(each["type"] == "model.requested" for each in events)
    changed = next(each for each in events if each["type"] == "rung.changed")
    again = cli("sessions", "replay", "climb")
    assert again.code == 0, again.out + again.err
    assert "no drift" in again.out
    assert f"played up to event {changed['seq']} (rung.changed, consult to " in again.out
    assert f"{asked} requests of all lanes rebuilt from the log, byte for byte" in again.out

    shown = cli("sessions", "show", "climb").out
    story = shown[shown.index("course") :].split("\n\n")[0].splitlines()
    assert len(story) <= 11, story
    text = "\n".join(story)
    for words in ("check failed", "consult deepseek-v4-pro·high, about $", "hand-off", "back on"):
        assert words in text, text
