"""The words of escalation: what a stronger rung, a reviewer or a returning lane is told.

Every packet is bounded, says what it leaves out, and holds only what the log and the workspace
say: the user's words, the plan, calls that were made, the output of checks, the diff.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from agentkit.errors import AgentkitError
from agentkit.events import (
    CheckFailed,
    CheckPassed,
    Event,
    Message,
    ModelResponded,
    Steered,
    ToolFinished,
    ToolStarted,
)

if TYPE_CHECKING:
    from agentkit.escalation.evidence import Finding
    from agentkit.run import Run

DIFF = 12_000
"""Characters of a diff that a packet shows."""
OUTPUT = 4_000
"""Characters of the last output of a failing check."""
TRIED = 40
"""Calls of the lane that a packet lists, the last ones."""
EXCERPT = 1_500
"""Characters of each of the last results."""
EXCERPTS = 4
SAID = 20_000
"""Characters of the user's own words."""


def clip(text: str, most: int) -> str:
    """The start and the end of a text, and how much is left out between them."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} characters left out …]\n{text[-half:]}"


def section(name: str, text: str) -> str:
    """A named part; "" where there is nothing to say."""
    return f"<{name}>\n{text.strip()}\n</{name}>" if text.strip() else ""


def told(findings: Iterable[Finding]) -> str:
    """Findings as a list for a model or a person."""
    seen: dict[str, int] = {}
    for each in findings:
        line = f"- {each.kind.replace('-', ' ')}{': ' + each.detail if each.detail else ''}"
        seen[line] = seen.get(line, 0) + 1
    return "\n".join(f"{line} (×{n})" if n > 1 else line for line, n in seen.items())


def note(findings: Sequence[Finding]) -> str:
    """The first reaction, which costs nothing but these words."""
    return (
        f"[What happened so far speaks against the present way:\n{told(findings)}\n"
        "Before the next attempt, find out why: look at what you took for granted, and check it.]"
    )


def users_words(events: Iterable[Event]) -> str:
    """All that the user said in this session, word for word up to a bound."""
    said = [
        event.text
        for event in events
        if isinstance(event, Steered) or (isinstance(event, Message) and event.source == "user")
    ]
    return clip("\n\n".join(said), SAID)


def plan(steps: Sequence[dict[str, Any]]) -> str:
    """The plan, a line per step."""
    lines: list[str] = []
    for step in steps:
        check = f" (check: {step['check']})" if step.get("check") else ""
        lines.append(f"- [{step.get('status', 'pending')}] {step.get('step', '')}{check}")
    return "\n".join(lines)


def tried(events: Sequence[Event], lane: str) -> str:
    """The calls of a lane, a line each, the last ones."""
    begun = {e.call_id: e for e in events if isinstance(e, ToolStarted) and e.lane == lane}
    lines = [
        f"- {each.tool} {_short(begun.get(each.call_id))}: {each.status}"
        for each in events
        if isinstance(each, ToolFinished) and each.lane == lane
    ]
    left_out = f"({len(lines) - TRIED} earlier calls are left out)\n" if len(lines) > TRIED else ""
    return left_out + "\n".join(lines[-TRIED:])


def _short(call: ToolStarted | None) -> str:
    if call is None:
        return "(could not be executed)"
    parts = [
        f"{name}={' '.join(str(value).split())[:80]}" for name, value in call.arguments.items()
    ]
    return " ".join(parts)[:200]


def excerpts(events: Sequence[Event], lane: str) -> str:
    """The last results of a lane, shortened."""
    results = [e for e in events if isinstance(e, ToolFinished) and e.lane == lane]
    parts = [f"{each.tool}:\n{clip(each.content, EXCERPT)}" for each in results[-EXCERPTS:]]
    return "\n\n".join(parts)


def files_seen(events: Sequence[Event], lane: str) -> str:
    """Paths that the lane's calls named, in their order."""
    paths: dict[str, None] = {}
    for each in events:
        if isinstance(each, ToolStarted) and each.lane == lane:
            path = each.arguments.get("path")
            if isinstance(path, str) and path:
                paths[path] = None
    return "\n".join(paths)


def check_outputs(events: Sequence[Event]) -> str:
    """The last outcome of each check, failing ones with their output."""
    last: dict[str, CheckFailed | CheckPassed] = {}
    for each in events:
        if isinstance(each, CheckFailed | CheckPassed):
            last[each.command] = each
    return "\n\n".join(_outcome(each) for each in last.values())


