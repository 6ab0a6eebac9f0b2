"""Required checks: commands that must exit 0 in the sandbox. We run them, not the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentkit.events import CheckFailed, CheckPassed, CheckReport
from agentkit.sandbox import ExecResult

if TYPE_CHECKING:
    from agentkit.run import Run

TIMEOUT = 600.0
"""Seconds one check may take."""
CLIP = 6_000
"""Characters of a failing check's output that the model reads, half from each end."""
_CANNOT_RUN = (126, 127)
"""The shell's own codes: not executable, not found."""


async def run_checks(run: Run, commands: Sequence[str]) -> list[CheckFailed]:
    """Run the checks that did not pass since the last change of files, all of them.

    Returns the failures; empty means that every required check passes now.
    """
    failures: list[CheckFailed] = []
    for command in commands:
        report = run.state.checks.get(command)
        if report is not None and report.passed and command not in run.state.stale:
            continue
        event = await _check(run, command)
        if isinstance(event, CheckFailed):
            failures.append(event)
    return failures


async def _check(run: Run, command: str) -> CheckPassed | CheckFailed:
    sandbox = await run.sandbox()
    left = run.budget.seconds_left
    timeout = TIMEOUT if left is None else max(1.0, min(TIMEOUT, left))
    result = await sandbox.exec(command, cwd=sandbox.workdir, timeout=timeout)
    duration = round(result.duration, 3)
    if result.ok:
        event = run.append(CheckPassed(command=command, duration=duration))
    else:
        event = run.append(
            CheckFailed(
                command=command,
                exit_code=result.exit_code,
                output=_told(result, timeout),
                ran=result.exit_code not in _CANNOT_RUN,
                duration=duration,
            )
        )
    await run.log.commit()
    return event


def _told(result: ExecResult, timeout: float) -> str:
    text = result.output.data.decode("utf-8", "replace")
    left_out = result.output.omitted
    if len(text) > CLIP:
        left_out += len(text) - CLIP
        text = f"{text[: CLIP // 2]}\n[… {left_out} characters left out …]\n{text[-CLIP // 2 :]}"
    if result.ended != "exit":
        text += f"\n[ended by {result.ended} after {result.duration:.0f} of {timeout:.0f} s]"
    return text.strip()


def explain(failures: Sequence[CheckFailed]) -> str:
    """What the model reads when it wants to finish and may not."""
    parts = ["Not finished: required checks do not pass."]
    for each in failures:
        what = f"exit code {each.exit_code}" if each.ran else "could not run"
        parts.append(f"$ {each.command}\n[{what}]\n{each.output or '(no output)'}")
    parts.append("Fix the cause, then finish again.")
    return "\n\n".join(parts)


def reports(run: Run, commands: Sequence[str]) -> tuple[CheckReport, ...]:
    """The last word on each required check; one that is stale or never ran has not passed."""
    return tuple(_report(run, command) for command in commands)


def _report(run: Run, command: str) -> CheckReport:
    report = run.state.checks.get(command)
    if report is None or command in run.state.stale:
        return CheckReport(command=command, passed=False)
    return report
