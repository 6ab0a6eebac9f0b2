"""One task under one strategy: the policy of agentkit decides, this file says what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agentkit.escalation import (
    Decision,
    Evidence,
    EvidenceKind,
    Form,
    LaneSize,
    Policy,
    Reaction,
    Situation,
    Target,
    Work,
    decide,
)
from agentkit.escalation.prices import cost, turns_usage
from agentkit.models.types import Usage
from benchmarks.ladder.world import Task, World


@dataclass(frozen=True, slots=True)
class Strategy:
    """Where work starts, and the policy that decides from there on."""

    name: str
    policy: Policy | None = None
    """None: never react."""
    start: int = 0
    rungs: tuple[int, ...] = (0, 1, 2, 3)
    """Rungs that are open."""


@dataclass(slots=True)
class Outcome:
    """What came of one task."""

    solved: bool = False
    false: bool = False
    """Ended as a success that it is not: no check saw the failure."""
    usd: float = 0.0
    turns: int = 0
    reactions: list[tuple[Form, int, bool]] = field(default_factory=list[tuple[Form, int, bool]])
    """Form, rung, and whether it was what mended the work."""


@dataclass(slots=True)
class _Lane:
    rung: int
    tokens: int
    cached: int
    good: bool
    """Whether it would succeed if left alone."""
    pace: float
    """Share of a whole attempt's turns that it needs."""
    failures: int = 0
    by: int = -1
    """Number of the reaction that made it good or opened it; -1 for none."""


