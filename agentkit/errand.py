"""One run of a session: how it opens in the log, and how it ends there, whatever happens."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from agentkit import facts
from agentkit.approvals.asking import give_up_waiting
from agentkit.checks import reports, required
from agentkit.errors import (
    AgentkitError,
    ApprovalNeeded,
    LimitReached,
    SessionError,
    TaskFailed,
)
from agentkit.escalation.descent import start_below
from agentkit.escalation.home import bring_home
from agentkit.escalation.off_peak import wait_for_off_peak
from agentkit.escalation.planning import plan_first
from agentkit.events import Message, RunStarted, SessionFinished, Status
from agentkit.loop import Outcome, take_up, work
from agentkit.result import exit_code
from agentkit.tracing import FACT

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.run import Run


@dataclass(slots=True)
class Errand:
    """A message worked on, once: from ``run.started`` to ``session.finished``."""

    agent: Agent
    run: Run
    message: str
    """"" goes on where the last run stopped."""
    checks: tuple[str, ...]
    """Commands that must exit 0 before it may finish."""
    under_way: bool = True
    listens: bool = False
    """Whether what is said to the model now is read before the end, if nothing stops it."""
    parked: bool = False
    """It was stopped without an end in the log, for whoever resumes the session."""
    data: Any = None
    """The structured result, as an instance, once it has ended."""
    _scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)

    async def carry_out(self) -> None:
        """Work to the end and log it. Call it once.

        Raises:
            SessionError: it was parked.
            ModelError, SandboxError, StoreError: it could not go on; that is logged.
        """
        try:
            with self._scope, self.agent.traced(self.run):
                await self._work()
        finally:
            self.under_way = False
        if self.parked and self._scope.cancelled_caught:
            raise SessionError("the run was parked", hint="Resume the session to go on with it")

    def cancel(self) -> None:
        """Stop it, with an end in the log."""
        self._scope.cancel()

    def park(self) -> None:
        """Stop it as a crash would, but tidily."""
        self.parked = True
        self._scope.cancel()

    async def _work(self) -> None:
        run = self.run
        run.checks = self.checks
        outcome = Outcome("", achieved=False)
        status: Status = "cancelled"
        error: BaseException | None = None
        self.listens = True
        try:
            run.budget.start()
            outcome = await self._open() or await work(run)
            self.listens = False
            status = "finished" if outcome.achieved else "failed"
        except TaskFailed as failure:
            status, error = "failed", failure
        except LimitReached as reached:
            status, error = "limit", reached
        except ApprovalNeeded as needed:
            status, error = "waiting", needed
        except Exception as fault:
            status, error = "error", fault
            if isinstance(fault, AgentkitError):
                run.log.redactor.error(fault)
            raise
        finally:
            self.listens = False
            with anyio.CancelScope(shield=True):
                if self.parked and status == "cancelled":
                    run.budget.stop()
                    await run.log.commit()
                else:
                    await self._close(status, outcome, error)

    async def _open(self) -> Outcome | None:
        """Log the message, with the lane before the very first one, then the briefing.

        The message is durable before anything can fail or wait: a sandbox that does not open
        leaves a session that still knows its task. Only calls that were approved while no process
        ran come before it. The outcome, where one of those ends the work.
        """
        run, said = self.run, bool(self.message.strip())
        first = not run.state.lanes
        if said:
            give_up_waiting(run)
        pending = run.state.waiting_calls(run.lane_name)
        if said and not (first or pending):
            await start_below(run)
        limits = asdict(run.budget.limits)
        run.append(RunStarted(checks=run.checks, limits=limits, resumed=not first))
        if run.log.trace is not None and (identity := run.log.trace.identity):
            run.record(FACT, identity)
        if first:
            run.append(self.agent.opening())
        outcome = await take_up(run, pending) if pending else None
        if said:
            run.append(Message(text=self.message))
        elif outcome is not None:
            return outcome
        elif not pending:
            run.note("[The session was interrupted and goes on now. Continue with the task.]")
        await run.log.commit()
        with run.budget.paused():  # who asked for cheaper prices did not ask for less time
            await wait_for_off_peak(run, self.agent.off_peak_wait)
        with run.budget.deadline():  # past it, the work that follows ends before it asks
            await self._prepare()
        return None

    async def _prepare(self) -> None:
        """What the model reads before its first answer: briefing, news, time left, a plan."""
        run, briefing = self.run, self.agent.briefing
        if briefing is not None and run.ground.exists and "briefed" not in run.state.facts:
            run.note(await briefing(await run.sandbox()))
            run.record("briefed", {})
        await facts.tell(run, starting=True)
        if run.budget.limits.deadline is not None:
            run.note(f"[There are {run.budget.told_left()} for this task.]")
        await plan_first(run, self.message)

    async def _close(self, status: Status, outcome: Outcome, error: BaseException | None) -> None:
        """Bring the best state home, if the task is not done, and log the end."""
        run = self.run
        if status in ("failed", "limit"):
            await bring_home(run)
        state = run.state
        if status != "error":
            await facts.leave(run)
        seconds = run.budget.stop()
        self.data, logged = self.agent.result_of(outcome.data)
        run.append(
            SessionFinished(
                status=status,
                exit_code=exit_code(status, error),
                output=outcome.output or (str(error) if error is not None else ""),
                error=type(error).__name__ if error is not None else "",
                data=logged,
                checks=reports(run, required(run)),
                turns=state.turns,
                usage=state.usage,
                cost_usd=state.cost_usd,
                priced=state.priced,
                duration=round(seconds, 3),
            )
        )
        await run.log.commit()
