"""React to evidence: note, consult, retry, re-plan, hand off, move, and come back down.

``react`` is called after each turn. Without evidence it does nothing and asks nobody. The policy
(``policy.decide``) chooses, with the numbers that ``situation`` gathers; this module carries the
choice out. Everything it does is an event, and every reaction names its price, its reason and
the evidence it rests on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from agentkit.errors import LimitReached, ModelError, SandboxError, TaskFailed, UnusableAnswer
from agentkit.escalation import advice, attempts, packets, planning
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
        last_resort: the run would end now, so what is open and can be paid is tried.

    Returns:
        Whether anything was done.

    Raises:
        TaskFailed: nothing is left to try.
    """
    watch = run.state.course.watch(run.lane_name)
    if not watch.fresh and not (last_resort and len(run.ladder.rungs) > 1):
        return False
    report_skipped(run)
    for finding in watch.fresh:
        run.append(
            Evidence(
                kind=finding.kind,
                weight=WEIGHTS[finding.kind],
                sources=finding.sources,
                detail=finding.detail,
                key=finding.key,
            )
        )
    findings = list(watch.open)
    seen = situation(run, findings)
    decision = decide(seen, _urgent(policy_of(run)) if last_resort else policy_of(run))
    if decision.action == "stop" and len(run.ladder.rungs) > 1:
        raise TaskFailed(
            f"the work does not succeed, and {decision.reason}",
            hint="What was tried and what it cost is in the session: agentkit sessions show",
        )
    if decision.action in ("none", "stop"):
        return False
    await _carry_out(run, decision, seen, findings)
    return True


def _urgent(policy: Policy) -> Policy:
    """The same policy where the alternative is to end without success."""
    now = Thresholds(note=0, retry=0, consult=0, replan=0, handoff=0, move=0)
    forms = policy.forms - {"note"}  # words alone have not helped
    return replace(policy, thresholds=now, cool_down=0, forms=forms)


async def _carry_out(
    run: Run, decision: Decision, seen: Situation, findings: Sequence[Finding]
) -> None:
    rung = run.ladder.rungs[decision.rung]
    change = _change(run, decision, seen, findings)
    match decision.action:
        case "note":
            run.append(change)
            run.notes.append(packets.note(findings))
        case "consult":
            await advice.consult(run, rung, change, findings)
        case "re-plan":
            run.append(change)
            await planning.replan(run, rung, findings)
        case "move":
            name = new_name(run, "move")
            run.append(replace(change, to_lane=name))
            open_moved(run, name, rung)
            enter(run, name)
            run.notes.append(packets.note(findings))
        case _:
            await _take_over(run, rung, change, decision, findings)


async def _take_over(
    run: Run, rung: Rung, change: RungChanged, decision: Decision, findings: Sequence[Finding]
) -> None:
    """A hand-off, or a retry on the same rung: a fresh lane with a packet."""
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
    run.append(replace(change, to_lane=name, numbers={**change.numbers, "start": start}))
    open_fresh(run, name, rung, words, role="hand-off" if returns else "main")
    enter(run, name)


def _change(
    run: Run, decision: Decision, seen: Situation, findings: Sequence[Finding]
) -> RungChanged:
    chosen = decision.chosen
    target = seen.targets[decision.rung]
    numbers: dict[str, Any] = {
        "turn": seen.turn,
        "rung": decision.rung,
        "score": round(decision.score, 3),
        "usd": round(chosen.quote.total, 6) if chosen else 0.0,
        "chance": round(chosen.chance, 3) if chosen else 0.0,
        "lane_tokens": seen.lane.tokens,
        "cached_tokens": seen.lane.cached,
        "expected_turns": seen.work.turns,
        "left_usd": None if seen.left_usd is None else round(seen.left_usd, 6),
        "peak": bool(target.price and target.price.peak),
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


def report_skipped(run: Run) -> None:
    """Log each rung that turned out to be served by the same model as this one."""
    here = index_of(run.ladder, run.lane.rung)
    for rung in run.ladder.rungs[here + 1 :]:
        reason = closed(run, rung, here)
        if reason and rung.name not in run.state.course.skipped:
            served = run.state.served.get(rung.model, ("", ""))[0]
            run.append(RungSkipped(rung=rung.name, reason=reason, served_model=served))


async def come_down(run: Run, words: str, *, achieved: bool = True, why: str = "") -> bool:
    """Bring the outcome of a hand-off to the lane that it left; False on any other lane."""
    opened = run.state.opened[run.lane_name]
    if opened.role != "hand-off":
        return False
    cheap = run.on(opened.parent)
    change = next((x for x in reversed(run.state.course.reactions) if x.form == "hand-off"), None)
    start = str(change.numbers.get("start", "")) if change else ""
    name = run.lane.rung.name
    text = await packets.report(run, name, words or "(it says nothing)", start)
    spent = sum(
        account.usd
        for lane, account in run.state.course.accounts.items()
        if lane == run.lane_name or lane == (change.to_lane if change else "")
    )
    run.append(
        RungChanged(
            from_rung=name,
            to_rung=cheap.lane.rung.name,
            form="step-down",
            reason=why or "its checks pass" if achieved else why or "it gave up",
            to_lane=opened.parent,
            numbers={"turn": run.state.course.turn, "usd": round(spent, 6)},
        )
    )
    enter(run, opened.parent)
    run.note(text)
    return True


async def fall_back(run: Run, error: ModelError | LimitReached | UnusableAnswer) -> bool:
    """A rung above cannot be asked: go on below with what there is. False where none is below.

    Money that runs out in mid hand-off may still pay for the cheap lane; a provider that refuses
    the strong model at its first request must not end work that the cheap one can go on with.
    """
    opened = run.state.opened[run.lane_name]
    answered = run.state.course.accounts[run.lane_name].turns
    if isinstance(error, LimitReached):
        if error.limit != "money":
            return False
    elif answered:
        return False
    if opened.role == "hand-off":
        if not isinstance(error, LimitReached):
            run.append(RungSkipped(rung=run.lane.rung.name, reason=str(error)))
        words = packets.last_words(await run.log.events(), run.lane_name)
        return await come_down(run, words, achieved=False, why=str(error))
    if opened.parent and run.state.opened[opened.parent].role in ("main", "hand-off"):
        if isinstance(error, LimitReached) and answered:
            return False
        run.append(RungSkipped(rung=run.lane.rung.name, reason=str(error)))
        back = run.state.opened[opened.parent]
        run.append(
            RungChanged(
                from_rung=run.lane.rung.name,
                to_rung=run.on(back.lane).lane.rung.name,
                form="step-down",
                reason=str(error),
                to_lane=back.lane,
                numbers={"turn": run.state.course.turn, "usd": 0.0},
            )
        )
        enter(run, back.lane)
        return True
    return False


__all__ = ["SandboxError", "come_down", "fall_back", "react", "report_skipped"]
