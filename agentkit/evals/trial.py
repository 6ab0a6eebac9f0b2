"""One trial from image to verdict. It always ends in an outcome, except when it is cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import anyio

from agentkit.errors import AgentkitError, SandboxError
from agentkit.evals.agents import Work, at_work
from agentkit.evals.images import Images
from agentkit.evals.outcome import AgentReport, Fault, Grade, Outcome, Phase, fault_of
from agentkit.evals.place import Place
from agentkit.evals.spec import Contestant
from agentkit.evals.task import Task
from agentkit.evals.verifier import Ungradable, grade
from agentkit.sandboxes._engine import Engine

Say = Callable[[str], None]


@dataclass(slots=True)
class _Story:
    """What is known so far; ``outcome`` makes it final."""

    report: AgentReport = field(default_factory=lambda: AgentReport(status="not started"))
    grade: Grade | None = None
    fault: Fault | None = None
    seconds: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    def outcome(self, task: Task) -> Outcome:
        return Outcome(
            report=self.report,
            grade=self.grade,
            fault=self.fault,
            seconds=self.seconds,
            unsolvable=task.unsolvable,
        )


async def run_trial(
    engine: Engine,
    images: Images,
    task: Task,
    contestant: Contestant,
    folder: Path,
    *,
    name: str,
    max_cost: float,
    say: Say,
) -> Outcome:
    """Build, start, let the agent work, judge, remove.

    Args:
        folder: the trial's own; ``agent/`` and ``verifier/`` are filled.
        max_cost: US dollars that this trial may spend.
        say: told one line at a time.
    """
    story = _Story()
    for part in ("agent", "verifier", "artifacts"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    try:
        async with _timed(story, "environment_setup"):
            image = await images.ensure(task.environment, say)
            place = await Place.open(engine, task.environment, image, name, say)
    except AgentkitError as error:
        story.fault = fault_of(error, "environment_setup")
        return story.outcome(task)
    try:
        await _inside(story, task, contestant, place, folder, max_cost, say)
    finally:
        await place.close()
    return story.outcome(task)


async def _inside(
    story: _Story,
    task: Task,
    contestant: Contestant,
    place: Place,
    folder: Path,
    max_cost: float,
    say: Say,
) -> None:
    """Agent, then verdict, while all that the agent left running still runs."""
    try:
        async with _timed(story, "environment_setup"):
            await _until_healthy(task, place)
        work = Work(
            contestant=contestant,
            task=task,
            place=place,
            folder=folder / "agent",
            max_cost=max_cost,
        )
        say("the agent works")
        begun = _now()
        async with at_work(work) as (story.report, story.fault):
            story.seconds["agent_execution"] = (begun, _now())
            if story.fault is None or story.fault.gradable:
                say("the tests run")
                async with _timed(story, "verifier"):
                    await _judge(story, task, place, folder)
    except AgentkitError as error:
        story.fault = fault_of(error, "agent_execution" if story.grade is None else "verifier")


async def _judge(story: _Story, task: Task, place: Place, folder: Path) -> None:
    try:
        story.grade = await grade(task, place, folder / "verifier")
        await place.fetch("/logs/artifacts", folder / "artifacts")
    except Ungradable as ungradable:
        story.fault = story.fault or ungradable.fault
    except SandboxError as error:
        story.fault = story.fault or fault_of(error, "verifier")


async def _until_healthy(task: Task, place: Place) -> None:
    check = task.environment.healthcheck
    if check is None:
        return
    failures = 0
    started = anyio.current_time()
    while True:
        result = await place.run(check.command, timeout=check.timeout)
        if result.ok:
            return
        if anyio.current_time() - started > check.start_period:
            failures += 1
        if failures >= check.retries:
            raise SandboxError(
                f"the environment is not healthy after {failures} tries", tried=check.command
            )
        await anyio.sleep(check.interval)


@asynccontextmanager
async def _timed(story: _Story, phase: Phase) -> AsyncGenerator[None]:
    begun = story.seconds.get(phase, ("", ""))[0] or _now()
    try:
        yield
    finally:
        story.seconds[phase] = (begun, _now())


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
