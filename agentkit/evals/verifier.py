"""Judge the work: in the same container, after the agent, with tests that it never saw."""

from __future__ import annotations

import json
import math
import posixpath
import re
from pathlib import Path
from typing import Any, cast

import anyio

from agentkit.evals.outcome import Fault, Grade
from agentkit.evals.place import LOGS, Place
from agentkit.evals.task import Task

_VERIFIER = f"{LOGS}/verifier"
_REWARDS = f"{_VERIFIER}/reward.txt {_VERIFIER}/reward.json"
_SUMMARY = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b[ \t]*(\S*)", re.MULTILINE)


class Ungradable(Exception):
    """The tests gave no verdict; Harbor has a name for each way of that."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(type=kind, category="verifier", message=message, phase="verifier")


async def grade(task: Task, place: Place, folder: Path) -> Grade:
    """Copy the tests in, run them, and read the verdict. Their output is kept in ``folder``.

    Raises:
        Ungradable: no verdict; its ``fault`` says why.
        SandboxError: the container is gone.
    """
    if task.grading.judge == "checks":
        return await _checks(task, place, folder)
    # What the agent may have written there must not pass for a verdict or for a test.
    await place.run(f"rm -rf /tests {_REWARDS}; mkdir -p {_VERIFIER}", user="0", timeout=60)
    script = await _bring_tests(task, place)
    await place.run(f"chmod -R a+rX /tests && chmod a+x {script}", user="0", timeout=60)
    result = await place.run(
        f"{script} > {_VERIFIER}/test-stdout.txt 2>&1",
        user=task.grading.user,
        env=dict(task.grading.env),
        timeout=task.grading.timeout,
    )
    await place.fetch(_VERIFIER, folder)
    if result.ended == "timeout":
        raise Ungradable(
            "VerifierTimeoutError", f"the tests did not end within {task.grading.timeout:g} s"
        )
    if task.grading.judge == "pytest":
        return await anyio.to_thread.run_sync(_pytest, folder / "test-stdout.txt")
    return await anyio.to_thread.run_sync(read_reward, folder)


async def _bring_tests(task: Task, place: Place) -> str:
    """Copy tests and script; the script's path inside."""
    tests, script = task.grading.tests, task.grading.script
    if tests is not None:
        await place.put(tests, "/tests")
    if script is None:
        return "/tests/test.sh"
    target = posixpath.join("/tests", script.name)
    await place.put(script, target)
    return target


async def _checks(task: Task, place: Place, folder: Path) -> Grade:
    lines: list[str] = []
    passed = True
    for command in task.grading.checks:
        result = await place.run(command, timeout=task.grading.timeout)
        passed = passed and result.ok
        text = result.output.data.decode("utf-8", "replace")
        lines.append(f"$ {command}\n{text}\n[exit code: {result.exit_code}]")
    details = "\n".join(lines)
    await anyio.Path(folder / "test-stdout.txt").write_text(details)
    return Grade(rewards={"reward": float(passed)}, details=details[-2000:])


def read_reward(folder: Path) -> Grade:
    """The verdict in ``reward.json`` (numbers by name) or ``reward.txt`` (one number).

    Raises:
        Ungradable: missing, empty, not a finite number.
    """
    for name in ("reward.json", "reward.txt"):
        path = folder / name
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if not text:
            raise Ungradable("RewardFileEmptyError", f"{name} is empty")
        try:
            found: object = json.loads(text) if name.endswith("json") else float(text)
        except ValueError:
            raise Ungradable(
                "VerifierOutputParseError", f"{name} holds {text[:80]!r}, which is no reward"
            ) from None
        return Grade(rewards=_numbers(found, name))
    raise Ungradable(
        "RewardFileNotFoundError", "the tests wrote neither reward.json nor reward.txt"
    )


def _numbers(found: object, name: str) -> dict[str, float]:
    single = {"reward": found}
    table = cast("dict[str, Any]", found if isinstance(found, dict) else single)
    for key, value in table.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not math.isfinite(value)
        ):
            raise Ungradable(
                "VerifierOutputParseError", f"{name}: {key} is {value!r}, which is no number"
            )
    if not table:
        raise Ungradable("RewardFileEmptyError", f"{name} names no reward")
    return {key: float(value) for key, value in table.items()}


def _pytest(path: Path) -> Grade:
    """Terminal-Bench 1's verdict: in pytest's short summary, every test has passed."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    _, marker, summary = text.rpartition("short test summary info")
    results = _SUMMARY.findall(summary) if marker else []
    if not results:
        raise Ungradable("VerifierOutputParseError", "the tests printed no summary of pytest's")
    # A skipped or expected failure is no pass, and no failure either.
    bad = [name for kind, name in results if kind in ("FAILED", "ERROR")]
    good = [name for kind, name in results if kind in ("PASSED", "XPASS")]
    return Grade(
        rewards={"reward": float(bool(good) and not bad)},
        details=f"{len(good)} passed, {len(bad)} failed: {', '.join(bad[:10])}",
    )
