"""Ask for a yes, durably: log the question, wait, log the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from agentkit.errors import AlreadyAnswered, ApprovalNeeded, NotAsked
from agentkit.events import ApprovalAnswered, ApprovalAsked, ToolFinished
from agentkit.hooks import Call, Refuse

if TYPE_CHECKING:
    from agentkit.run import Run
    from agentkit.state import CallKey, State

INSTEAD = "[not executed: the user gave a new message in place of an approval]"
NOBODY = "This call needs somebody's approval, and nobody is there to give it."


async def wait_for_session(_call: Call) -> bool:
    """An ``approve`` hook for callers who answer with ``Session.approve``: it only waits."""
    await anyio.sleep_forever()
    return False


def given_before(run: Run, call: Call, arguments: Mapping[str, Any]) -> ApprovalAnswered | None:
    """The answer to this very call that the log has: same id, same tool, same arguments."""
    key = (run.lane_name, call.id)
    asked = run.state.asked.get(key)
    if asked is None or (asked.tool, asked.arguments) != (call.tool, arguments):
        return None
    return run.state.approvals.get(key)


async def answers(run: Run, asks: Sequence[tuple[Call, Mapping[str, Any]]]) -> list[Refuse | None]:
    """Ask for each call and wait for all answers; None is a yes.

    All questions are in the log before the first is waited for, so that they can be answered in
    any order, and by somebody who comes later.

    Args:
        asks: each call, and its arguments as JSON.

    Raises:
        ApprovalNeeded: nobody is there; the session can be resumed.
    """
    for call, arguments in asks:
        run.append(
            ApprovalAsked(
                call_id=call.id,
                tool=call.tool,
                arguments=dict(arguments),
                risk=call.risk,
                reasons=call.reasons,
            )
        )
    await run.log.commit()
    if run.hooks.approve is None:
        if not run.depth:
            calls = {call.id: call.tool for call, _ in asks}
            raise ApprovalNeeded(run.log.session_id, calls)
        for call, _ in asks:  # a subagent cannot be resumed in its middle
            log_answer(run, (run.lane_name, call.id), allowed=False, reason=NOBODY)
    with run.budget.paused():
        return [refusal(await _answer(run, call)) for call, _ in asks]


async def _answer(run: Run, call: Call) -> ApprovalAnswered:
    """Wait for the hook or for ``Session.approve``, whichever comes first."""
    key = (run.lane_name, call.id)
    failures: list[Exception] = []
    answered = run.asking[key] = anyio.Event()

    async def ask() -> None:
        assert run.hooks.approve is not None
        try:
            given = await run.hooks.approve(call)
            if key not in run.state.approvals:
                reason = given.reason if isinstance(given, Refuse) else ""
                log_answer(run, key, allowed=given is True, reason=reason)
        except Exception as error:
            failures.append(error)
        answered.set()

    try:
        if key not in run.state.approvals:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await answered.wait()
                tasks.cancel_scope.cancel()
    finally:
        del run.asking[key]
    if failures:
        raise failures[0]
    await run.log.commit()
    return run.state.approvals[key]


def refusal(answer: ApprovalAnswered) -> Refuse | None:
    """What an answer means for the call: None lets it run."""
    if answer.allowed:
        return None
    if answer.reason == NOBODY:
        return Refuse(NOBODY)
    return Refuse(f"The user declined this call{f': {answer.reason}' if answer.reason else '.'}")


def not_executed(refused: Refuse) -> str:
    """What the model reads of a call that was refused."""
    return f"ERROR: not executed. {refused.reason}"


def log_answer(run: Run, key: CallKey, *, allowed: bool, reason: str) -> ApprovalAnswered:
    """Log an answer and wake whoever waits for it; durable with the next commit."""
    lane, call_id = key
    answer = ApprovalAnswered(call_id=call_id, allowed=allowed, reason=reason)
    logged = run.on(lane).append(answer)
    if key in run.asking:
        run.asking[key].set()
    return logged


def open_question(state: State, call_id: str) -> CallKey:
    """The lane and id of the question that this call waits with.

    Raises:
        AlreadyAnswered: it was answered.
        NotAsked: this call waits for nothing.
    """
    for question in state.questions:
        if question.call_id == call_id:
            return question.lane, call_id
    for (_, id), answer in state.approvals.items():
        if id == call_id:
            raise AlreadyAnswered(call_id, allowed=answer.allowed)
    known = ", ".join(f"{each.call_id} ({each.tool})" for each in state.questions)
    raise NotAsked(
        f"no call {call_id!r} waits for an approval",
        hint=f"Those that wait: {known}" if known else "None does",
    )


def give_up_waiting(run: Run) -> None:
    """A new message takes the place of an answer: none of the turn's calls is executed.

    Where all were answered already, the answers hold, and nothing is done here.
    """
    waiting = [each.call_id for each in run.state.questions if each.lane == run.lane_name]
    for call in run.state.waiting_calls(run.lane_name) if waiting else ():
        key = (run.lane_name, call.id)
        if call.id in waiting:
            log_answer(run, key, allowed=False, reason="a new message came instead")
        run.append(ToolFinished(call_id=call.id, tool=call.name, status="refused", content=INSTEAD))
