"""What a session is at this moment: a fold over its events, the same live and after a resume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentkit.escalation.course import Course
from agentkit.events import (
    ApprovalAnswered,
    ApprovalAsked,
    CheckFailed,
    CheckPassed,
    Checkpoint,
    CheckReport,
    Event,
    Fact,
    JsonObject,
    LaneOpened,
    ModelAdvised,
    ModelFailed,
    ModelResponded,
    PlanUpdated,
    Restored,
    RungChanged,
    RunStarted,
    SandboxOpened,
    SessionFinished,
    SessionForked,
    SessionStarted,
    ToolFinished,
    ToolStarted,
)
from agentkit.events.work import is_statement
from agentkit.history import Lane
from agentkit.models.tokens import estimate_tokens, exact_tokens
from agentkit.models.types import ToolCall, Usage

CallKey = tuple[str, str]
"""Lane and id of a call: lanes that work side by side may use the same ids."""


@dataclass(slots=True)
class Checks:
    """The checks of one workspace."""

    last: dict[str, CheckReport] = field(default_factory=dict[str, CheckReport])
    """The last outcome of each."""
    stale: set[str] = field(default_factory=set[str])
    """Those whose outcome is older than the last call that may have changed files."""


@dataclass(slots=True)
class State:
    """Everything derived from the log. Only ``apply`` changes it."""

    lanes: dict[str, Lane] = field(default_factory=dict[str, Lane])
    opened: dict[str, LaneOpened] = field(default_factory=dict[str, LaneOpened])
    current: str = "main"
    """The lane on which work goes on."""
    usage: Usage = field(default_factory=Usage)
    cost_usd: float = 0.0
    priced: bool = True
    turns: int = 0
    answers: int = 0
    """Answers in the log, those before a fork too: how ``sessions show`` counts turns."""
    seconds: float = 0.0
    """Wall clock of the runs that ended."""
    plan: tuple[JsonObject, ...] = ()
    checks: dict[str, CheckReport] = field(default_factory=dict[str, CheckReport])
    """The last outcome of each check."""
    stale: set[str] = field(default_factory=set[str])
    """Checks whose outcome is older than the last call that may have changed files."""
    open_calls: dict[CallKey, ToolCall] = field(default_factory=dict["CallKey", ToolCall])
    """Calls of each lane's last answer that have no result yet, in the model's order."""
    started: dict[CallKey, ToolStarted] = field(default_factory=dict["CallKey", ToolStarted])
    """Of these, the ones that began to run."""
    asked: dict[CallKey, ApprovalAsked] = field(default_factory=dict["CallKey", ApprovalAsked])
    """Of these, the ones for which somebody was asked."""
    approvals: dict[CallKey, ApprovalAnswered] = field(
        default_factory=dict["CallKey", ApprovalAnswered]
    )
    """What was answered, also of calls that have ended."""
    facts: dict[str, list[Mapping[str, Any]]] = field(
        default_factory=dict[str, list[Mapping[str, Any]]]
    )
    session: SessionStarted | None = None
    run: RunStarted | None = None
    finished: SessionFinished | None = None
    """The end of the last run, None while one is open (or was killed)."""
    sandbox: SandboxOpened | None = None
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])
    """The workspace's checkpoints by id, oldest first."""
    last_usage: dict[str, Usage] = field(default_factory=dict[str, Usage])
    """Per lane, the usage of its last answer: the measured length of its history."""
    course: Course = field(default_factory=Course)
    """How the work goes, for the ladder."""
    served: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    """Per model that was asked for, what the provider last said it served: name, fingerprint."""
    size_then: dict[str, int] = field(default_factory=dict[str, int])
    """Per lane, its size in bytes just after that answer entered."""
    _apart: dict[str, Checks] = field(default_factory=dict[str, Checks])
    """Checks of lanes that work in a copy of the workspace."""
    _estimated: tuple[str, int, int] = ("", 0, 0)
    """The last estimate: lane, its size then, tokens."""

    def lane(self, name: str = "") -> Lane:
        """The named lane, or the current one."""
        return self.lanes[name or self.current]

    def apply(self, event: Event) -> None:  # noqa: C901, PLR0912, PLR0915 - a flat case per event
        """Take in one event."""
        if isinstance(event, LaneOpened):
            self._open_lane(event)
        elif event.lane in self.lanes:
            self.lanes[event.lane].take(event)
        match event:
            case SessionStarted():
                self.session = event
            case SessionForked():
                self._forked(event)
            case RunStarted():
                self._begin(event)
            case ModelResponded():
                self._answered(event)
            case ModelFailed() | ModelAdvised():
                self._spend(event)
            case ToolStarted():
                self.started[event.lane, event.call_id] = event
            case ApprovalAsked():
                self.asked[event.lane, event.call_id] = event
                self.approvals.pop((event.lane, event.call_id), None)
            case ApprovalAnswered():
                self.approvals[event.lane, event.call_id] = event
            case ToolFinished():
                self.open_calls.pop((event.lane, event.call_id), None)
                self.started.pop((event.lane, event.call_id), None)
                self.asked.pop((event.lane, event.call_id), None)
                if event.writes:
                    checks = self.checks_of(event.lane)
                    checks.stale.update(checks.last)
            case PlanUpdated():
                self.plan = event.steps
            case RungChanged(form="step-down"):
                self.current = event.to_lane
                self.stale.update(self.checks if event.numbers.get("files") else ())
            case CheckPassed() | CheckFailed():
                self._checked(event)
            case Fact():
                self.facts.setdefault(event.kind, []).append(event.data)
            case SandboxOpened():
                self.sandbox = event
            case Checkpoint():
                self.checkpoints[event.id] = event
                self._looked(event)
            case Restored():
                self.stale.update(self.checks)
            case SessionFinished():
                self.finished = event
                self.seconds += event.duration
            case _:
                pass
        self.course.take(event)

    def _begin(self, event: RunStarted) -> None:
        """A run: what passed before it counts no more."""
        self.run, self.finished = event, None
        self.stale.update(self.checks)

    def _open_lane(self, event: LaneOpened) -> None:
        """A lane begins, empty or with the history of another one."""
        parent = self.lanes[event.replays] if event.replays else None
        lane = self.lanes[event.lane] = Lane(event, parent)
        self.opened[event.lane] = event
        if event.in_copy or event.role == "attempt":
            self._apart[event.lane] = Checks()
        if parent is not None and lane.last_seq == parent.last_seq:
            self._take_over(event, same_head=lane.head == parent.head)
        if event.role in ("main", "hand-off"):
            self.current = event.lane

    def _take_over(self, event: LaneOpened, *, same_head: bool) -> None:
        """A lane that has all of another's history has its open calls and its length."""
        calls = [
            (id, call) for (lane, id), call in self.open_calls.items() if lane == event.replays
        ]
        self.open_calls.update({(event.lane, id): call for id, call in calls})
        for id, _ in calls:
            if (event.replays, id) in self.asked:
                self.asked[event.lane, id] = self.asked[event.replays, id]
            if (event.replays, id) in self.approvals:
                self.approvals[event.lane, id] = self.approvals[event.replays, id]
        if same_head and event.replays in self.last_usage:
            self.last_usage[event.lane] = self.last_usage[event.replays]
            self.size_then[event.lane] = self.size_then[event.replays]

    def _forked(self, event: SessionForked) -> None:
        """What came before was another session's: its history stays, its spending does not.

        An undo goes on with the same work: what was spent on it, also after the point that it
        went back to, stays spent.
        """
        self.usage, self.cost_usd, self.priced = event.usage, event.cost_usd, True
        self.turns, self.seconds = event.turns, event.seconds
        self.finished = None
        self.stale.update(self.checks)
        if event.reason == "fork" and self.sandbox is not None:  # the other's is not ours to use
            self.sandbox = replace(self.sandbox, ref={})

    def _answered(self, event: ModelResponded) -> None:
        self._spend(event)
        self.turns += 1
        self.answers += 1
        self.priced = self.priced and event.priced
        for call in event.calls:
            key = (event.lane, call.id)
            self.open_calls[key] = call
            self.asked.pop(key, None)  # a provider may use an id again: an answer that was given
            self.approvals.pop(key, None)  # to another call says nothing of this one
        self.last_usage[event.lane] = self.lanes[event.lane].counted
        if event.served_model:
            self.served[event.model] = (event.served_model, event.fingerprint)
        self.size_then[event.lane] = self.lanes[event.lane].size

    def _spend(self, event: ModelResponded | ModelFailed | ModelAdvised) -> None:
        self.usage += event.usage
        self.cost_usd += event.cost_usd

    def checks_of(self, lane: str) -> Checks:
        """The checks of the workspace that a lane works in."""
        return self._apart.get(lane) or Checks(self.checks, self.stale)

    def waiting_calls(self, lane: str) -> list[ToolCall]:
        """The lane's open calls, in the model's order, where they wait for somebody's yes.

        Nothing of such an answer was executed: its calls are permitted before any of them begins.
        """
        calls = {key: call for key, call in self.open_calls.items() if key[0] == lane}
        waits = any(key in self.asked for key in calls)
        begun = any(key in self.started for key in calls)
        return list(calls.values()) if waits and not begun else []

    @property
    def questions(self) -> list[ApprovalAsked]:
        """What was asked and not answered, oldest first."""
        return [each for key, each in self.asked.items() if key not in self.approvals]

    def _checked(self, event: CheckPassed | CheckFailed) -> None:
        checks = self.checks_of(event.lane)
        if event.changed:
            checks.stale.update(checks.last)
        passed = isinstance(event, CheckPassed)
        code = 0 if passed else event.exit_code if event.ran else None
        checks.last[event.command] = CheckReport(
            command=event.command, passed=passed, exit_code=code, time=event.time, on=event.on
        )
        checks.stale.discard(event.command)

    def _looked(self, now: Checkpoint) -> None:
        """A statement confirmed on this very tree, in this run, holds: its judge saw no more.

        A command is run again: what it needs may lie outside the tree.
        """
        checks = self.checks_of(now.lane)
        for name in [each for each in checks.stale if is_statement(each)]:
            report = checks.last[name]
            on = self.checkpoints.get(report.on)
            since = (self.run.seq or 0) if self.run is not None else 0
            same = on is not None and now.tree == on.tree != "" and (on.seq or 0) > since
            if report.passed and same:
                checks.stale.discard(name)

    def prompt_tokens(self, lane: str, *, exact: bool = False) -> int:
        """About how many tokens the lane's next request reads.

        What the provider counted last, and an estimate of what came since.

        Args:
            exact: count what came since with the vendor's tokenizer, where it is installed.
        """
        size = self.lanes[lane].size
        if exact or self._estimated[:2] != (lane, size):
            counted = self.last_usage.get(lane, Usage())
            since = self.lanes[lane].since(self.size_then[lane] if counted.prompt_tokens else 0)
            fresh = exact_tokens(since) if exact else None
            if fresh is None:
                fresh = estimate_tokens(since)
            fresh += 0 if counted.prompt_tokens else _unseen(self.opened[lane])
            self._estimated = (lane, size, self.counted_tokens(lane) + fresh)
        return self._estimated[2]

    def counted_tokens(self, lane: str) -> int:
        """The part of ``prompt_tokens`` that the provider has counted."""
        counted = self.last_usage.get(lane, Usage())
        return counted.prompt_tokens + counted.completion_tokens


def _unseen(opened: LaneOpened) -> int:
    """Tokens that DeepSeek puts before a prompt of its own accord.

    31 at the head on V4.1, 84 on V4, and some 215 about tools where there are any (by the
    vendor's encoding, deepseek-recipe 0.2.0).
    """
    return 50 + (215 if opened.tools else 0)


def replay(events: list[Event]) -> State:
    """The state that these events lead to."""
    state = State()
    for event in events:
        state.apply(event)
    return state
