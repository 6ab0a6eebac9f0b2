"""``agentkit eval``."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from agentkit.cli import INTERRUPTED
from agentkit.cli.options import takes
from agentkit.errors import AgentkitError, UsageError

if TYPE_CHECKING:
    from agentkit.evals.job import Job, Plan, Runner
    from agentkit.evals.spec import AgentKind, Contestant

MONEY = 3
_NOT_JUDGED = 1


def _option(*flags: str, text: str, metavar: str | None = None, shown: bool = True) -> Any:
    return typer.Option(*flags, metavar=metavar, help=text, show_default=shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """How a task set is run."""

    task: Annotated[
        list[str] | None,
        _option("--task", text="Only this task; a pattern; may be repeated.", shown=False),
    ] = None
    agent: Annotated[
        str, _option("--agent", text="agentkit, oracle (the tasks' own solutions) or nop.")
    ] = "agentkit"
    ladder: Annotated[
        list[str] | None,
        _option(
            "--ladder",
            metavar="NAME|FILE",
            text="A contestant; may be repeated. [default: flash-pro]",
            shown=False,
        ),
    ] = None
    model: Annotated[
        list[str] | None,
        _option("--model", text="A contestant of one model; may be repeated.", shown=False),
    ] = None
    preset: Annotated[str, _option("--preset", text="minimal or coder.")] = "minimal"
    attempts: Annotated[int, _option("-k", "--attempts", text="Attempts at each task.")] = 1
    concurrency: Annotated[int, _option("-n", "--concurrency", text="Trials at a time.")] = 2
    job: Annotated[
        Path | None,
        _option(
            "--job",
            metavar="DIR",
            text="The job's folder; one that was begun goes on. [default: jobs/<time>]",
            shown=False,
        ),
    ] = None
    max_cost: Annotated[
        float | None,
        _option("--max-cost", metavar="USD", text="Limit of money for the whole job.", shown=False),
    ] = None
    trial_cost: Annotated[
        float, _option("--trial-cost", metavar="USD", text="Limit of money for one trial.")
    ] = 5.0
    max_turns: Annotated[
        int, _option("--max-turns", metavar="N", text="Limit of answers in one trial.")
    ] = 500
    timeout_factor: Annotated[
        float, _option("--timeout-factor", text="Times the tasks' own time limits.")
    ] = 1.0
    retries: Annotated[
        int, _option("--retries", text="Further tries after a fault of sandbox or provider.")
    ] = 1
    engine: Annotated[
        str, _option("--engine", text="Where trials run: local, or ray (RAY_ADDRESS).")
    ] = "local"
    base_url: Annotated[
        str, _option("--base-url", metavar="URL", text="Another endpoint.", shown=False)
    ] = ""
    api_key_env: Annotated[
        str, _option("--api-key-env", metavar="NAME", text="The key's variable.", shown=False)
    ] = ""


@takes(EvalOptions)
def eval(
    given: EvalOptions,
    taskset: Annotated[Path, typer.Argument(help="A folder of tasks, or one task's folder.")],
) -> None:
    """Run a set of tasks (Harbor, Terminal-Bench 1 or our own layout) and report.

    Exit codes: 0 every trial was judged, 1 some could not be (or a task set fails its oracle or
    nop check), 2 usage, 3 the money limit was reached, 130 interrupted. The job's folder holds
    everything, and the same command goes on with it.
    """
    from agentkit.evals.job import Plan
    from agentkit.evals.taskset import load

    plan = Plan(
        contestants=contestants(given),
        tasks=load(taskset, only=given.task or []),
        attempts=given.attempts,
        concurrency=given.concurrency,
        max_cost=given.max_cost,
        retries=given.retries,
    )
    folder = given.job or Path("jobs") / f"{datetime.now().astimezone():%Y-%m-%d__%H-%M-%S}"
    raise typer.Exit(start(plan, folder, given.engine))


def contestants(given: EvalOptions) -> tuple[Contestant, ...]:
    """One for each ladder and model that was named.

    Raises:
        UsageError: an unknown agent, preset or ladder, or no key.
    """
    from agentkit.evals.spec import Contestant

    first = Contestant(
        agent=cast("AgentKind", given.agent),
        preset=given.preset,
        base_url=given.base_url,
        api_key_env=given.api_key_env,
        max_cost=given.trial_cost,
        max_turns=given.max_turns,
        timeout_factor=given.timeout_factor,
    )
    if first.agent != "agentkit":
        if given.ladder or given.model:
            raise UsageError(
                f"the agent {first.agent!r} asks no model", hint="Leave --ladder and --model out"
            )
        return (first,)
    found = [replace(first, ladder=each) for each in given.ladder or []]
    found += [replace(first, model=each) for each in given.model or []]
    found = found or [first]
    for each in found:
        _check(each)
    return tuple(found)


def _check(contestant: Contestant) -> None:
    """Everything that can be wrong before the first trial is said before the first trial."""
    from agentkit.cli.build import load_preset, require_key
    from agentkit.cli.settings import Settings, require_url
    from agentkit.ladder import Ladder

    if contestant.base_url:
        require_url(contestant.base_url, "--base-url")
    load_preset(contestant.preset)
    ladder = Ladder.single(contestant.model) if contestant.model else Ladder.load(contestant.ladder)
    settings = Settings(base_url=contestant.base_url, api_key_env=contestant.api_key_env)
    require_key(settings, ladder)


def start(plan: Plan, folder: Path, engine: str = "local") -> int:
    """Run the job and give the exit code.

    Raises:
        UsageError: there is no engine of that name.
    """
    if engine not in ("local", "ray"):
        raise UsageError(f"there is no engine {engine!r}", hint="Choose local or ray")
    import anyio

    from agentkit.evals.job import open_job

    with open_job(folder, plan) as job:
        stopped = anyio.run(_run, job, engine)
        write_reports(job)
        if stopped:
            _say(f"interrupted; go on with the same command and --job {folder}")
            return INTERRUPTED
        return verdict(job)


async def _run(job: Job, engine: str) -> bool:
    """Whether the user stopped it."""
    import anyio

    from agentkit.cli.eval_view import make_view
    from agentkit.evals.job import run_job

    stopped = False
    failed: AgentkitError | None = None
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, make_view() as view:
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                nonlocal stopped
                async for _ in signals:
                    stopped = True
                    tasks.cancel_scope.cancel()

            tasks.start_soon(listen)
            try:
                async with _runner(engine) as runner:
                    await run_job(job, runner, view)
            except AgentkitError as error:
                failed = error  # raised in here, the task group would wrap it
            tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return stopped


@asynccontextmanager
async def _runner(engine: str) -> AsyncGenerator[Runner]:
    if engine == "local":
        from agentkit.evals.local import LocalRunner

        async with LocalRunner.open() as runner:
            yield runner
        return
    from agentkit.evals.cluster import RayRunner

    async with RayRunner.open() as cluster:
        for node, reason in cluster.without_engine.items():
            _say(f"node {node[:8]} gets no trials: {reason}")
        yield cluster


def write_reports(job: Job) -> None:
    """``report.md`` and ``report.html`` in the job's folder; the first one on screen too."""
    from agentkit.evals.page import html
    from agentkit.evals.report import markdown

    words = markdown(job)
    (job.folder / "report.md").write_text(words, encoding="utf-8")
    (job.folder / "report.html").write_text(html(job), encoding="utf-8")
    print(words)
    _say(f"report: {job.folder / 'report.html'}")


def verdict(job: Job) -> int:
    """The exit code of a job that ran to its end."""
    if job.out_of_money:
        return MONEY
    from agentkit.evals.report import as_it_should

    bad = bool(job.refused) or any(not record.outcome.counts for record in job.records)
    good = as_it_should(job)
    return _NOT_JUDGED if bad or good not in (None, job.total) else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