def _outcome(check: CheckFailed | CheckPassed) -> str:
    if isinstance(check, CheckPassed):
        return f"$ {check.command}\n[passes]"
    how = f"exit code {check.exit_code}" if check.ran else "could not run"
    return f"$ {check.command}\n[{how}]\n{clip(check.output, OUTPUT)}"


async def diff(run: Run, since: str = "") -> str:
    """What changed in the workspace since a checkpoint, or since the run's first one."""
    first = next(iter(run.state.checkpoints.values()), None)
    start = since or (first.id if first is not None and first.tree else "")
    if not start:
        return ""
    try:
        difference = await run.checkpoints.diff(start)
    except AgentkitError as error:
        return f"(not known: {error})"
    return clip(difference.text, DIFF)


async def for_review(run: Run, statement: str) -> str:
    """What a reviewer reads."""
    events = await run.log.events()
    parts = [
        section("task", users_words(events)),
        section("statement", statement),
        section("diff", await diff(run) or "(nothing changed)"),
        section("commands", check_outputs(events)),
        section("last-results", excerpts(events, run.lane_name)),
        "Does the statement hold?",
    ]
    return "\n\n".join(part for part in parts if part)


async def for_advice(run: Run, findings: Sequence[Finding], question: str) -> str:
    """What an adviser reads: short, for it is all cold."""
    events = await run.log.events()
    ask = question or "What is wrong with the present way, and what should be done instead?"
    parts = [
        section("task", users_words(events)),
        section("plan", plan(run.state.plan)),
        section("evidence", told(findings)),
        section("checks", check_outputs(events)),
        section("tried", tried(events, run.lane_name)),
        section("diff", await diff(run)),
        section("last-results", excerpts(events, run.lane_name)),
        section("question", ask),
    ]
    return "\n\n".join(part for part in parts if part)


async def for_hand_off(
    run: Run, findings: Sequence[Finding], *, failed_diff: str = "", returns: bool
) -> str:
    """What a fresh lane reads that takes the work over.

    Args:
        failed_diff: the attempt that was rolled back, as reading matter.
        returns: work goes back afterwards, so a report is wanted.
    """
    events = await run.log.events()
    checks = ", ".join(dict.fromkeys(each.key for each in findings if each.kind in OF_CHECKS))
    goal = f"It is done when {checks} passes." if checks else ""
    end = _ONE_THING if returns else _ALL_OF_IT
    parts = [
        _TAKE_OVER,
        section("task", users_words(events)),
        section("plan", plan(run.state.plan)),
        section("evidence", told(findings)),
        section("checks", check_outputs(events)),
        section("tried", tried(events, run.lane_name)),
        section("files-seen", files_seen(events, run.lane_name)),
        section("diff", "" if failed_diff else await diff(run)),
        section("failed-attempt", failed_diff),
        "The workspace was put back to the state before that attempt." if failed_diff else "",
        f"[{goal} {end}]".replace("[ ", "["),
    ]
    return "\n\n".join(part for part in parts if part)


_TAKE_OVER = "[You take over work that got stuck. This is what is known; you verified none of it.]"
_ONE_THING = """\
Do this one thing; nothing else of the task is yours. Then end at once, saying what you changed, \
why, and what to watch: whoever goes on reads only that."""
_ALL_OF_IT = "Take the whole task over from here and bring it to its end."
_COMES_BACK = """\
[Files that it changed are not as you last saw them. Go on with the task; where nothing is left to \
do, finish.]"""
OF_CHECKS = ("check-failed", "check-failed-again", "check-cannot-run")


async def report(run: Run, rung: str, words: str, since: str) -> str:
    """What the cheap lane reads when work comes back: compact."""
    parts = [
        f"[{rung} took over, and the work comes back to you. What it reports:]",
        words.strip(),
        section("changed", await diff(run, since)),
        _COMES_BACK,
    ]
    return "\n\n".join(part for part in parts if part)


def last_words(events: Sequence[Event], lane: str) -> str:
    """What a lane's model said last."""
    answers = [e.content for e in events if isinstance(e, ModelResponded) and e.lane == lane]
    return next((text for text in reversed(answers) if text.strip()), "")
