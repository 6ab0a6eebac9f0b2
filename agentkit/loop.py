"""The loop: ask, run the calls, look whether the work is done, react to evidence, again.

It reads top to bottom. It ends in one of three ways: an ``Outcome`` (the model finished and every
required check passes, or it said honestly that it could not), an error of the tree in ``errors``,
or a cancellation. The history is valid at each of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from agentkit import facts
from agentkit.checks import explain, passes, required, run_checks
from agentkit.dispatch import dispatch
from agentkit.errors import (
    ContextOverflow,
    LimitReached,
    ModelError,
    TaskFailed,
    ToolError,
    UnusableAnswer,
)
from agentkit.escalation.climb import react
from agentkit.escalation.descent import came_down, descend, fell_back
from agentkit.events import ModelResponded, Steered, ToolFinished
from agentkit.fold import fold, is_full
from agentkit.hooks import appended
from agentkit.models.leaks import leaked_markup
from agentkit.request import ask

if TYPE_CHECKING:
    from agentkit.models.types import ToolCall
    from agentkit.run import Run

T = TypeVar("T")
MAX_EMPTY = 2
"""Answers in a row that hold nothing at all."""
MAX_FILTERED = 2
"""Answers in a row that the provider's content filter stopped."""
MAX_UNUSABLE = 5
"""Answers in a row of which nothing could be used."""
MAX_REFUSED = 10
"""Attempts to finish that the checks refused, in one run."""
MAX_IDLE_REFUSED = 3
"""The same in a row without a changed file in between."""
_LEAKED = "[Your last answer holds a tool call written as text, so nothing was executed. "
_CALL_IT = "Make the call through the tool interface."
_NO_TOOLS = "There are no tools here: answer in words."
_OR_QUOTE_IT = " If you only meant to show the markup, put it into a code fence.]"
"""Who writes about calls is asked once to quote them; unquoted they never end a run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the model ended its work."""

    output: str
    achieved: bool = True
    data: Any = None


async def work(run: Run) -> Outcome:
    """Turn after turn until the task is done, within the deadline.

    Raises:
        LimitReached, UnusableAnswer, TaskFailed, ModelError, SandboxError, StoreError.
    """
    return await _in_time(run, turns(run))


async def take_up(run: Run, calls: Sequence[ToolCall]) -> Outcome | None:
    """Run calls of an earlier process's answer that waited for somebody's yes.

    Returns:
        The outcome, if one of them ends the session's work; None where that goes on.

    Raises:
        LimitReached, ApprovalNeeded, SandboxError, StoreError.
    """

    async def act() -> Outcome | None:
        outcome = _outcome(run, await dispatch(run, calls))
        return None if outcome is None or await _goes_on(run, outcome) else outcome

    return await _in_time(run, act())


async def _in_time(run: Run, work: Awaitable[T]) -> T:
    with run.budget.deadline():
        return await work
    run.budget.check()
    allowed = run.budget.limits.deadline or 0.0
    raise LimitReached("deadline", allowed, allowed, hint="Resume with a larger --deadline")


async def turns(run: Run) -> Outcome:
    """Turn after turn on the lane that works, which a ladder may change, until one is the last."""
    patience = _Patience()
    while True:
        lane = run.lane_name
        await _take_in(run)
        answer = await _ask(run)
        if answer is not None:
            outcome = await _act(run, answer, patience)
            if outcome is not None and not await _goes_on(run, outcome):
                return outcome
            if outcome is None and not await descend(run):
                await react(run)
        if run.lane_name != lane:
            patience = _Patience()
        if patience.is_over and await react(run, last_resort=True):
            patience = _Patience()
        patience.check(run)


async def _goes_on(run: Run, outcome: Outcome) -> bool:
    """Whether what ended the work on its lane is not the end of the task."""
    # What was said during the last answer is read before it is the last.
    return await came_down(run, outcome.output, outcome.achieved) or bool(run.steering)


async def _ask(run: Run) -> ModelResponded | None:
    """Ask; where the history fills the window, fold it first. None: ask again on another lane."""
    try:
        if is_full(run):
            await fold(run)
        try:
            return await ask(run)
        except ContextOverflow:  # the provider counts, we estimate
            await fold(run)
        return await ask(run)
    except (ModelError, LimitReached, UnusableAnswer) as error:
        if await fell_back(run, error):
            return None
        raise


async def _act(run: Run, answer: ModelResponded, patience: _Patience) -> Outcome | None:
    """Do what the answer asks for; the outcome, if it ends the work on this lane."""
    if run.hooks.after_model is not None:
        await run.hooks.after_model(answer)
    if not answer.calls:
        return await _closing_words(run, answer, patience)
    results = await dispatch(run, answer.calls)
    patience.saw(results)
    return _outcome(run, results)


