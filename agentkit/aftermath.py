"""What becomes of calls that a dead process left open: a result each, with what can be known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from agentkit.approvals.asking import not_executed, refusal
from agentkit.errors import SandboxError, ToolError
from agentkit.events import Event, Fact, ToolFinished, ToolStarted, ToolStatus
from agentkit.tool import ToolContext

if TYPE_CHECKING:
    from agentkit.run import Run

NOT_BEGUN = "[not executed: the session was interrupted before it]"


async def settle_open_calls(run: Run, events: Sequence[Event]) -> None:
    """Give each open call a result, so that the history is valid. Nothing is run again.

    A call that had begun is *unknown*. Where its tool knows how to look (``Tool.aftermath``),
    the sandbox is opened now, and the result says what was found; it stays true that way, as
    nothing else has been done in the sandbox since. With no call open this costs nothing. Calls
    of the lane that works which wait for somebody's yes are left as they are: pending.

    Args:
        events: the log so far.
    """
    pending = run.state.waiting_calls(run.lane_name)
    for (lane, call_id), call in list(run.state.open_calls.items()):
        if lane == run.lane_name and pending:
            continue
        begun = run.state.started.get((lane, call_id))
        status: ToolStatus = "cancelled" if begun is None else "unknown"
        text = NOT_BEGUN if begun is None else await _unknown(run, begun, events)
        answer = run.state.approvals.get((lane, call_id))
        if answer is not None and (refused := refusal(answer)) is not None:
            status, text = "refused", not_executed(refused)
        run.on(lane).append(
            ToolFinished(call_id=call_id, tool=call.name, status=status, content=text, writes=True)
        )


async def _unknown(run: Run, begun: ToolStarted, events: Sequence[Event]) -> str:
    text = (
        "The process that ran this session ended during this call. Its outcome is"
        " unknown: it may have had all, some or none of its effects."
    )
    if found := await _look(run, begun, events):
        text += f" {found}"
    return f"[{text} Look before you {'repeat it' if begun.repeatable else 'do it again'}.]"


async def _look(run: Run, begun: ToolStarted, events: Sequence[Event]) -> str:
    """What the tool finds out; "" where there is nothing to look at."""
    tool = run.tools.get(begun.tool)
    if tool is None or tool.aftermath is None or not run.ground.exists:
        return ""
    opened = run.state.opened[begun.lane]
    if opened.in_copy or opened.role == "attempt":
        return ""  # it worked in a copy, which ended with that process
    before = [each for each in events if (each.seq or 0) < (begun.seq or 0)]
    context = ToolContext(
        session_id=run.log.session_id,
        call_id=begun.call_id,
        lane=begun.lane,
        budget=run.budget,
        emit_output=lambda _text: None,
        state={},
        record=lambda _kind, _data: None,
        facts=partial(_facts, before),
        update_plan=lambda _steps: None,
        _sandbox=run.sandbox,
    )
    try:
        return await tool.aftermath(context, begun.arguments)
    except (SandboxError, ToolError) as error:
        return f"What became of it could not be looked at. {error}"


def _facts(events: Sequence[Event], kind: str) -> list[Mapping[str, Any]]:
    """What was known when the call began."""
    return [each.data for each in events if isinstance(each, Fact) and each.kind == kind]
