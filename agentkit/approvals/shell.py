"""What a shell command could do: how bad, why, and all simple commands that it consists of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.approvals import wrappers
from agentkit.approvals.dangers import CODE, changes, danger, is_outside
from agentkit.approvals.readers import only_reads, plain_name
from agentkit.approvals.secrets import is_network, may_hold_secrets
from agentkit.approvals.syntax import HARMLESS, Simple, Word, parse
from agentkit.approvals.visible import hidden, visible
from agentkit.events.tools import Risk

MOST_NESTING = 8
"""Shells within shells that are looked into."""
MOST_REASONS = 12


@dataclass(frozen=True, slots=True)
class Part:
    """A simple command of the whole, with what is known of it."""

    simple: Simple
    reads: bool
    """It provably only reads."""
    covers: bool = False
    """All that it does is done by the commands that it runs, which are parts of their own."""
    plain: bool = True
    """It is what it looks like: no variable set for it, no file written by redirection, and its
    name is not defined in the same text."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of a command before it runs."""

    risk: Risk
    reasons: tuple[str, ...]
    """In words, the worst first."""
    parts: tuple[Part, ...]
    complete: bool
    """Nothing else can run than ``parts`` and what those programs do themselves."""
    odd: bool = False
    """It computes, tests, defines or sets something besides."""


_ORDER: dict[Risk, int] = {"": 0, "low": 1, "medium": 2, "high": 3}
_COVERING = wrappers.TRANSPARENT | wrappers.SHELLS | {"xargs", "eval"}
_HARMLESS_VARIABLE = re.compile(r"(LC_\w+|LANG|LANGUAGE|TZ|NO_COLOR|COLUMNS|TERM)=[\w.:/+-]*")


class _Findings:
    """Reasons with their weight."""

    def __init__(self) -> None:
        self._found: dict[str, Risk] = {}

    def add(self, risk: Risk, words: str) -> None:
        known = self._found.get(words, "")
        if _ORDER[risk] > _ORDER[known]:
            self._found[words] = risk

    @property
    def risk(self) -> Risk:
        worst: Risk = "low"
        for risk in self._found.values():
            worst = risk if _ORDER[risk] > _ORDER[worst] else worst
        return worst

    @property
    def reasons(self) -> tuple[str, ...]:
        ranked = sorted(self._found, key=lambda words: -_ORDER[self._found[words]])
        more = len(ranked) - MOST_REASONS
        return (*ranked[:MOST_REASONS], *([f"and {more} more"] if more > 0 else []))


def judge(text: str) -> Judgement:
    """Look at a command, without running anything. Never raises.

    ``low`` means that it provably only reads. What is not understood is at least ``medium``, and
    never ``complete``.
    """
    findings = _Findings()
    look = _Look(findings)
    for character in hidden(text)[:3]:
        findings.add("high", f"holds a character that is not shown as it is: {character}")
    try:
        look.at(text, 0)
    except RecursionError:
        look.incomplete("medium", "is nested too deep to be judged")
    if not look.parts:
        look.incomplete("medium", "holds no command")
    parts = tuple(look.parts)
    return Judgement(findings.risk, findings.reasons, parts, look.complete, look.odd)


