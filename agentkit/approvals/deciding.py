"""Decide about one call: rules, callback and mode, over what the call provably does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agentkit.approvals.policy import Action, Fit, Policy, Rule
from agentkit.approvals.shell import Judgement, judge
from agentkit.approvals.visible import hidden, visible
from agentkit.events.tools import Risk
from agentkit.hooks import Call, Refuse

if TYPE_CHECKING:
    from agentkit.tool import Claim, Tool

SHELL = "bash"
RISKS: tuple[Risk, ...] = ("", "low", "medium", "high")
READ_ONLY = "This session is read-only; only calls that change nothing are allowed."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a call."""

    action: Action
    call: Call
    """With its risk and reasons, where it was judged."""
    reason: str = ""
    """Of a refusal, for the model."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """A call as rules see it."""

    call: Call
    judgement: Judgement | None
    """Of its shell command, where it has one."""
    is_shell: bool
    files: tuple[str, ...]
    """What it writes, where it says so."""
    anything: bool
    """It may write what it does not say."""

    @property
    def reads(self) -> bool:
        """It provably changes nothing, and reads nothing that looks like a secret."""
        if self.judgement is not None:
            return self.judgement.complete and self.judgement.risk == "low"
        return not self.call.writes


async def may_run(policy: Policy, command: str) -> bool:
    """Whether a shell command that no call holds, as that of a planner's check, may run unasked.

    Raises:
        Exception: whatever the callback raises.
    """
    call = Call("", SHELL, MappingProxyType({"command": command}), True, True)
    return (await _decide(policy, _shell_subject(call, [command]))).action == "allow"


async def decide(policy: Policy, call: Call, tool: Tool, claims: Sequence[Claim]) -> Verdict:
    """What the policy says of a call. Nothing is run, and nobody asked but the callback.

    Raises:
        Exception: whatever the callback raises.
    """
    if policy.mode == "auto" and not policy.rules and policy.decide is None:
        return Verdict("allow", call)
    return await _decide(policy, _subject(call, tool, claims))


async def _decide(policy: Policy, subject: _Subject) -> Verdict:
    if policy.mode == "auto" and not policy.rules and policy.decide is None:
        return Verdict("allow", subject.call)
    for rule, fit in _fitting(policy, subject, "deny"):
        if fit == "yes":
            return Verdict("deny", subject.call, f"The policy denies it: {rule.pattern}")
    if policy.decide is not None:
        given = await policy.decide(subject.call)
        if isinstance(given, Refuse):
            return Verdict("deny", subject.call, given.reason)
        if given is not None:
            return Verdict(given, subject.call, "The policy denies it.")
    return _by_rules(policy, subject)


def _by_rules(policy: Policy, subject: _Subject) -> Verdict:
    if any(True for _ in _fitting(policy, subject, "ask", "deny")):
        return Verdict("ask", subject.call)
    if policy.mode == "auto" or subject.reads or _is_allowed(policy, subject):
        return Verdict("allow", subject.call)
    if policy.mode == "read-only":
        return Verdict("deny", subject.call, READ_ONLY)
    return Verdict("ask", subject.call)


def _subject(call: Call, tool: Tool, claims: Sequence[Claim]) -> _Subject:
    writes = [claim.resource for claim in claims if claim.write]
    files = tuple(each.partition(":")[2] for each in writes if each.startswith("file:"))
    script = tool.script(call.arguments) if tool.script is not None else None
    if script is not None:
        return _shell_subject(call, [script] if isinstance(script, str) else script)
    # What types into a program at a terminal writes; a plan without checks runs nothing.
    is_shell = tool.script is not None and call.writes
    risk, reasons = _other(call, files, is_shell=is_shell)
    judged = replace(call, risk=risk, reasons=reasons)
    return _Subject(judged, None, is_shell, files, len(files) < len(writes))


def _shell_subject(call: Call, commands: Sequence[str]) -> _Subject:
    """A call that runs these commands, each by itself."""
    each = [judge(command) for command in commands]
    worst = max(each, key=lambda judgement: RISKS.index(judgement.risk))
    whole = Judgement(
        risk=worst.risk,
        reasons=tuple(dict.fromkeys(reason for one in each for reason in one.reasons)),
        parts=tuple(part for one in each for part in one.parts),
        complete=all(one.complete for one in each),
        odd=any(one.odd for one in each),
    )
    judged = replace(call, risk=whole.risk, reasons=whole.reasons)
    return _Subject(judged, whole, True, (), True)


def _other(call: Call, files: Sequence[str], *, is_shell: bool) -> tuple[Risk, tuple[str, ...]]:
    """Risk and reasons of a call that is no shell command."""
    found: list[str] = []
    for name, value in _texts(call.arguments):
        marks = hidden(value) if name != "file_text" else []
        if marks:
            found.append(f"{name} holds characters that are not shown as they are: {marks[0]}")
    risk: Risk = "high" if found else "low"
    if call.writes:
        risk = "high" if found or is_shell else "medium"
        what = [f"writes {visible(each)}" for each in files]
        found += what or [
            "types into a program at a terminal" if is_shell else "may change something"
        ]
    return risk, tuple(found)


def _texts(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in arguments.items() if isinstance(value, str)]


def _fitting(policy: Policy, subject: _Subject, *actions: Action) -> Iterator[tuple[Rule, Fit]]:
    """Rules of these kinds that the call fits, or may fit."""
    for rule in policy.rules:
        if rule.action in actions and _concerns(rule, subject):
            fit = _fit(rule, subject)
            if fit != "no":
                yield rule, fit


def _concerns(rule: Rule, subject: _Subject) -> bool:
    """A rule for ``bash`` speaks of commands, whichever tool runs them."""
    return rule.is_for(subject.call.tool) or (subject.judgement is not None and rule.is_for(SHELL))


def _fit(rule: Rule, subject: _Subject) -> Fit:
    """Whether the call, or a part of it, fits a rule that asks or denies."""
    if rule.pattern == "*":
        return "yes"
    judgement = subject.judgement
    if judgement is None:
        if any(fnmatchcase(each, rule.pattern) for each in subject.files):
            return "yes"
        return "maybe" if subject.is_shell or (subject.anything and subject.call.writes) else "no"
    found = [rule.fits(part.simple) for part in judgement.parts]
    if "yes" in found:
        return "yes"
    return "no" if judgement.complete and "maybe" not in found else "maybe"


def _is_allowed(policy: Policy, subject: _Subject) -> bool:
    """Whether all that the call does has a rule that allows it."""
    rules = [rule for rule in policy.rules if rule.action == "allow" and _concerns(rule, subject)]
    if any(rule.pattern == "*" for rule in rules):
        return True
    judgement = subject.judgement
    if judgement is None:
        named = subject.files and not subject.anything
        return bool(named) and all(
            any(_is_below(each, rule) for rule in rules) for each in subject.files
        )
    if not judgement.complete or judgement.odd or not judgement.parts:
        return False
    return all(
        part.reads
        or (part.covers and part.plain)
        or (part.plain and any(rule.fits_exactly(part.simple) for rule in rules))
        for part in judgement.parts
    )


def _is_below(path: str, rule: Rule) -> bool:
    return ".." not in path.split("/") and fnmatchcase(path, rule.pattern)
