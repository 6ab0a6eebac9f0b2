"""Consult: one question to a stronger rung, from a short packet, without tools.

The adviser's lane is kept: a second question on the same rung is appended to it, so it is read
warm and the adviser knows what it said before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from agentkit.errors import LimitReached, ModelError, UnusableAnswer
from agentkit.escalation import packets
from agentkit.escalation.climb import change_of
from agentkit.escalation.evidence import Finding
from agentkit.escalation.lanes import open_apart, refuse_calls
from agentkit.escalation.policy import decide
from agentkit.escalation.situation import policy_of, situation
from agentkit.events import Message, RungChanged, RungSkipped
from agentkit.request import ask
from agentkit.tool import ToolResult

if TYPE_CHECKING:
    from agentkit.ladder import Rung
    from agentkit.run import Run

MAX_TOKENS = 16_384
"""Of an answer, reasoning included."""
ADVICE = 6_000
"""Characters of advice that come back."""

ADVISER = """\
You advise an engineer who is stuck. You get the task, what was tried, what speaks against it, and \
excerpts. You have no tools, and your answer is all they get. Say what is most likely wrong and \
how to make sure of it, then what to do, step by step, with the exact names, commands and code \
that matter. Be brief; say what you do not know. If the task or a check cannot be fulfilled, say \
so and why."""


async def answer_question(run: Run, question: str) -> ToolResult:
    """The model asks by itself: granted where the policy would consult, refused with the reason."""
    course = run.state.course
    if run.depth or len(run.ladder.rungs) == 1:
        return ToolResult("There is nobody stronger to ask. Go on by yourself.", ok=False)
    asked = Finding("help-asked", "help", course.turn + 1, (), question[:200])
    findings = [*course.watch(run.lane_name).open, asked]
    policy = replace(policy_of(run), forms=frozenset({"consult"}), cool_down=0)
    seen = situation(run, findings)
    decision = decide(seen, policy)
    if decision.action != "consult":
        why = next((each.refused for each in decision.offers if each.refused), decision.reason)
        return ToolResult(f"No advice this time ({why}). Go on by yourself.", ok=False)
    rung = run.ladder.rungs[decision.rung]
    words = await consult(run, rung, change_of(run, decision, seen, findings), findings, question)
    if not words:
        return ToolResult(f"{rung.name} could not be asked. Go on by yourself.", ok=False)
    return ToolResult(f"{rung.name} says:\n{words}", data={"evidence": "help-asked"})


async def consult(
    run: Run, rung: Rung, change: RungChanged, findings: Sequence[Finding], question: str = ""
) -> str:
    """Ask, and append the answer where the work goes on.

    Args:
        question: the model's own; the answer is then only returned, for the result of its call.

    Returns:
        The advice; "" where the rung could not be asked, which is passed over from then on.
    """
    lane = f"consult-{change.numbers.get('rung', 0)}"
    short = replace(rung, max_tokens=min(rung.max_tokens, MAX_TOKENS))
    packet = await packets.for_advice(run, findings, question)
    run.append(replace(change, to_lane=lane))
    adviser = open_apart(run, lane, short, ADVISER, role="consult")
    refuse_calls(adviser)
    adviser.append(Message(text=packet, source="agentkit"))
    try:
        answer = await ask(adviser)
    except LimitReached:
        return ""  # the next request of the work itself says so, if it is hit too
    except (ModelError, UnusableAnswer) as error:
        run.append(RungSkipped(rung=rung.name, reason=str(error)))
        return ""
    words = packets.clip(answer.content.strip(), ADVICE)
    if words and not question:
        run.notes.append(
            f"[Advice from {rung.name}, which was asked because of:\n{packets.told(findings)}\n"
            f"It has seen excerpts only; check before you rely on it.]\n\n{words}"
        )
    return words
