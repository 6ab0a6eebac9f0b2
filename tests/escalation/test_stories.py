"""Fifteen failure stories on the real loop: who solves what, and that nobody claims what is not.

The stories and their scripted models are those of ``benchmarks/ladder``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agentkit.events import CheckFailed, RungChanged, SessionFinished
from agentkit.sandboxes import Docker
from agentkit.testing import Reply
from benchmarks.ladder.actors import View
from benchmarks.ladder.harness import CONTENDERS, Run, tell
from benchmarks.ladder.stories import (
    BOTH_FAIL,
    CHECK_CANNOT_RUN,
    MADE_WORSE,
    STORIES,
    WRONG_FILE,
)

pytestmark = pytest.mark.anyio

PAID_AGAIN = 2.5
"""What the ladder may cost at most on a hopeless task, against trying on Pro alone until the
end; see ``docs/escalation.md``, where it does not pay."""


def is_truthful(run: Run) -> None:
    """What holds of every end: no false success, exit codes and bills that are true."""
    assert not run.violations
    assert not run.false_success
    finished = run.events[-1]
    assert isinstance(finished, SessionFinished)
    if run.result.ok:
        assert (run.result.exit_code, all(each.passed for each in run.result.checks)) == (0, True)
    else:
        assert run.result.exit_code in (1, 3)
        assert run.result.status in ("failed", "limit")
        assert run.result.output
    assert run.result.usage.prompt_tokens == run.bill.prompt_tokens
    assert run.result.usage.hit_tokens == run.bill.hit_tokens
    assert run.result.usage.completion_tokens == run.bill.completion_tokens


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("name", list(STORIES))
async def test_story(name: str, contender: str, tmp_path: Path) -> None:
    story = STORIES[name]
    run = await tell(story, contender, tmp_path / "work")
    is_truthful(run)
    assert run.result.ok == story.solves[contender]
    if contender != "ladder":
        assert not run.forms, "the two baselines never react"
    else:
        assert run.forms[0] == "note", "the first reaction costs nothing"


async def test_each_climb_names_its_price_its_reason_and_its_evidence(tmp_path: Path) -> None:
    run = await tell(WRONG_FILE, "ladder", tmp_path / "work")
    changes = [each for each in run.events if isinstance(each, RungChanged)]
    assert any(each.form == "consult" for each in changes)
    by_seq = {each.seq: each for each in run.events}
    for change in changes:
        assert change.reason
        if change.form != "step-down":
            assert change.prices
            assert change.evidence
            assert all(by_seq[seq].type == "evidence" for seq in change.evidence)


async def test_a_hopeless_task_ends_within_the_caps(tmp_path: Path) -> None:
    ladder = await tell(BOTH_FAIL, "ladder", tmp_path / "a")
    pro = await tell(BOTH_FAIL, "pro-only", tmp_path / "b")
    assert ladder.result.exit_code == pro.result.exit_code == 1
    paid = [form for form in ladder.forms if form not in ("note", "step-down")]
    assert len(paid) <= 6  # the policy's cap, and the last resort
    assert ladder.usd < PAID_AGAIN * pro.usd
    failed = [each for each in ladder.events if isinstance(each, CheckFailed)]
    assert len(failed) > 3
    assert not ladder.really


async def test_a_check_that_cannot_run_opens_no_lane(tmp_path: Path) -> None:
    """A missing command is missing for every model: advice at most is paid for."""
    run = await tell(CHECK_CANNOT_RUN, "ladder", tmp_path / "work")
    assert {form.split()[0] for form in run.forms} <= {"note", "consult"}
    assert run.result.status == "failed"


async def test_a_hand_off_starts_from_the_best_checkpoint(tmp_path: Path) -> None:
    """The strong model mends only what it was asked for; the rollback takes back the rest."""
    run = await tell(MADE_WORSE, "ladder", tmp_path / "work")
    assert run.result.ok
    taken_back = [e for e in run.events if isinstance(e, RungChanged) and e.back_to]
    assert taken_back
    assert (tmp_path / "work" / "other.py").read_text() == MADE_WORSE.files["other.py"]


@pytest.mark.docker
@pytest.mark.parametrize("name", ["wrong file", "attempt makes things worse"])
async def test_in_a_container_it_is_the_same(name: str, tmp_path: Path) -> None:
    run = await tell(STORIES[name], "ladder", tmp_path / "work", Docker)
    is_truthful(run)
    assert run.result.ok
    assert run.really


def test_a_scripted_model_reads_what_it_is_sent() -> None:
    advice = {"role": "user", "content": "[Advice] The tests import shop/pricing.py."}
    task = {"role": "user", "content": WRONG_FILE.task}
    tools = [{"type": "function", "function": {"name": "bash"}}]
    before = WRONG_FILE.weak(View({"messages": [task], "tools": tools}))
    after = WRONG_FILE.weak(View({"messages": [task, advice], "tools": tools}))
    assert "old_pricing.py" in _command(before)
    assert "shop/pricing.py" in _command(after)
    question = WRONG_FILE.strong(View({"messages": [task]}))
    assert question.content, "without tools it is asked for words"
    assert not question.calls


def _command(reply: Reply) -> str:
    return reply.calls[0].text