async def _take_in(run: Run) -> None:
    """Append what was said to the model, and what changed, since its last answer."""
    await facts.tell(run)
    for limit, used, allowed in run.budget.near(run.lane_name):
        run.limit_near(limit, used, allowed)
    if run.hooks.before_model is not None:
        given = await run.hooks.before_model(run.state.turns + 1)
        if extra := appended("before_model", given):
            run.hook_note(extra)
    while run.notes:
        run.note(run.notes.pop(0))
    while run.steering:
        run.append(Steered(text=run.steering.pop(0)))


def _outcome(run: Run, results: Sequence[ToolFinished]) -> Outcome | None:
    """The outcome, if one of the calls ended the run and no check went stale after it."""
    for result in results:
        tool = run.tools.get(result.tool)
        if tool is None or not tool.ends_run or result.status != "done":
            continue
        achieved = bool(result.data.get("achieved", True))
        if achieved and not all(passes(run, check) for check in required(run)):
            run.note("[Calls after the finish may have changed files. Finish again, alone.]")
            return None
        output = str(result.data.get("output", result.content))
        return Outcome(output, achieved, result.data.get("result"))
    return None


async def _closing_words(run: Run, answer: ModelResponded, patience: _Patience) -> Outcome | None:
    """An answer without calls: the end, if it holds something and the checks agree."""
    complaint = _complaint(run, answer)
    if complaint:
        patience.unusable += 1
        filtered = answer.finish_reason == "content_filter"
        patience.filtered = patience.filtered + 1 if filtered else 0
        patience.empty += not filtered and not answer.content.strip()
        run.note(complaint)
        return None
    patience.empty = patience.filtered = 0
    data = None
    if run.parse_output is not None and run.role == "main":
        try:
            data = run.parse_output(answer.content)
        except ToolError as error:
            patience.unusable += 1
            run.note(f"[This is not the result that was asked for: {error} Call `finish` with it.]")
            return None
    failures = await run_checks(run, required(run))
    if failures:
        patience.refused()
        run.note(explain(failures))
        return None
    return Outcome(answer.content, data=data)


def _complaint(run: Run, answer: ModelResponded) -> str:
    """Why the text cannot be taken as the end of the work; "" where it can."""
    if answer.finish_reason == "content_filter":
        return (
            "[The provider's content filter stopped your last answer. Go on with the task in other"
            " words; when it is done, say what you did.]"
        )
    if not answer.content.strip():
        return (
            "[Your last answer was empty. Go on with the task; when it is done, say what you did.]"
        )
    if leaked_markup(answer.content):
        return _LEAKED + (_CALL_IT if run.tools else _NO_TOOLS) + _OR_QUOTE_IT
    if answer.finish_reason == "length":
        return "[Your last answer was cut at its limit. Go on where it stopped, more briefly.]"
    return ""


@dataclass(slots=True)
class _Patience:
    """Counts what brings the work no further, and says when it is enough."""

    unusable: int = 0
    empty: int = 0
    filtered: int = 0
    refusals: int = 0
    idle_refusals: int = 0

    def saw(self, results: Sequence[ToolFinished]) -> None:
        self.empty = self.filtered = 0
        usable = any(result.status not in ("invalid", "unknown") for result in results)
        self.unusable = 0 if usable else self.unusable + 1
        if any(result.writes and result.status == "done" for result in results):
            self.idle_refusals = 0
        if any(result.data.get("checks_failed") for result in results):
            self.refused()

    def refused(self) -> None:
        self.refusals += 1
        self.idle_refusals += 1

    @property
    def is_over(self) -> bool:
        """Nothing more is to be expected of the lane as it goes."""
        return (
            self.empty >= MAX_EMPTY
            or self.filtered >= MAX_FILTERED
            or self.unusable >= MAX_UNUSABLE
            or self.refusals >= MAX_REFUSED
            or self.idle_refusals >= MAX_IDLE_REFUSED
        )

    def check(self, run: Run) -> None:
        """Stop honestly when nothing more is to be expected.

        Raises:
            UnusableAnswer, TaskFailed
        """
        if self.filtered >= MAX_FILTERED:
            raise UnusableAnswer(
                "the provider's content filter stopped the answer, twice in a row",
                hint="Say the task in other words, or choose another model",
            )
        if self.empty >= MAX_EMPTY:
            raise UnusableAnswer("the model answered with nothing, twice in a row")
        if self.unusable >= MAX_UNUSABLE:
            raise UnusableAnswer(f"{self.unusable} answers in a row could not be used")
        if self.is_over:
            failing = [check for check in required(run) if not passes(run, check)]
            raise TaskFailed(f"required checks still fail: {', '.join(failing)}")
