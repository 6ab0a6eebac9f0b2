"""Events as lines for people: the same on a terminal, in a pipe, and in ``sessions show``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentkit import events as e
from agentkit.cli import text

Style = Literal["plain", "dim", "bold", "good", "bad", "warn"]
_MARKS = {"done": "✓", "in_progress": "▸", "pending": "○"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line; ``text`` is clean, but may be wider than the screen."""

    text: str
    style: Style = "plain"


def story(event: e.Event) -> Iterator[Line]:  # noqa: C901, PLR0912, PLR0915 - one case per kind
    """The lines of one event; none for what is of no interest to people."""
    match event:
        case e.SandboxOpened():
            verb = "found again" if event.reopened else "ready"
            yield Line(f"sandbox {verb}: {text.clean(event.description)}", "dim")
        case e.RunStarted() if event.resumed:
            yield Line("the session goes on", "dim")
        case e.Message() if event.source == "user":
            yield from _block("> ", event.text, "bold", lines=6)
        case e.Message() if event.source == "agentkit" and not _is_briefing(event.text):
            yield from _block("", event.text, "warn", lines=2)
        case e.Steered():
            yield from _block("> ", event.text, "bold", lines=6)
        case e.ModelResponded():
            yield from _answer(event)
        case e.ModelChanged():
            now = " ".join((event.served_now, event.fingerprint_now)).strip()
            before = " ".join((event.served_before, event.fingerprint_before)).strip()
            yield Line(
                f"  {event.model} is now served by {_one(f'{now} (before: {before})')}", "warn"
            )
        case e.PrefixBroken():
            price = text.dollars(event.price_usd)
            words = f"{event.region}: {event.cause}; {text.tokens(event.tokens)} cold, {price}"
            yield Line(f"  prefix broken: {_one(words, 240)}", "warn")
        case e.Evidence():
            yield Line(f"  evidence: {event.kind.replace('-', ' ')}: {_one(event.detail)}", "warn")
        case e.RungChanged():
            yield change(event)
        case e.RungSkipped():
            yield skipped(event)
        case e.Waited():
            yield Line(f"waiting {text.seconds(event.seconds)} for {_one(event.reason)}", "dim")
        case e.ModelFailed():
            yield from _failure(event)
        case e.ToolStarted() if event.tool != "plan":  # the plan itself follows
            yield Line(f"  {_one(text.call_line(event.tool, event.arguments), 200)}")
        case e.ToolFinished():
            yield from _result(event)
        case e.PlanUpdated():
            yield from plan(event.steps)
        case e.CheckPassed():
            yield Line(f"  ✓ check passed: {_one(event.command)}", "good")
        case e.CheckFailed():
            why = f"exit code {event.exit_code}" if event.ran else "could not run"
            yield Line(f"  ✗ check failed ({why}): {_one(event.command)}", "bad")
            yield from _tail(event.output)
        case e.ApprovalAnswered():
            yield Line(f"  {'allowed' if event.allowed else 'declined'}", "dim")
        case e.Fact(kind="mcp"):
            for note in event.data["notes"]:
                yield Line(f"  mcp {_one(str(note))}", "warn")
        case e.LimitNear():
            yield Line(
                f"  {event.used:.4g} of {event.allowed:.4g} of the {event.limit} limit used", "warn"
            )
        case _:
            pass


def change(event: e.RungChanged) -> Line:
    """One reaction, or the way back, with its price and what else was weighed."""
    reason = text.clip(text.clean(event.reason), 160)
    if event.form == "step-down":
        return Line(f"  ↓ back on {event.to_rung}: {reason}", "good")
    usd = event.numbers.get("usd")
    price = f", about {text.dollars(float(usd))}" if usd else ""
    if event.form == "note":
        return Line(f"  • note: {reason}", "warn")
    back = f"; workspace back at {event.back_to}" if event.back_to else ""
    return Line(f"  ↑ {event.form} {event.to_rung}{price}: {reason}{back}", "warn")


def skipped(event: e.RungSkipped) -> Line:
    """A rung that is passed over."""
    return Line(
        f"  – {event.rung} is passed over: {text.clip(text.clean(event.reason), 160)}", "warn"
    )


def plan(steps: tuple[Mapping[str, Any], ...]) -> Iterator[Line]:
    """The plan, a line per step."""
    for step in steps:
        status = str(step.get("status", ""))
        yield Line(
            f"  {_MARKS.get(status, '○')} {_one(str(step.get('step', '')))}",
            "bold" if status == "in_progress" else "dim",
        )


def _answer(event: e.ModelResponded) -> Iterator[Line]:
    usage = event.usage
    parts = [
        f"{text.tokens(usage.prompt_tokens)} in ({text.percent(usage.hit_ratio)} cached)",
        f"{text.tokens(usage.completion_tokens)} out",
        text.dollars(event.cost_usd, priced=event.priced),
        text.seconds(event.duration),
    ]
    if event.missed:
        parts[0] += f", {text.tokens(event.missed)} missed by the provider"
    yield Line(f"· {' · '.join(parts)}", "dim")
    if event.content.strip():
        yield from _block("", event.content, "plain", lines=40)
    for note in event.notes:
        yield Line(f"  {_one(note)}", "warn")


def _failure(event: e.ModelFailed) -> Iterator[Line]:
    if event.wait is None:
        return  # the run ends with it, and says so
    again = f"; asking again in {text.seconds(event.wait)}" if event.wait else ""
    yield Line(f"  {event.error}: {_one(event.message, 200)}{again}", "warn")


def _result(event: e.ToolFinished) -> Iterator[Line]:
    if event.status == "done":
        if event.display:
            yield Line(f"    {_one(event.display)}", "dim")
        return
    yield Line(f"    {event.status}: {_one(event.display or event.content, 200)}", "bad")


def _block(mark: str, content: str, style: Style, *, lines: int) -> Iterator[Line]:
    all_lines = text.clean(content).strip().splitlines()
    for number, line in enumerate(all_lines[:lines]):
        yield Line((mark if number == 0 else " " * len(mark)) + line, style)
    if len(all_lines) > lines:
        yield Line(f"… {text.plural(len(all_lines) - lines, 'more line')}", "dim")


def _tail(output: str, lines: int = 5) -> Iterator[Line]:
    for line in text.overwritten(output).strip().splitlines()[-lines:]:
        yield Line(f"    {line}", "dim")


def _one(content: str, width: int = 160) -> str:
    return text.clip(text.clean(content), width)


def _is_briefing(content: str) -> bool:
    return content.startswith(("[Environment]", "[Instructions of the project"))