class _Look:
    """Goes through a text, and the texts and commands that its commands run."""

    def __init__(self, findings: _Findings) -> None:
        self._findings = findings
        self._defined: set[str] = set()
        self.parts: list[Part] = []
        self.complete = True
        self.odd = False
        self._away = False

    def incomplete(self, risk: Risk, words: str) -> None:
        self.complete = False
        self._findings.add(risk, words)

    def at(self, text: str, depth: int) -> None:
        if depth > MOST_NESTING:
            self.incomplete("high", "runs shells within shells, too many to be judged")
            return
        script = parse(text)
        if script.problem:
            self.incomplete("medium", f"cannot be judged: {script.problem}")
        for oddity in script.oddities:
            self._findings.add("medium", oddity)
            self.odd = self.odd or oddity not in HARMLESS
        self._defined.update(script.defines)
        self.odd = self._secrets(script.listed) or self.odd
        for simple in script.commands:
            self._command(simple, depth)

    def _command(self, simple: Simple, depth: int) -> None:
        if not simple.words:
            self._bare(simple)
            return
        name = plain_name(simple.name)
        if name in ("cd", "pushd"):
            self._away = self._away or len(simple.words) != 2 or is_outside(simple.words[1])
        inner = wrappers.inner(simple.words, fed=simple.fed) if simple.name else []
        for each in inner:
            self._inner(each, simple, depth)
        redefined = name in self._defined or simple.name in self._defined
        if redefined:
            self._findings.add("medium", f"{_shown(name)} is defined in this very command")
        self._assigned(simple.assigns)
        self._written(simple.writes)
        opened = self._opened(simple.reads)
        covers = name in _COVERING and any(each.words or each.code is not None for each in inner)
        reads = not redefined and (only_reads(simple.words) or covers or _is_find(simple, inner))
        harmless = all(_HARMLESS_VARIABLE.fullmatch(each) for each in simple.assigns)
        plain = not (redefined or simple.writes or opened) and harmless
        if not reads:
            self._changes(simple, name)
        reads = not self._secrets(simple.words[1:]) and not opened and reads and plain
        self.parts.append(Part(simple, reads, covers, plain))

    def _bare(self, simple: Simple) -> None:
        """Assignments, or redirections, without a command."""
        self._assigned(simple.assigns)
        self._written(simple.writes)
        opened = self._opened(simple.reads)
        reads = not (opened or simple.assigns or simple.writes)
        self.parts.append(Part(simple, reads, plain=reads))

    def _inner(self, each: wrappers.Inner, outer: Simple, depth: int) -> None:
        self._assigned(each.assigns)
        if each.unknown:
            self.incomplete("high", each.unknown)
        if each.code is not None:
            self.at(each.code, depth + 1)
        if each.words and depth >= MOST_NESTING:
            self.incomplete("high", "runs commands within commands, too many to be judged")
        elif each.words:
            self._command(Simple(each.words, each.assigns, fed=outer.fed), depth + 1)

    def _assigned(self, assigns: Sequence[str]) -> None:
        for each in assigns:
            name = each.partition("=")[0]
            if _HARMLESS_VARIABLE.fullmatch(each):
                continue
            obeyed = re.search(r"[A-Z]", name) is not None
            words = f"sets {_shown(name)}" + (", which programs may obey" if obeyed else "")
            self._findings.add("high" if obeyed else "medium", words)

    def _written(self, targets: Sequence[Word]) -> None:
        for each in targets:
            if self._away or is_outside(each):
                self._findings.add("high", f"writes {_shown(each.text)}, outside the folder")
            else:
                self._findings.add("medium", f"writes the file {_shown(each.text)}")

    def _opened(self, files: Sequence[Word]) -> bool:
        """Whether a file that input comes from is more than a plain one."""
        for each in files:
            if not each.known:
                self._findings.add(
                    "medium", f"reads {_shown(each.text)}, which is only known when it runs"
                )
        return self._secrets(files) or not all(each.known for each in files)

    def _secrets(self, words: Sequence[Word]) -> bool:
        """Whether one of these names what may hold secrets, or a connection."""
        for each in words:
            if is_network(each):
                self._findings.add("high", f"{_shown(each.text)}: reaches the network")
            if may_hold_secrets(each):
                self._findings.add("medium", f"{_shown(each.text)} may hold secrets")
        return any(is_network(each) or may_hold_secrets(each) for each in words)

    def _changes(self, simple: Simple, name: str) -> None:
        """Say what a command may do that is not known to only read."""
        shown = _shown(simple.text)
        if not simple.name:
            self.incomplete("high", f"the name of a command is only known when it runs: {shown}")
        elif not simple.name.isascii():
            self._findings.add("high", f"{shown}: a name that is not plain ASCII, it may imitate")
        elif name in wrappers.PRIVILEGED:
            self._findings.add("high", f"{shown}: runs with other rights")
        elif why := danger(simple.words):
            self._findings.add("high", f"{shown}: {why}")
        elif name in ("find", "xargs", "eval", "env"):
            self._findings.add("medium", f"{shown}: not known to only read")
        elif name in (".", "source", "exec", "alias", "trap", "hash", "enable", "set", "shopt"):
            self._findings.add("medium", f"{shown}: changes the shell for what comes later")
        else:
            self._ordinary(simple, name, shown)

    def _ordinary(self, simple: Simple, name: str, shown: str) -> None:
        where = changes(simple.words, away=self._away)
        if where == "outside":
            self._findings.add("high", f"{shown}: changes files, perhaps outside the folder")
        elif where:
            self._findings.add("medium", f"{shown}: changes files")
        elif name in wrappers.OPAQUE:
            self.incomplete("medium", f"{shown}: may run another command")
        elif name in CODE:
            self._findings.add("high" if simple.fed else "medium", f"{shown}: runs code")
        else:
            self._findings.add("medium", f"{shown}: not known to only read")


def _is_find(simple: Simple, inner: Sequence[wrappers.Inner]) -> bool:
    """A find whose only effects are those of the commands that it runs."""
    if simple.name != "find" or not inner or any(each.unknown for each in inner):
        return False
    words = [word for word in simple.words if word.text not in ("-exec", "-execdir")]
    rest = [word for word in words if word.known or word.text == "{}"]
    return len(rest) == len(words) and only_reads(
        [Word(word.text) for word in rest if word.text not in (";", "+")]
    )


def _shown(text: str, most: int = 120) -> str:
    """A piece of a command for a reason: the whole is shown beside it."""
    line = " ".join(visible(text.replace("\n", " ")).split())
    return line if len(line) <= most else line[: most - 1] + "…"
