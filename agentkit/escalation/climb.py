"""React to evidence: note, consult, retry, re-plan, hand off, move. ``descent`` is the way back.

``react`` is called after each turn. Without evidence it does nothing and asks nobody. The policy
(``policy.decide``) chooses, with the numbers that ``situation`` gathers; this module carries the
choice out. Everything it does is an event, and every reaction names its price, its reason and
the evidence it rests on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from agentkit.checks import passes, required
from agentkit.errors import TaskFailed
from agentkit.escalation import packets
from agentkit.escalation.evidence import Finding
from agentkit.escalation.home import back_to_best, mark
from agentkit.escalation.lanes import enter, new_name, open_fresh, open_moved
from agentkit.escalation.policy import WEIGHTS, Decision, Policy, Situation, Thresholds, decide
from agentkit.escalation.situation import closed, index_of, policy_of, situation
from agentkit.events import Evidence, Form, RungChanged, RungSkipped

if TYPE_CHECKING:
    from agentkit.ladder import Rung
    from agentkit.run import Run


async def react(run: Run, *, last_resort: bool = False) -> bool:
    """Log what newly speaks against the work, and do what the policy says.

    Args:
        last_resort: the run would end now, so whatever is open and can be paid is tried.

    Returns:
        Whether anything was done.

    Raises:
        TaskFailed: nothing is left to try.
    """
    watch = run.state.course.watch(run.lane_name)
    climbs = run.depth == 0 and len(run.ladder.rungs) > 1
    if not watch.fresh and not last_resort:
        return False
    log_findings(run)
    if run.depth or (last_resort and not climbs):
        return False
    if climbs:
        _log_skipped(run)
    policy = _urgent(policy_of(run)) if last_resort else policy_of(run)
    seen = situation(run, watch.open)
    decision = decide(seen, policy)
    if decision.action == "stop" and climbs:
        failing = [check for check in required(run) if not passes(run, check)]
        what = f"required checks still fail: {', '.join(failing)}" if failing else "it got stuck"
        raise TaskFailed(
            what,
            tried=decision.reason,
            hint="`agentkit sessions show` tells each step and what it cost",
        )
    if decision.action in ("none", "stop"):
        return False
    return await _carry_out(run, decision, seen, list(watch.open))


def log_findings(run: Run) -> None:
    """An ``evidence`` event for each finding that has none yet."""
    for finding in run.state.course.watch(run.lane_name).fresh:
        run.append(
            Evidence(
                kind=finding.kind,
                weight=WEIGHTS[finding.kind],
                sources=finding.sources,
                detail=finding.detail,
                key=finding.key,
            )
        )


def _urgent(policy: Policy) -> Policy:
    """The same policy where the alternative is to end without success."""
    now = Thresholds(note=0, retry=0, consult=0, replan=0, handoff=0, move=0)
    forms = policy.forms - {"note"}  # words alone have not helped
    return replace(policy, thresholds=now, cool_down=0, forms=forms)


async def _carry_out(
    run: Run, decision: Decision, seen: Situation, findings: Sequence[Finding]
) -> bool:
    """Do it, unless the caller's hook refuses."""
    # Those two make requests of their own, so they stand above this module.
    from agentkit.escalation.advice import consult
    from agentkit.escalation.planning import replan

    rung = run.ladder.rungs[decision.rung]
    change = change_of(run, decision, seen, findings)
    if run.hooks.on_escalate is not None:
        refused = await run.hooks.on_escalate(change)
        if refused is not None:
            run.append(RungSkipped(rung=rung.name, reason=f"refused: {refused.reason}"))
            return False
    match decision.action:
        case "note":
            run.append(change)
            run.notes.append(packets.note(findings))
        case "consult":
            await consult(run, rung, change, findings)
        case "re-plan":
            run.append(change)
            await replan(run, rung, findings)
        case "move":
            name = new_name(run, "move")
            start = await mark(run, "before move")
            run.append(_to(change, name, start))
            open_moved(run, name, rung)
            enter(run, name)
            run.notes.append(packets.note(findings))
        case _:
            await _take_over(run, rung, change, decision, findings)
    return True


async def _take_over(
    run: Run, rung: Rung, change: RungChanged, decision: Decision, findings: Sequence[Finding]
) -> None:
    """A hand-off, or a retry on the same rung: a fresh lane with a packet."""
    from agentkit.escalation import attempts

    returns = decision.action == "hand-off"
    failed = await back_to_best(run) if decision.rollback else None
    words = await packets.for_hand_off(
        run, findings, failed_diff=failed.diff if failed else "", returns=returns
    )
    change = replace(change, back_to=failed.checkpoint if failed else "")
    if returns and run.attempts > 1 and await attempts.hand_off(run, rung, change, words):
        return
    name = new_name(run, decision.action)
    start = await mark(run, f"before {decision.action}")
    run.append(_to(change, name, start))
    open_fresh(run, name, rung, words, role="hand-off" if returns else "main")
    enter(run, name)


def _to(change: RungChanged, lane: str, start: str) -> RungChanged:
    """The reaction with the lane that it opens, and the checkpoint at which that begins."""
    return replace(change, to_lane=lane, numbers={**change.numbers, "start": start})


def change_of(
    run: Run, decision: Decision, seen: Situation, findings: Sequence[Finding]
) -> RungChanged:
    """The event that tells of a reaction, with what it was decided from."""
    chosen = decision.chosen
    price = seen.targets[decision.rung].price
    numbers: dict[str, Any] = {
        "turn": seen.turn,
        "rung": decision.rung,
        "score": round(decision.score, 3),
        "usd": round(chosen.quote.total, 6) if chosen else 0.0,
        "chance": round(chosen.chance, 3) if chosen else 0.0,
        "lane_tokens": seen.lane.tokens,
        "cached_tokens": seen.lane.cached,
        "expected_turns": seen.work.turns,
        "checks": sorted({each.key for each in findings if each.kind in packets.OF_CHECKS}),
        "left_usd": None if seen.left_usd is None else round(seen.left_usd, 6),
        "peak": price is not None and price.peak,
    }
    return RungChanged(
        from_rung=run.lane.rung.name,
        to_rung=run.ladder.rungs[decision.rung].name,
        form=cast("Form", decision.action),
        reason=decision.reason,
        to_lane=run.lane_name,
        prices=decision.prices,
        numbers=numbers,
        evidence=tuple(each.logged for each in findings if each.logged),
    )


def _log_skipped(run: Run) -> None:
    """Report each rung above that turned out to be served by the same model as this one."""
    here = index_of(run.ladder, run.lane.rung)
    for rung in run.ladder.rungs[here + 1 :]:
        reason = closed(run, rung, here)
        if reason and rung.name not in run.state.course.skipped:
            served = run.state.served.get(rung.model, ("", ""))[0]
            run.append(RungSkipped(rung=rung.name, reason=reason, served_model=served))
