"""How the work goes, as a ladder sees it: a fold over all lanes of a session.

What speaks against each lane (``evidence``), what was done about it in this task, which rungs are
passed over, what each lane cost, and on which state of the workspace most checks passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agentkit.escalation.evidence import Watch
from agentkit.events import (
    CheckFailed,
    CheckPassed,
    Checkpoint,
    Event,
    LaneOpened,
    LaneRole,
    Message,
    ModelAdvised,
    ModelFailed,
    ModelResponded,
    RungChanged,
    RungSkipped,
)

WORKS: tuple[LaneRole, ...] = ("main", "hand-off")
"""Lanes on which the task itself is worked on, one at a time."""


@dataclass(slots=True)
class Account:
    """What one lane took."""

    turns: int = 0
    written: int = 0
    """Tokens that the model wrote, reasoning included."""
    usd: float = 0.0


@dataclass(slots=True)
class Course:
    """Only ``take`` changes it."""

    turn: int = 0
    """Answers of the lanes on which the task is worked on."""
    watches: dict[str, Watch] = field(default_factory=dict[str, Watch])
    accounts: dict[str, Account] = field(default_factory=dict[str, Account])
    roles: dict[str, LaneRole] = field(default_factory=dict[str, LaneRole])
    copies: set[str] = field(default_factory=set[str])
    """Lanes that work in a copy of the workspace."""
    reactions: list[RungChanged] = field(default_factory=list[RungChanged])
    """What was done about evidence in this task, in its order."""
    skipped: dict[str, str] = field(default_factory=dict[str, str])
    """Rungs that are passed over, and why."""
    settled: set[str] = field(default_factory=set[str])
    """Lanes from which work does not go back any more."""
    outcomes: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])
    """Per state of the workspace (its tree) on which checks ran, the newest last: which passed."""
    _trees: dict[str, str] = field(default_factory=dict[str, str])
    """Of each checkpoint."""

    def take(self, event: Event) -> None:
        """Take in one event of any lane."""
        if isinstance(event, LaneOpened):
            self._open(event)
            return
        if isinstance(event, Checkpoint):
            self._trees[event.id] = event.tree
        watch = self.watches.get(event.lane)
        if watch is None:
            return
        watch.take(event, self.turn)
        match event:
            case ModelResponded():
                self._spent(event, turns=1)
                self.turn += self.roles[event.lane] in WORKS
            case ModelFailed() | ModelAdvised():
                self._spent(event)
            case RungChanged(form="step-down"):
                self._came_down(event)
            case RungChanged():
                self.reactions.append(event)
            case RungSkipped():
                self.skipped[event.rung] = event.reason
            case CheckPassed() | CheckFailed() if event.lane not in self.copies:
                self._checked(event)
            case Message(source="user"):
                self._new_task()
            case _:
                pass

    def watch(self, lane: str) -> Watch:
        """What speaks against a lane's work."""
        return self.watches[lane]

    def best(self) -> tuple[str, int]:
        """The checkpoint on which most checks passed, the last of several, and how many."""
        tree, most = self._best()
        ids = {tree: name for name, tree in self._trees.items()}
        return ids.get(tree, ""), most

    @property
    def is_worse(self) -> bool:
        """Whether a check that passed on the best state failed since, and fewer pass now."""
        last = next(reversed(self.outcomes), "")
        return bool(last) and self._is_worse(last)

    def should_go_home(self, checkpoint: str) -> bool:
        """Whether the best state is better than that one, or that one was not looked at whole."""
        best, _ = self._best()
        tree = self._trees.get(checkpoint, "")
        if not best or not tree or tree == best:
            return False
        known = self.outcomes.get(tree, {})
        return self._is_worse(tree) or any(
            passed and check not in known for check, passed in self.outcomes[best].items()
        )

    def _best(self) -> tuple[str, int]:
        found, most = "", 0
        for tree, outcomes in self.outcomes.items():
            passed = sum(outcomes.values())
            if passed and passed >= most:
                found, most = tree, passed
        return found, most

    def _is_worse(self, tree: str) -> bool:
        best, most = self._best()
        known = self.outcomes.get(tree, {})
        lost = any(
            passed and known.get(check) is False
            for check, passed in self.outcomes.get(best, {}).items()
        )
        return lost and sum(known.values()) < most

    def _open(self, event: LaneOpened) -> None:
        self.watches[event.lane] = Watch()
        self.accounts[event.lane] = Account()
        self.roles[event.lane] = event.role
        if event.in_copy or event.role == "attempt":
            self.copies.add(event.lane)

    def _spent(self, event: ModelResponded | ModelFailed | ModelAdvised, turns: int = 0) -> None:
        account = self.accounts[event.lane]
        account.turns += turns
        account.written += event.usage.completion_tokens
        account.usd += event.cost_usd

    def _checked(self, event: CheckPassed | CheckFailed) -> None:
        passed = isinstance(event, CheckPassed)
        tree = self._trees.get(event.on)
        if tree:
            known = self.outcomes.pop(tree, {})  # put last: it is the newest
            self.outcomes[tree] = {**known, event.command: passed}
        if passed:  # whoever made it pass: it speaks against nobody any more
            for lane, watch in self.watches.items():
                if lane != event.lane:
                    watch.take(event, self.turn)

    def _came_down(self, event: RungChanged) -> None:
        if event.to_lane == event.lane:
            self.settled.add(event.lane)
        if event.numbers.get("won", True):
            self.watches[event.to_lane].restart()

    def _new_task(self) -> None:
        """A new message of the user: what went wrong with the last one is over."""
        self.reactions.clear()
        self.outcomes.clear()
        for watch in self.watches.values():
            watch.restart()