class Simulation:
    """One task under one strategy, from a history of some length."""

    def __init__(self, world: World, task: Task, strategy: Strategy, history: int) -> None:
        self._world, self._task, self._strategy = world, task, strategy
        self._targets: Sequence[Target] = [
            each if rung in strategy.rungs else replace(each, closed="not in this ladder")
            for rung, each in enumerate(world.targets())
        ]
        self._evidence: list[Evidence] = []
        self._reactions: list[Reaction] = []
        self._attempts = [0] * len(self._targets)
        self._warm = [0] * len(self._targets)
        self._out = Outcome()
        self._stopped = False
        good = self._fresh(strategy.start, 1.0)
        # all but the new message was read before, in both strategies that start here
        self._lane = _Lane(strategy.start, history + 500, history, good, 1.0)
        self._main = self._lane

    def run(self) -> Outcome:
        """Work until the task is solved or given up."""
        while self._out.turns < self._world.max_turns:
            lane, world = self._lane, self._world
            luck = self._task.luck(10, lane.rung, self._attempts[lane.rung])
            length = max(3, round(self._task.length * lane.pace))
            if lane.good:
                if not self._reach_success(lane, length, luck.random(), luck.random()):
                    continue  # a reaction opened another lane on the way
                self._out.solved = True
                self._settle()
                return self._out
            if lane.failures == 0 and luck.random() < world.silent:
                self._turns(length)
                self._out.false = True
                return self._out
            if not self._fail(length if lane.failures == 0 else world.cycle):
                return self._out
        return self._out

    def _reach_success(self, lane: _Lane, length: int, stumble: float, noise: float) -> bool:
        """Turns of a lane that succeeds; False where a reaction left it before."""
        if lane.failures:
            self._turns(self._world.cycle)
            return True
        if noise < self._world.noise:
            self._turns(length // 2)
            self._show("call-repeated")
            self._show("edit-not-applied")
            if not self._react(lane):
                return False
            length -= length // 2
        self._turns(length)
        if stumble < self._world.stumbles:
            self._show("check-failed")
            if not self._react(lane):
                return False
            self._turns(self._world.cycle)
        return True

    def _fail(self, turns: int) -> bool:
        """Turns of a lane that fails, up to its next evidence; False where the work ends."""
        lane, world = self._lane, self._world
        self._turns(turns)
        lane.failures += 1
        luck = self._task.luck(20, lane.rung, self._attempts[lane.rung], lane.failures)
        wanders = self._task.luck(30, lane.rung, self._attempts[lane.rung]).random()
        if wanders < world.wanders and lane.failures % 3:
            self._show("no-progress")
        else:
            same = lane.failures > 1 and luck.random() < world.same_way
            self._show("check-failed-again" if same else "check-failed")
        before = len(self._reactions)
        self._react(lane)
        if self._lane is not lane or lane.good:
            return True
        if len(self._reactions) == before and lane.failures >= world.patience:
            return False
        noted = self._reactions and self._reactions[-1].form == "note"
        chance = (world.repair + (world.note if noted else 0)) * world.fade ** (lane.failures - 1)
        lane.good = luck.random() < chance * self._task.chances[lane.rung]
        return not self._stopped

    def _show(self, kind: EvidenceKind) -> None:
        self._evidence.append(Evidence(kind, self._out.turns))

    def _react(self, lane: _Lane) -> bool:
        """Ask the policy and do what it says; False where work goes on on another lane."""
        policy = self._strategy.policy
        if policy is None:
            return True
        decision = decide(self._situation(lane), policy)
        self._stopped = decision.action == "stop"
        if decision.action in ("none", "stop"):
            return True
        self._apply(decision, policy)
        return self._lane is lane

    def _situation(self, lane: _Lane) -> Situation:
        return Situation(
            turn=self._out.turns,
            rung=lane.rung,
            targets=tuple(self._targets),
            lane=LaneSize(lane.tokens, lane.cached, head=min(3_000, lane.tokens)),
            evidence=tuple(self._evidence),
            reactions=tuple(self._reactions),
            work=self._world.work(),
            left_usd=5.0 - self._out.usd,
            left_turns=self._world.max_turns - self._out.turns,
        )

    def _apply(self, decision: Decision, policy: Policy) -> None:
        form, rung, world = decision.action, decision.rung, self._world
        assert form not in ("none", "stop")
        number = len(self._reactions)
        before = self._out.usd
        target, sizes, lane = self._targets[rung], policy.sizes, self._lane
        luck = self._task.luck(40, number, rung).random()
        chance = self._task.chances[rung]
        if form == "note":
            lane.tokens += sizes.note
        elif form in ("consult", "re-plan"):
            self._ask(form, rung, policy)
            gain = world.advice if form == "consult" else world.plan
            if not lane.good and luck < gain * chance:
                lane.good, lane.by = True, number
        else:
            factor, pace = (world.moved, 0.4) if form == "move" else (1.0, world.head_start)
            tokens = lane.tokens if form == "move" else target.head + sizes.packet
            warm = 0 if form == "move" else self._warm[rung]
            good = self._fresh(rung, factor)
            if form == "retry":
                warm = target.head
            self._warm[rung] = target.head
            self._lane = _Lane(rung, tokens, warm, good, pace, by=number)
            if form != "hand-off":  # nothing comes back from there
                self._main = self._lane
        spent = self._out.usd - before
        self._reactions.append(Reaction(form, rung, self._out.turns, spent))
        self._out.reactions.append((form, rung, False))

    def _ask(self, form: Form, rung: int, policy: Policy) -> None:
        """The question or the reading for a plan, paid at once."""
        target, sizes, lane = self._targets[rung], policy.sizes, self._lane
        if form == "consult":
            asked = Usage(
                miss_tokens=sizes.question,
                completion_tokens=round(sizes.answer * target.words),
            )
            lane.tokens += sizes.advice
            self._out.turns += 1
        else:
            fresh = LaneSize(target.head + sizes.packet, self._warm[rung])
            asked = turns_usage(fresh, replace(self._pace(rung), turns=sizes.plan_turns))
            lane.tokens += sizes.plan
            self._warm[rung] = target.head
            self._out.turns += sizes.plan_turns
        self._out.usd += cost(target.price, asked)

    def _fresh(self, rung: int, factor: float) -> bool:
        """Whether the next fresh attempt on this rung would succeed."""
        attempt = self._attempts[rung]
        self._attempts[rung] += 1
        return self._task.luck(50, rung, attempt).random() < factor * self._task.chances[rung]

    def _pace(self, rung: int) -> Work:
        work = self._world.work()
        return replace(work, output=round(work.output * self._targets[rung].words))

    def _turns(self, count: int) -> None:
        """Work so many turns on the lane."""
        lane = self._lane
        work = replace(self._pace(lane.rung), turns=count)
        usage = turns_usage(LaneSize(lane.tokens, lane.cached), work)
        self._out.usd += cost(self._targets[lane.rung].price, usage)
        self._out.turns += count
        grows = work.added + work.output
        lane.cached = lane.tokens + (count - 1) * grows
        lane.tokens += count * grows

    def _settle(self) -> None:
        """Credit the reaction that mended the work; step down from a hand-off and finish."""
        lane = self._lane
        if lane.by >= 0:
            form, rung, _ = self._out.reactions[lane.by]
            self._out.reactions[lane.by] = form, rung, True
            policy = self._strategy.policy
            if form == "hand-off" and policy is not None:
                self._lane = self._main
                self._main.tokens += policy.sizes.report
                self._turns(policy.sizes.finish_turns)
