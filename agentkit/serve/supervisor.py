"""Runs live here, apart from any connection: accepted, queued, watched, parked, taken up again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from agentkit.agent import Agent
from agentkit.approvals.record import answer, questions
from agentkit.errors import (
    AgentkitError,
    LogDamaged,
    SessionInUse,
    StoreError,
)
from agentkit.events import SessionFinished, SessionStarted
from agentkit.log import read
from agentkit.serve.agents import Factory, Opening, agent_for, metadata_of, tenant_of
from agentkit.serve.bodies import State
from agentkit.serve.feeds import Hub
from agentkit.serve.job import Job
from agentkit.serve.pending import ACCEPTED, WITHDRAWN, Owed, accepted, owed
from agentkit.serve.problems import Problem, log
from agentkit.serve.queue import Capacity, Queue
from agentkit.serve.wishes import Relay, Wish, carry_out
from agentkit.session import Session
from agentkit.stores import SessionInfo, Store

SWEEP = 5.0
"""Seconds between two looks for runs whose process is gone."""
PARKING = 20.0
"""Seconds that runs have to stop tidily when the service ends."""


class Supervisor:
    """All sessions that this process works on.

    Args:
        source: the agent, or what makes one for each session.
    """

    def __init__(self, source: Agent | Factory, store: Store, capacity: Capacity) -> None:
        self.store = store
        self.hub = Hub(store)
        self.jobs: dict[str, Job] = {}
        self.relay = Relay(store, self.hub, self.jobs.get)
        self._source = source
        self._queue = Queue(capacity)
        self._tasks: TaskGroup | None = None
        self._seen: dict[str, int] = {}
        self.was_started = False

    @property
    def is_open(self) -> bool:
        """Whether messages are taken in."""
        return self._tasks is not None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Work, until the end of the context; then park what is under way."""
        async with anyio.create_task_group() as tasks:
            self._tasks, self.was_started = tasks, True
            self.hub.on_post = self._post_came
            tasks.start_soon(self.hub.listen)
            tasks.start_soon(self._sweep)
            try:
                yield
            finally:
                self._tasks = None
                with anyio.move_on_after(PARKING, shield=True):
                    await self._park()
                tasks.cancel_scope.cancel()

    def _post_came(self, session_id: str) -> None:
        if self._tasks is not None and session_id in self.jobs:
            self._tasks.start_soon(self.relay.read, session_id)

    async def _park(self) -> None:
        for job in self.jobs.values():
            job.park()
        while self.jobs:
            job = next(iter(self.jobs.values()))
            await job.settled.wait()
            job.park()  # it may have come to its run only now
            await anyio.sleep(0.01)

    async def submit(self, job: Job) -> None:
        """Take a message in; on return it is durable.

        Raises:
            Problem, AgentkitError: it is not taken in, and nothing was changed.
        """
        if self._tasks is None:
            raise Problem(503, "the service is ending", headers={"Retry-After": "5"})
        session_id, tenant = job.opening.session_id, job.opening.tenant
        if session_id in self.jobs:
            raise Problem(
                409, "the session is at work", hint="Steer it, cancel it, or wait for its end"
            )
        self._queue.enter(tenant)
        self.jobs[session_id] = job
        self._tasks.start_soon(self._do, job)
        await job.settled.wait()
        if job.error is not None:
            raise job.error

    async def tell(self, info: SessionInfo, wish: Wish) -> State:
        """Say something to the run of a session, wherever it is under way.

        Raises:
            Problem: it is not at work, or cannot do that now.
        """
        job = self.jobs.get(info.id)
        if job is not None:
            return await carry_out(job, wish)
        if info.owner:
            return await self.relay.send(info.id, wish)
        raise Problem(409, "the session is not at work")

    @asynccontextmanager
    async def alone(self, opening: Opening) -> AsyncGenerator[Session]:
        """The session, not at work, for an undo or a fork.

        Raises:
            Problem: it is at work.
        """
        session_id = opening.session_id
        if session_id in self.jobs:
            raise Problem(409, "the session is at work", hint="Cancel it, or wait for its end")
        job = self.jobs[session_id] = Job(opening, "", alone=True)
        job.settled.set()
        try:
            agent = await agent_for(self._source, opening, self.store)
            async with agent.session(session_id, resume=True) as session:
                yield session
        finally:
            del self.jobs[session_id]
            self.hub.end(session_id)

    async def answer(self, opening: Opening, call_id: str, allow: bool, reason: str) -> None:
        """Answer a question of a session that is not at work; durable on return.

        It keeps the answer for whoever goes on with it. A session that had stopped for want of
        answers goes on here with the last of them.

        Raises:
            AlreadyAnswered, NotAsked, SessionInUse, StoreError: it cannot be answered.
        """
        session_id = opening.session_id
        give = partial(answer, self.store, session_id, call_id, allowed=allow, reason=reason)
        await to_thread.run_sync(give)
        info = await to_thread.run_sync(self.store.info, session_id)
        if info is None or info.status != "waiting":
            return
        if not await to_thread.run_sync(questions, self.store, session_id):
            with suppress(Problem):  # no place now, or somebody was quicker; the answer is kept
                await self.submit(Job(opening, ""))

    async def _do(self, job: Job) -> None:
        """One job from acceptance to end; what goes wrong after that is in the session's log."""
        session_id, tenant = job.opening.session_id, job.opening.tenant
        try:
            agent = await agent_for(self._source, job.opening, self.store)
            if job.checks and agent.sandbox is None:
                raise Problem(409, "checks need a sandbox to run in, and this agent has none")
            async with agent.session(session_id, resume=job.opening.started is not None) as session:
                job.session = session
                await self._take_in(job, session)
                await self._run(job, session)
        except Exception as error:
            job.error = error
            if _is_outage(error):
                self._seen.pop(session_id, None)  # to be looked at again when the store is back
            if job.parked:
                log.info("run.parked", session=session_id)
            elif job.settled.is_set() and not job.stopped:
                log.warning("run.failed", session=session_id, error=str(error))
            elif not isinstance(error, (AgentkitError, Problem)):
                log.exception("session.not_opened", session=session_id)
        finally:
            del self.jobs[session_id]
            self._queue.leave(tenant)
            job.settled.set()
            self.hub.end(session_id)

    async def _take_in(self, job: Job, session: Session) -> None:
        if not job.recorded and (job.message or session.state.lanes):
            await session.record(ACCEPTED, accepted(job.message, job.checks))
            log.info("message.accepted", session=session.id, tenant=job.opening.tenant)
        elif not job.recorded and job.opening.started is not None:
            raise Problem(409, "the session has no task yet", hint="Say what is to be done")
        if job.has_work:  # else once it is closed again: the first message may come at once
            job.settled.set()

    async def _run(self, job: Job, session: Session) -> None:
        if not (job.message or session.state.lanes):
            return  # made without a message
        with job.waiting:
            async with self._queue.turn(job.opening.tenant):
                job.running = True
                if not job.stopped:
                    log.info("run.started", session=session.id, again=job.recorded)
                    for each in job.words:
                        await session.steer(each)
                    async for event in session.stream(job.message, checks=job.checks):
                        self.hub.give(session.id, event)
                        if isinstance(event, SessionFinished):
                            _tell_end(session.id, event)
                        if job.stopped:
                            job.stop()
                    return
        if not job.parked:
            await session.record(WITHDRAWN, {})

    # Runs whose process is gone.

    async def _sweep(self) -> None:
        """Take up what an earlier process, or one that died since, left undone."""
        while True:
            try:
                for info in await to_thread.run_sync(self.store.sessions):
                    if not info.owner and self._seen.get(info.id) != info.events:
                        await self._take_up(info)
                for session_id in list(self.jobs):  # a notice of a letter may have been missed
                    await self.relay.read(session_id)
            except AgentkitError as error:
                log.warning("sweep.failed", error=str(error))
            await anyio.sleep(SWEEP)

    async def _take_up(self, info: SessionInfo) -> None:
        if info.id in self.jobs:
            return
        self._seen[info.id] = info.events
        try:
            found = await to_thread.run_sync(_left, self.store, info)
            if found is None:
                return
            started, rest = found
            opening = Opening(info.id, tenant_of(started), metadata_of(started), started)
            await self.submit(_again(opening, rest))
            log.info("run.taken_up", session=info.id)
        except SessionInUse:  # another process was quicker
            del self._seen[info.id]
        except Problem as problem:  # no place now
            del self._seen[info.id]
            log.info("run.has_to_wait", session=info.id, why=problem.detail)
        except Exception as error:
            log.warning("run.not_taken_up", session=info.id, error=str(error))
            if _is_outage(error):
                self._seen.pop(info.id, None)


def _tell_end(session_id: str, end: SessionFinished) -> None:
    log.info(
        "run.ended",
        session=session_id,
        status=end.status,
        error=end.error or None,
        turns=end.turns,
        usd=round(end.cost_usd, 6) if end.priced else None,
        seconds=end.duration,
    )


def _is_outage(error: Exception) -> bool:
    return isinstance(error, StoreError) and not isinstance(error, LogDamaged)


def _again(opening: Opening, rest: Owed) -> Job:
    return Job(opening, rest.message, rest.checks, recorded=True, words=rest.words)


def _left(store: Store, info: SessionInfo) -> tuple[SessionStarted, Owed] | None:
    """What is owed to a session. Blocks.

    A session whose last event is no note of ours, and whose run has ended, is not read whole.
    """
    if info.status != "open":
        last = store.read(info.id, info.events - 1)
        if not last or not any(each in last[0].data for each in (ACCEPTED, '"StoreError"')):
            return None
    events = read(store, info.id)
    rest = owed(events)
    first = events[0] if events else None
    return (first, rest) if rest is not None and isinstance(first, SessionStarted) else None
