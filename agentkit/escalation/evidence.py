"""What speaks against the work, found in events alone: a fold over one lane.

Nothing here reads a text for its meaning: output that holds the word "error" is no evidence. What
counts is what happened: a check that we ran exited with another code than 0, a call was made
again and gave the same, an edit was not applied. Each finding names the events it rests on, and
is taken away by progress *of its own kind*: a failed check by that check passing, an edit that
did not apply by one that does, standing still by a changed file, plan or check.

Pure: no I/O, no clock. The same events give the same findings, live and after a resume.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace

from agentkit.events import (
    CheckFailed,
    CheckPassed,
    Checkpoint,
    Event,
    Evidence,
    EvidenceKind,
    LimitNear,
    ModelFailed,
    ModelResponded,
    PlanUpdated,
    ToolFinished,
    ToolStarted,
)

INVALID_IN_ROW = 3
"""Calls in a row that could not be executed; one is a slip."""
STALLED = 15
"""Turns without a changed file, plan or check. Reading into a large task takes a dozen."""
_MOST_SOURCES = 10

_VOLATILE = re.compile(r"0x[0-9a-fA-F]+|/tmp/\S+|\d+(?:[.:,]\d+)*")
"""What differs between two runs that fail in the same way: addresses, times, counts, folders."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that went wrong and was not made good since."""

    kind: EvidenceKind
    key: str
    """What it is about; progress there takes it away."""
    turn: int
    """The session's answer after which it was seen."""
    sources: tuple[int, ...]
    detail: str = ""
    logged: int = 0
    """``seq`` of the ``evidence`` event that tells of it; 0 before there is one."""


