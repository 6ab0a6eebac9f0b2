"""Those who work on a task: an agentkit agent, the oracle (the task's own solution), and nobody."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from agentkit.errors import AgentkitError, LimitReached, UsageError
from agentkit.evals.outcome import AgentReport, Fault, fault_of
from agentkit.evals.place import Place
from agentkit.evals.spec import Contestant
from agentkit.evals.task import Task
from agentkit.events import ToolFinished

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.session import Session
    from agentkit.stores.sqlite import SQLiteStore

_LIMIT = re.compile(r"the (\w+) limit was reached")
"""``LimitReached`` in words, which is what a session's end keeps of it."""
GRACE = 30.0
"""Seconds past the deadline after which an agent that does not stop is stopped from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Everything an agent needs for one attempt."""

    contestant: Contestant
    task: Task
    place: Place
    folder: Path
    """Where its session and trajectory are kept."""
    max_cost: float

    @property
    def timeout(self) -> float:
        """Seconds that the task gives the agent."""
        limit = self.task.agent_timeout or self.contestant.default_timeout
        return limit * self.contestant.timeout_factor


Ended = tuple[AgentReport, Fault | None]


def at_work(work: Work) -> AbstractAsyncContextManager[Ended]:
    """Let the agent work to its end; inside the context, all that it left running still runs."""
    kinds = {"agentkit": _agentkit, "oracle": _oracle, "nop": _nop}
    return kinds[work.contestant.agent](work)


@asynccontextmanager
async def _nop(work: Work) -> AsyncGenerator[Ended]:
    del work
    yield AgentReport(status="finished", claims_success=False), None


@asynccontextmanager
async def _oracle(work: Work) -> AsyncGenerator[Ended]:
    """Run the task's own solution. A task without one is honestly given up."""
    script = work.task.solution
    if script is None:
        yield AgentReport(status="failed", output="the task has no solution"), None
        return
    # Terminal-Bench 1 keeps solution.sh beside the tests: only the script itself goes along.
    own_folder = script.parent.name == "solution"
    await work.place.put(script.parent if own_folder else script, _solution(script, own_folder))
    sandbox = await work.place.provider(work.task.agent_user).open("")
    try:
        result = await sandbox.exec(
            f"bash {_solution(script, False)}",
            cwd=work.place.workdir,
            env=work.task.solution_env,
            timeout=work.timeout,
        )
        fault = None
        if result.ended == "timeout":
            fault = fault_of(
                LimitReached("deadline", work.timeout, work.timeout), "agent_execution"
            )
        output = result.output.data.decode("utf-8", "replace")
        await anyio.Path(work.folder / "oracle.txt").write_text(output)
        yield (
            AgentReport(
                status="finished" if result.ok else "failed",
                claims_success=result.ok and not work.task.unsolvable,
                output=output[-4000:],
            ),
            fault,
        )
    finally:
        with anyio.CancelScope(shield=True):
            await sandbox.close()


def _solution(script: Path, folder: bool) -> str:
    return "/solution" if folder else posixpath.join("/solution", script.name)


@asynccontextmanager
async def _agentkit(work: Work) -> AsyncGenerator[Ended]:
    """Run the agent; its session stays open, and so its processes, until the grade is known."""
    from agentkit.stores.sqlite import SQLiteStore

    store = SQLiteStore(work.folder)
    watch = _Watch()
    fault: Fault | None = None
    try:
        async with make_agent(work, store).session("trial") as session:
            try:
                with anyio.move_on_after(work.timeout + GRACE) as hard:
                    await _follow(session, work, watch)
                if hard.cancelled_caught:
                    late = LimitReached("deadline", work.timeout + GRACE, work.timeout)
                    fault = fault_of(late, "agent_execution")
            except AgentkitError as error:
                fault = fault_of(error, "agent_execution")
            await anyio.to_thread.run_sync(_write_trajectory, store, session.id, work.folder)
            yield watch.report(session), fault or watch.limit(session, work)
    finally:
        store.close()


def _write_trajectory(store: SQLiteStore, session_id: str, folder: Path) -> None:
    """What the leaderboards of the field ask for beside every verdict."""
    from agentkit.exports import export
    from agentkit.log import read

    (folder / "trajectory.json").write_bytes(export(read(store, session_id), "atif"))


async def _follow(session: Session, work: Work, watch: _Watch) -> None:
    async for event in session.stream(work.task.instruction, checks=_told_checks(work.task)):
        if isinstance(event, ToolFinished) and event.status == "invalid":
            watch.invalid += 1


def _told_checks(task: Task) -> tuple[str, ...]:
    """In our own layout the checks are part of the task; hidden tests never are."""
    return task.grading.checks if task.grading.judge == "checks" and not task.unsolvable else ()


@dataclass(slots=True)
class _Watch:
    """What is counted while the agent works."""

    invalid: int = 0

    def report(self, session: Session) -> AgentReport:
        state = session.state
        end = state.finished
        return AgentReport(
            status=end.status if end else "cancelled",
            claims_success=end is not None and end.status == "finished",
            output=(end.output if end else "")[-4000:],
            usage=state.usage,
            cost_usd=state.cost_usd,
            priced=state.priced,
            turns=state.turns,
            invalid_calls=self.invalid,
            session_id=session.id,
        )

    def limit(self, session: Session, work: Work) -> Fault | None:
        """The limit at which the run stopped, which is no error of ``session.run``."""
        end = session.state.finished
        if end is None or end.status != "limit":
            return None
        named = _LIMIT.match(end.output)
        which = named[1] if named else "deadline"
        error = LimitReached(which, session.state.seconds, work.timeout)
        return replace(fault_of(error, "agent_execution"), message=end.output)


def make_agent(work: Work, store: SQLiteStore) -> Agent:
    """The agent that the contestant describes, in the trial's container.

    Raises:
        UsageError: an unknown preset or ladder, or no key.
    """
    from agentkit.agent import Agent
    from agentkit.ladder import Ladder
    from agentkit.limits import Limits
    from agentkit.tools import preset

    about = work.contestant
    wanted = preset(about.preset)
    ladder = Ladder.single(about.model) if about.model else Ladder.load(about.ladder)
    if about.model or not about.ladder.endswith(".toml"):
        ladder = wanted.asked(ladder)
    key = os.environ.get(about.api_key_env, "") if about.api_key_env else ""
    if about.api_key_env and not key:
        raise UsageError(f"{about.api_key_env} is not set", hint="Set it to your API key")
    return Agent(
        f"agentkit-{about.preset}",
        instructions=wanted.instructions,
        tools=wanted.tools(),
        sandbox=work.place.provider(work.task.agent_user),
        ladder=ladder,
        limits=Limits(cost_usd=work.max_cost, turns=about.max_turns, deadline=work.timeout),
        briefing=wanted.briefing,
        base_url=about.base_url,
        api_key=key,
        store=store,
    )
