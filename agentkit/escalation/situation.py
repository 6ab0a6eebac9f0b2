"""What the policy needs to know, gathered from a run: real token counts, prices of this hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agentkit.escalation.evidence import Finding
from agentkit.escalation.policy import WEIGHTS, Evidence, Policy, Reaction, Situation
from agentkit.escalation.prices import LaneSize, Target, Work
from agentkit.ladder import Ladder, Rung
from agentkit.models.tokens import estimate_tokens

if TYPE_CHECKING:
    from agentkit.run import Run


def policy_of(run: Run) -> Policy:
    """The ladder's policy, or the default one."""
    return run.ladder.policy or Policy()


def index_of(ladder: Ladder, rung: Rung) -> int:
    """The place of a rung in the ladder; after a resume with another ladder, the nearest."""
    if rung in ladder.rungs:
        return ladder.rungs.index(rung)
    names = [each.name for each in ladder.rungs]
    return names.index(rung.name) if rung.name in names else 0


def situation(run: Run, findings: Sequence[Finding]) -> Situation:
    """Everything that is known when the question comes up."""
    state, course = run.state, run.state.course
    limits = run.budget.limits
    here = index_of(run.ladder, run.lane.rung)
    size = lane_size(run, run.lane_name)
    return Situation(
        turn=course.turn,
        rung=here,
        targets=targets(run, here, size),
        lane=size,
        evidence=tuple(
            Evidence(each.kind, each.turn, WEIGHTS[each.kind], each.sources) for each in findings
        ),
        reactions=tuple(_reactions(run)),
        work=work(run, run.lane_name, size),
        left_usd=None if limits.cost_usd is None else limits.cost_usd - state.cost_usd,
        left_turns=None if limits.turns is None else limits.turns - state.turns,
        worse=course.is_worse,
    )


def lane_size(run: Run, lane: str) -> LaneSize:
    """How long the lane's next request is, and how much of it the provider has read before."""
    history = run.state.lanes[lane]
    used = run.state.last_usage.get(lane)
    tokens = run.state.prompt_tokens(lane)
    cached = min(tokens, used.prompt_tokens) if used else 0
    return LaneSize(tokens, cached, estimate_tokens(history.head))


def work(run: Run, lane: str, size: LaneSize) -> Work:
    """The turns to come, as long as those that the lane has had."""
    account = run.state.course.accounts[lane]
    return Work.seen(account.turns, max(0, size.tokens - size.head), account.written)


def targets(run: Run, here: int, size: LaneSize) -> tuple[Target, ...]:
    """All rungs as places to go, at this hour's prices."""
    now = datetime.now(UTC)
    roles = run.state.course.roles
    entered = {
        lane.rung.name
        for name, lane in run.state.lanes.items()
        if roles[name] in ("main", "hand-off", "attempt")  # they share their head
    }
    return tuple(
        Target.of(
            rung,
            run.catalogue,
            now,
            head=size.head,
            warm=size.head if rung.name in entered else 0,
            closed="" if number == here else closed(run, rung, here),
        )
        for number, rung in enumerate(run.ladder.rungs)
    )


def closed(run: Run, rung: Rung, here: int) -> str:
    """Why a rung cannot be climbed to; "" where it can."""
    known = run.state.course.skipped.get(rung.name)
    if known:
        return known
    lower = run.ladder.rungs[here]
    same = (rung.thinking, rung.effort) == (lower.thinking, lower.effort)
    served, here_served = served_as(run, rung), served_as(run, lower)
    if same and served and served == here_served:
        return f"served by the same model as {lower.name}: {served}"
    return ""


def served_as(run: Run, rung: Rung) -> str:
    """What the provider says it serves on a rung; before the first answer, the name asked for."""
    served = run.state.served.get(rung.model)
    return served[0] if served else run.catalogue.model(rung.model).name


def _reactions(run: Run) -> list[Reaction]:
    return [
        Reaction(
            each.form,
            int(each.numbers.get("rung", 0)),
            int(each.numbers.get("turn", 0)),
            float(each.numbers.get("usd", 0.0)),
        )
        for each in run.state.course.reactions
        if each.form != "step-down"
    ]
