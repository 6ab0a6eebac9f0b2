"""Required checks: we run them, not the model.

A check is a command that must exit 0 in the sandbox, or a statement that a reviewer must confirm.
One that starts with ``review:`` is a statement; everything else is a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentkit.checkpoints.difference import CHECK
from agentkit.errors import SandboxError
from agentkit.escalation.review import Verdict, review
from agentkit.events import CheckFailed, CheckPassed, CheckReport
from agentkit.events.work import is_statement
from agentkit.sandbox import ExecResult

if TYPE_CHECKING:
    from agentkit.run import Run

TIMEOUT = 600.0
"""Seconds one check may take."""
CLIP = 6_000
"""Characters of a failing check's output that the model reads, half from each end."""
ROUNDS = 2
"""How often checks are run because one of them changed files: twice, then it stands as it is."""
_CANNOT_RUN = (126, 127)
"""The shell's own codes: not executable, not found."""


def required(run: Run) -> tuple[str, ...]:
    """Everything that must pass before the run may finish: its checks, and those of the plan.

    A subagent does a part of the work, so the plan's checks are not its own.
    """
    if run.depth:
        return run.checks
    steps = (str(step.get("check") or "") for step in run.state.plan)
    return tuple(dict.fromkeys([*run.checks, *(check for check in steps if check.strip())]))


def passes(run: Run, check: str) -> bool:
    """Whether it passed, and no file changed since."""
    checks = run.state.checks_of(run.lane_name)
    report = checks.last.get(check)
    return report is not None and report.passed and check not in checks.stale


async def run_checks(run: Run, checks: Sequence[str]) -> list[CheckFailed]:
    """Run the checks that did not pass since the last change of files, all of them.

    Returns the failures; empty means that every required check passes now. Statements are judged
    last, and only where all commands pass: a reviewer costs money, and reads what they said.
    """
    failures: list[CheckFailed] = []
    for number in range(ROUNDS):
        pending = [each for each in checks if not passes(run, each) and not is_statement(each)]
        last = number + 1 == ROUNDS
        ended = [await _command(run, command, last=last) for command in pending]
        failures = [event for event in ended if isinstance(event, CheckFailed)]
        if failures or not any(event.changed for event in ended):
            break
    if failures:
        return failures
    for statement in [each for each in checks if is_statement(each) and not passes(run, each)]:
        on = await _mark(run)
        if passes(run, statement):
            continue  # the same tree as it was confirmed on: the answer was paid for already
        event = await _statement(run, statement, on)
        failures += [event] if isinstance(event, CheckFailed) else []
    return failures


async def _command(run: Run, command: str, *, last: bool) -> CheckPassed | CheckFailed:
    sandbox = await run.sandbox()
    before = await _mark(run)
    left = run.budget.seconds_left
    timeout = TIMEOUT if left is None else max(1.0, min(TIMEOUT, left))
    result = await sandbox.exec(command, cwd=sandbox.workdir, timeout=timeout)
    changed = () if last else await _changed(run, before)
    if changed:
        run.notes.append(f"[The check `{command}` itself changed files: {', '.join(changed[:10])}]")
    duration = round(result.duration, 3)
    if result.ok:
        event = run.append(
            CheckPassed(command=command, duration=duration, on=before, changed=changed)
        )
    else:
        event = run.append(
            CheckFailed(
                command=command,
                exit_code=result.exit_code,
                output=_told(result, timeout),
                ran=result.exit_code not in _CANNOT_RUN or result.ended != "exit",
                duration=duration,
                on=before,
                changed=changed,
            )
        )
    await run.log.commit()
    return event


async def _statement(run: Run, check: str, on: str) -> CheckPassed | CheckFailed:
    verdict: Verdict = await review(run, check)
    if verdict.holds:
        event = run.append(CheckPassed(command=check, output=verdict.why, on=on))
    else:
        event = run.append(
            CheckFailed(
                command=check, exit_code=1, output=verdict.why, ran=verdict.holds is not None, on=on
            )
        )
    await run.log.commit()
    return event


async def _mark(run: Run) -> str:
    """The checkpoint of the workspace as it is now, "" where none can be taken."""
    try:
        taken = await run.checkpoints.take(CHECK)
    except SandboxError:
        return ""
    return taken.id if taken.tree else ""


async def _changed(run: Run, before: str) -> tuple[str, ...]:
    """Files that the check itself changed."""
    if not before:
        return ()
    after = await _mark(run)
    if not after or run.state.checkpoints[after].tree == run.state.checkpoints[before].tree:
        return ()
    difference = await run.checkpoints.diff(before, after)
    return tuple(each.path for each in difference.files)


def _told(result: ExecResult, timeout: float) -> str:
    text = result.output.data.decode("utf-8", "replace")
    left_out = result.output.omitted
    if len(text) > CLIP:
        left_out += len(text) - CLIP
        text = f"{text[: CLIP // 2]}\n[… {left_out} characters left out …]\n{text[-CLIP // 2 :]}"
    if result.ended == "flood":
        text += f"\n[stopped: it had printed {result.output.total:,} bytes. Make it quieter]"
    elif result.ended != "exit":
        text += f"\n[ended by {result.ended} after {result.duration:.0f} of {timeout:.0f} s]"
    return text.strip()


def explain(failures: Sequence[CheckFailed]) -> str:
    """What the model reads when it wants to finish and may not."""
    parts = ["Not finished: required checks do not pass.", *map(outcome, failures)]
    parts.append("Fix the cause, then finish again.")
    if not all(each.ran for each in failures):
        parts.append(
            "What could not run says nothing about the work: make it able to run if that is"
            " possible here, else finish with achieved=false and say what is missing."
        )
    return "\n\n".join(parts)


def outcome(failed: CheckFailed) -> str:
    """How one check failed, for the model."""
    if is_statement(failed.command):
        what = "a reviewer does not confirm it" if failed.ran else "nobody could judge it"
        return f"{failed.command}\n[{what}]\n{failed.output}"
    what = f"exit code {failed.exit_code}" if failed.ran else "could not run"
    changed = f"\n[it changed files: {', '.join(failed.changed[:10])}]" if failed.changed else ""
    return f"$ {failed.command}\n[{what}]\n{failed.output or '(no output)'}{changed}"


def reports(run: Run, checks: Sequence[str]) -> tuple[CheckReport, ...]:
    """The last word on each required check; one that is stale or never ran has not passed."""
    return tuple(_report(run, check) for check in checks)


def _report(run: Run, check: str) -> CheckReport:
    report = run.state.checks.get(check)
    if report is None or check in run.state.stale:
        return CheckReport(command=check, passed=False)
    return report