@dataclass(slots=True)
class Watch:
    """Everything against one lane's work. Only ``take`` changes it."""

    open: list[Finding] = field(default_factory=list[Finding])
    idle: int = 0
    """Answers since a file, the plan or a check changed, as far as events tell."""
    unsure: bool = False
    """Calls since then may have changed files, and no checkpoint tells whether they did."""
    _answers: list[int] = field(default_factory=list[int])
    """``seq`` of the idle answers."""
    _begun: dict[str, str] = field(default_factory=dict[str, str])
    """Of calls under way: what was asked for."""
    _results: dict[str, tuple[str, int, int]] = field(
        default_factory=dict[str, tuple[str, int, int]]
    )
    """Per call since the last change: its result, where that was, and its number."""
    _calls: int = 0
    _novel: int = 0
    """Number of the last call that was new and may have changed something."""
    _invalid: list[int] = field(default_factory=list[int])
    _failures: dict[str, str] = field(default_factory=dict[str, str])
    """Per check, how it failed last."""
    _versions: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Per file, the versions that this lane's edits went through."""
    _plan: str = ""
    _tree: str = ""
    _turn: int = 0

    def take(self, event: Event, turn: int = 0) -> None:
        """Take in one event of this lane.

        Args:
            turn: the session's answers so far.
        """
        self._turn = turn
        match event:
            case ModelResponded():
                self._answered(event)
            case ModelFailed(error="AnswerCut"):
                self._find("output-cut", "answer", event, event.message)
            case ToolStarted():
                self._begun[event.call_id] = _signature(event)
            case ToolFinished():
                self._called(event)
            case CheckPassed():
                self._failures.pop(event.command, None)
                self._clear("check-failed", "check-failed-again", key=event.command)
                self._clear("check-cannot-run", key=event.command)
                self._moved()
            case CheckFailed():
                self._check_failed(event)
            case PlanUpdated():
                plan = json.dumps(event.steps, sort_keys=True)
                if plan != self._plan:
                    self._plan = plan
                    self._moved()
            case Checkpoint() if event.tree:
                self._looked(event.tree)
            case LimitNear():
                self._find("limit-near", event.limit, event, f"{event.used:g} of {event.allowed:g}")
            case Evidence():
                self._logged(event)
            case _:
                pass

    @property
    def fresh(self) -> list[Finding]:
        """Findings that no ``evidence`` event tells of yet."""
        return [each for each in self.open if not each.logged]

    def _find(
        self, kind: EvidenceKind, key: str, event: Event, detail: str = "", *more: int
    ) -> None:
        sources = (*more, event.seq or 0)[-_MOST_SOURCES:]
        self.open.append(Finding(kind, key, self._turn, sources, detail))

    def _clear(self, *kinds: EvidenceKind, key: str | None = None) -> None:
        if self.open:
            gone = set(kinds)
            self.open = [
                each for each in self.open if each.kind not in gone or key not in (None, each.key)
            ]

    def _logged(self, event: Evidence) -> None:
        for number, each in enumerate(self.open):
            if (each.kind, each.key, each.sources) == (event.kind, event.key, event.sources):
                self.open[number] = replace(each, logged=event.seq or 0)

    def restart(self) -> None:
        """Begin anew: what went wrong until now is over."""
        self.open.clear()
        self._failures.clear()
        self._results.clear()
        self._invalid.clear()
        self._moved()

    def _moved(self) -> None:
        """Real progress: a file, the plan or a check changed."""
        self.idle, self.unsure = 0, False
        self._answers.clear()
        self._clear("no-progress")

    def _answered(self, event: ModelResponded) -> None:
        self._turn += 1
        self.idle += 1
        self._answers.append(event.seq or 0)
        if not event.calls and not event.content.strip():
            self._find("answer-empty", "answer", event)
        elif event.finish_reason == "length":
            self._find("output-cut", "answer", event, "the answer was cut at its limit")
        else:
            self._clear("answer-empty", "output-cut")
        if self.idle % STALLED == 0 and not self.unsure:
            detail = f"{self.idle} turns without a changed file, plan or check"
            self._find("no-progress", "work", event, detail, *self._answers[:-1])

    def _looked(self, tree: str) -> None:
        """The workspace was looked at, so now it is known whether files changed."""
        if tree != self._tree and self._tree:
            self._moved()
        self._tree, self.unsure = tree, False

    def _called(self, event: ToolFinished) -> None:
        asked = self._begun.pop(event.call_id, "")
        if event.status == "invalid":
            self._invalid.append(event.seq or 0)
            if len(self._invalid) % INVALID_IN_ROW == 0:
                detail = f"{len(self._invalid)} calls in a row could not be executed"
                self._find("calls-invalid", "calls", event, detail, *self._invalid[:-1])
            return
        self._invalid.clear()
        self._clear("calls-invalid")
        path = str(event.data.get("path", ""))
        match event.data.get("evidence"):
            case "edit-not-applied":
                self._find("edit-not-applied", path, event, path)
            case "help-asked":
                self._find("help-asked", "help", event, event.content[:200])
            case _:
                if event.status == "done" and event.data.get("after"):
                    self._edited(event, path)
                elif asked and not event.data.get("checks_failed"):  # that is evidence already
                    self._compare(event, asked)

    def _edited(self, event: ToolFinished, path: str) -> None:
        self._clear("edit-not-applied", key=path)
        self._clear("call-repeated")
        self._results.clear()
        self._moved()
        before, after = str(event.data.get("before", "")), str(event.data["after"])
        versions = self._versions.setdefault(path, [before])
        if after in versions[:-1]:
            self._find("patch-reverted", path, event, f"{path} is back at an earlier version")
        versions.append(after)

    def _compare(self, event: ToolFinished, asked: str) -> None:
        """The same call with the same result, and nothing new in between, is a repetition."""
        self._calls += 1
        result, seq = _digest(event.content), event.seq or 0
        known, before, number = self._results.get(asked, ("", 0, 0))
        self._results[asked] = (result, seq, self._calls)
        if known != result:
            self._clear("call-repeated")
            if event.writes:
                self.unsure, self._novel = True, self._calls
        elif number >= self._novel:
            detail = f"{event.tool} was called again without a change, and gave the same"
            self._find("call-repeated", asked, event, detail, before)

    def _check_failed(self, event: CheckFailed) -> None:
        if not event.ran:
            self._clear("check-cannot-run", key=event.command)
            self._find("check-cannot-run", event.command, event, event.command)
            return
        how = fingerprint(event)
        again = self._failures.get(event.command) == how
        if not again:
            self._moved()  # another failure is no success, but no standstill either
        self._failures[event.command] = how
        kind: EvidenceKind = "check-failed-again" if again else "check-failed"
        self._find(kind, event.command, event, f"{event.command} (exit code {event.exit_code})")


def fingerprint(failed: CheckFailed) -> str:
    """How a check failed, apart from what differs between any two runs."""
    return _digest(f"{failed.exit_code}\n{_VOLATILE.sub('#', failed.output)}")


def _signature(event: ToolStarted) -> str:
    return _digest(f"{event.tool} {json.dumps(event.arguments, sort_keys=True)}")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
