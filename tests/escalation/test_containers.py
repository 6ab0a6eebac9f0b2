"""Attempts and subagents in copies of a real container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit import Ladder
from agentkit import events as e
from agentkit.sandboxes import Docker
from agentkit.testing import Reply

from .stage import answers, bash, call, cast, finish, only, play, texts, weak, write

pytestmark = [pytest.mark.anyio, pytest.mark.docker]


async def test_the_winner_of_two_attempts_is_merged_into_the_workspace(tmp_path: Path) -> None:
    written = iter((7, 42))

    def racer(request: dict[str, Any]) -> Reply:
        number = answers(request)
        return finish() if number % 2 else write(7 if number else next(written))

    told = await play(
        tmp_path,
        cast(weak, racer),
        only("hand-off"),
        attempts=2,
        sandbox=Docker(workspace=str(tmp_path)),
    )
    assert told.result.ok, told.result.output
    assert (tmp_path / "answer.txt").read_text() == "42\n"
    assert "passes every check" in told.of(e.RungChanged)[-1].reason
    assert told.result.cost_usd == pytest.approx(told.server.bill.usd)


async def test_a_subagent_in_a_copy_brings_its_changes_home(tmp_path: Path) -> None:
    def script(request: dict[str, Any]) -> Reply:
        if any("You are a subagent" in text for text in texts(request)):
            return Reply("Done there.") if answers(request) else bash("echo copied > from_copy")
        if answers(request):
            return finish()
        return call("task", prompt="Make it.", in_copy=True)

    told = await play(
        tmp_path,
        script,
        Ladder.single("deepseek-flash"),
        checks=["test -e from_copy"],
        sandbox=Docker(workspace=str(tmp_path)),
    )
    assert told.result.ok, told.result.output
    assert (tmp_path / "from_copy").read_text() == "copied\n"
