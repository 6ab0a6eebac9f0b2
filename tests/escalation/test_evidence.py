"""Evidence is found in events alone, taken away by progress of its own kind, and never in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from agentkit import events as e
from agentkit.escalation.evidence import STALLED, Watch, fingerprint
from agentkit.models.types import ToolCall


def watched(*events: e.Event) -> Watch:
    """The fold over these events, numbered in their order."""
    watch = Watch()
    for number, event in enumerate(events, 1):
        watch.take(replace(event, seq=number))
    return watch


def kinds(*events: e.Event) -> list[str]:
    return [each.kind for each in watched(*events).open]


def answer(content: str = "so", **more: Any) -> e.ModelResponded:
    return e.ModelResponded(content=content, **more)


def call(
    command: str,
    output: str = "out",
    *,
    tool: str = "bash",
    status: Any = "done",
    writes: bool = False,
    **more: Any,
) -> Sequence[e.Event]:
    """An answer with one call, its start and its end."""
    arguments = {"command": command}
    return (
        answer(calls=(ToolCall("c", tool, "{}"),)),
        e.ToolStarted(call_id="c", tool=tool, arguments=arguments),
        e.ToolFinished(
            call_id="c", tool=tool, status=status, content=output, writes=writes, **more
        ),
    )


def edit(path: str, before: str, after: str) -> Sequence[e.Event]:
    data = {"path": path, "before": before, "after": after}
    return call(f"edit {path} {after}", f"edited to {after}", tool="editor", data=data)


def missed(path: str) -> Sequence[e.Event]:
    data = {"evidence": "edit-not-applied", "path": path}
    return call(f"miss {path}", "ERROR: no match", tool="editor", status="failed", data=data)


def failed(command: str = "test", output: str = "E 1", *, ran: bool = True) -> e.CheckFailed:
    return e.CheckFailed(command=command, exit_code=1 if ran else 127, output=output, ran=ran)


PASSED = e.CheckPassed(command="test")


def test_words_are_no_evidence() -> None:
    loud = "ERROR: fatal error, exception, failed, traceback, panic"
    assert kinds(*call("make", loud), *call("make 2", loud), answer(loud)) == []


def test_a_failed_check_and_the_same_failure_again() -> None:
    first = failed(output="3 failed in 0.12s at 0x7f01, /tmp/a1/x")
    again = failed(output="3 failed in 9.87s at 0x8802, /tmp/b2/x")
    assert fingerprint(first) == fingerprint(again)
    watch = watched(first, again)
    assert [each.kind for each in watch.open] == ["check-failed", "check-failed-again"]
    assert [each.sources for each in watch.open] == [(1,), (2,)]
    assert kinds(first, failed(output="SyntaxError: bad")) == ["check-failed", "check-failed"]


def test_only_that_check_passing_takes_its_failures_away() -> None:
    other = failed("lint")
    assert kinds(failed(), failed(), other, PASSED) == ["check-failed"]
    assert kinds(failed(), *edit("a", "0", "1")) == ["check-failed"], "an edit proves nothing"


def test_a_check_that_cannot_run_is_another_thing() -> None:
    assert kinds(failed(ran=False), failed(ran=False)) == ["check-cannot-run"]


def test_the_same_call_again_with_the_same_result() -> None:
    watch = watched(*call("ls"), *call("ls"), *call("ls"))
    assert [each.kind for each in watch.open] == ["call-repeated", "call-repeated"]
    assert watch.open[0].sources == (3, 6), "the two results"


def test_a_round_of_calls_is_a_repetition_too() -> None:
    once = (*call("a", writes=True), *call("b", writes=True))
    assert kinds(*once) == []
    assert kinds(*once, *once) == ["call-repeated"], "nothing new since b ran"
    assert len(kinds(*once, *once, *once)) == 3


def test_running_the_tests_again_after_a_change_is_no_repetition() -> None:
    assert kinds(*call("pytest"), *edit("a", "0", "1"), *call("pytest")) == []
    sed = call("sed -i s/a/b/ x", "done", writes=True)
    assert kinds(*call("pytest", writes=True), *sed, *call("pytest", writes=True)) == []
    assert kinds(*call("tail log", "1"), *call("tail log", "2")) == [], "another result"


def test_something_new_takes_repetitions_away() -> None:
    assert kinds(*call("ls"), *call("ls"), *call("cat a", "text")) == []


def test_invalid_calls_in_a_row() -> None:
    bad = call("x", "ERROR", status="invalid")
    assert kinds(*bad, *bad) == []
    watch = watched(*bad, *bad, *bad)
    assert [(each.kind, each.sources) for each in watch.open] == [("calls-invalid", (3, 6, 9))]
    assert kinds(*bad, *bad, *call("ls"), *bad) == []
    assert kinds(*bad, *bad, *bad, *call("ls")) == []


def test_an_edit_that_does_not_apply_until_one_does() -> None:
    assert kinds(*missed("a"), *missed("a")) == ["edit-not-applied", "edit-not-applied"]
    assert kinds(*missed("a"), *missed("b"), *edit("a", "0", "1")) == ["edit-not-applied"]


def test_an_own_patch_taken_back() -> None:
    there = edit("a", "0", "1")
    assert kinds(*there, *edit("a", "1", "2")) == []
    assert kinds(*there, *edit("a", "1", "0")) == ["patch-reverted"]
    assert kinds(*there, *edit("a", "1", "2"), *edit("a", "2", "1")) == ["patch-reverted"]


def test_standing_still() -> None:
    reading = [event for turn in range(STALLED) for event in call(f"cat {turn}", f"{turn}")]
    watch = watched(*reading)
    assert [each.kind for each in watch.open] == ["no-progress"]
    assert len(watch.open[0].sources) == 10, "the last answers"
    one, two = (e.Checkpoint(id=name, tree=name) for name in ("one", "two"))
    shell = [e for turn in range(STALLED) for e in call(f"run {turn}", f"{turn}", writes=True)]
    assert kinds(*shell) == [], "nobody knows whether files changed"
    looked = [x for turn in range(STALLED) for x in (*shell[turn * 3 : turn * 3 + 3], one)]
    assert kinds(one, *looked) == ["no-progress"]
    assert kinds(one, *looked, two) == [], "files did change"
    first, second = reading[:21], reading[21:]
    for progress in ([PASSED], edit("a", "0", "1"), [e.PlanUpdated(steps=({"step": "s"},))]):
        assert kinds(*first, *progress, *second) == []
    same = e.PlanUpdated(steps=({"step": "s"},))
    assert kinds(same, *first, same, *second) == ["no-progress"]


def test_answers_that_are_empty_or_cut() -> None:
    assert kinds(answer("")) == ["answer-empty"]
    assert kinds(answer("half", finish_reason="length")) == ["output-cut"]
    cut = e.ModelFailed(error="AnswerCut", message="cut", attempt=1)
    assert kinds(cut, cut) == ["output-cut", "output-cut"]
    assert kinds(answer(""), cut, answer("better")) == []
    assert kinds(e.ModelFailed(error="RateLimited", message="429", attempt=1)) == []


def test_asking_for_help_and_limits() -> None:
    asked = call("?", "how", tool="consult", data={"evidence": "help-asked"})
    assert kinds(*asked) == ["help-asked"]
    assert kinds(e.LimitNear(limit="money", used=0.8, allowed=1.0)) == ["limit-near"]


def test_what_is_logged_is_not_fresh_and_a_resume_knows_it() -> None:
    watch = watched(failed())
    (finding,) = watch.fresh
    told = e.Evidence(kind=finding.kind, key=finding.key, weight=1.0, sources=finding.sources)
    again = watched(failed(), told)
    assert again.fresh == []
    assert len(again.open) == 1
    assert [each.kind for each in watched(failed(), told, failed()).fresh] == ["check-failed-again"]


def test_a_restart_forgets_what_went_wrong() -> None:
    watch = watched(failed(), failed(), *call("ls"))
    watch.restart()
    for event in (*call("ls"), failed()):
        watch.take(event)
    assert [each.kind for each in watch.open] == ["check-failed"]


@pytest.mark.parametrize("cut", range(12))
def test_the_fold_has_no_other_memory(cut: int) -> None:
    """The same events in two pieces give the same findings as in one."""
    events = [*call("ls"), failed(), *call("ls"), failed(), *missed("a"), answer("")]
    watch = Watch()
    for number, event in enumerate(events[:cut], 1):
        watch.take(replace(event, seq=number))
    for number, event in enumerate(events[cut:], cut + 1):
        watch.take(replace(event, seq=number))
    assert watch == watched(*events)
