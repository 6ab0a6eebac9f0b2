"""A live session: messages in, events out, resumable at any point."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from agentkit.aftermath import settle_open_calls
from agentkit.approvals.asking import log_answer, open_question
from agentkit.branches import Branch, Undone, fork, undo_point, workspace_at
from agentkit.errand import Errand
from agentkit.errors import SessionError, StoreError, UsageError
from agentkit.events import ApprovalAsked, Event, Message, SandboxOpened
from agentkit.forks import fork_session
from agentkit.guard import differences, renew
from agentkit.log import EventLog, read
from agentkit.models.tokens import estimate_tokens
from agentkit.result import Result
from agentkit.run import Run
from agentkit.state import State, replay

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.checkpoints.keeper import Checkpoints
    from agentkit.mcp.toolset import Servers
    from agentkit.sandbox import Sandbox, SandboxProvider
    from agentkit.stores import Store


MCP = "mcp"
"""Kind of the fact that keeps the tools that MCP servers had when the session began."""
_MAY_GO_ON = ("cancelled", "limit", "error", "waiting")
"""Ends of a run after which its sandbox is of use to whoever resumes the session."""


def new_id() -> str:
    """A session id that sorts by its time of birth: ``20261124-041502-3f9a1c``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _read(store: Store, session_id: str) -> tuple[list[Event], State]:
    """What is stored, and what it adds up to. Long logs take long: for a thread."""
    importlib.import_module("agentkit.models.endpoint")  # the first session's imports, 60 ms, too
    events = read(store, session_id)
    return events, replay(events)


class Session:
    """Made by ``Agent.session``; use it as an async context manager.

    It works on one message at a time. Leaving the context stops what still runs and removes the
    sandbox; the log stays, and ``agent.session(session_id=…)`` goes on from it.
    """

    def __init__(
        self, agent: Agent, store: Store, session_id: str, *, resume: bool, cold: bool = False
    ) -> None:
        self.id = session_id
        self._agent = agent
        self._store = store
        self._resume = resume
        self._cold = cold
        self._live: Run | None = None
        self._servers: Servers | None = None
        self._tasks: TaskGroup | None = None
        self._errand: Errand | None = None
        """What is under way, or the last one that was."""

    async def __aenter__(self) -> Session:
        # Before anything is read: from here on the log is what this process makes of it.
        await to_thread.run_sync(self._store.acquire, self.id)
        try:
            return await self._enter()
        except BaseException:
            await self._leave_servers()
            await self._release()
            raise

    async def _enter(self) -> Session:
        events, state = await to_thread.run_sync(_read, self._store, self.id)
        if self._resume and not events:
            raise SessionError(f"there is no session {self.id!r}")
        if events and not self._resume:
            raise SessionError(
                f"a session {self.id!r} exists already", hint="Resume it, or choose another id"
            )
        log = EventLog(self._store, self.id, len(events))
        fresh = await self._meet_servers(state)
        self._live = self._agent.bring_up(log, state)
        self._live.cold = self._cold
        if fresh is not None:
            self._live.record(MCP, fresh)
        await settle_open_calls(self._live, events)
        if self._cold and self._live.state.lanes:
            renew(self._live, self._agent.opening(self._live))
        await log.commit()
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        return self

    async def _meet_servers(self, state: State) -> Mapping[str, Any] | None:
        """Take the tools of MCP servers: those that the log has kept, else what they offer now.

        Returns:
            What the log must keep of them, where that is new.

        Raises:
            ToolServerError, UsageError: one that is needed cannot be reached.
        """
        known = next(reversed(state.facts.get(MCP, [])), None)
        begun = bool(state.lanes) and not self._cold
        if known is None and (begun or not self._agent.mcp):
            return None
        from agentkit.mcp.toolset import Servers

        kept = None if self._cold else known
        self._servers = Servers(self._agent.mcp)
        self._agent, now = await self._servers.open(self._agent, kept)
        return now if kept is None else None

    async def _leave_servers(self) -> None:
        if self._servers is not None:
            servers, self._servers = self._servers, None
            await servers.aclose()

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.cancel()
        try:
            try:
                if self._tasks is not None:
                    # Not told of the error: it would come out wrapped in a group, and the
                    # caller's ``except ModelError`` would not see it. Nothing runs in it any more.
                    await self._tasks.__aexit__(None, None, None)
            finally:
                await self._leave_servers()
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    leave = self._agent.keep_sandbox and self._may_go_on
                    await self._run.ground.close(leave=leave)
                    await self._run.endpoints.aclose()
                finally:
                    await self._release()

    async def _release(self) -> None:
        """Give the session free for others."""
        with anyio.CancelScope(shield=True), suppress(StoreError):  # it ends with this process
            await to_thread.run_sync(self._store.release, self.id)
            if self._agent.store is None:  # made for this session alone
                await to_thread.run_sync(self._store.close)

    @property
    def _may_go_on(self) -> bool:
        """Whether the last run stopped short of its end, so that its sandbox is of use."""
        if self._errand is not None and self._errand.parked:
            return True
        end = self._run.state.finished
        return end is not None and end.status in _MAY_GO_ON

    @property
    def _run(self) -> Run:
        if self._live is None:
            raise UsageError("the session is not open", hint="Use `async with agent.session()`")
        return self._live

    @property
    def kept_head(self) -> list[str]:
        """In what the agent's definition differs from the head that the session keeps.

        A session goes on with the model, instructions and tools with which it began: another
        head means a cold cache. ``agent.session(…, cold=True)`` takes the present ones.
        """
        run = self._run
        if not run.state.lanes:
            return []
        return differences(run.state.opened[run.lane_name], self._agent.opening(run))

    @property
    def state(self) -> State:
        """What the log adds up to at this moment; read it, do not change it."""
        return self._run.state

    @property
    def store(self) -> Store:
        """Where its log lives."""
        return self._store

    @property
    def checkpoints(self) -> Checkpoints:
        """Checkpoints of the workspace: ``take``, ``restore``, ``diff``."""
        return self._run.checkpoints

    @property
    def listens(self) -> bool:
        """Whether a run is under way that reads what ``steer`` says now, if nothing stops it."""
        return self._errand is not None and self._errand.listens

    async def sandbox(self) -> Sandbox:
        """The session's sandbox, opened if it is not yet.

        Raises:
            ToolError: the agent has none.
            SandboxError: it cannot be opened.
        """
        return await self._run.sandbox()

    async def run(self, message: str = "", *, checks: Sequence[str] = ()) -> Result:
        """Work on a message to its end; without one, go on where the last run stopped.

        Args:
            checks: commands that must exit 0 in the sandbox before the run may finish, beside
                the agent's own.

        Raises:
            UsageError: nothing to do, a message that no window holds, checks without a sandbox,
                or a run is under way.
            ModelError, SandboxError, StoreError: the run could not go on. It is logged, and the
                session can be resumed.
        """
        wanted = self._accept(message, checks)
        self._errand = Errand(self._agent, self._run, message, wanted)
        await self._errand.carry_out()
        return self.result

    async def stream(
        self, message: str = "", *, checks: Sequence[str] = ()
    ) -> AsyncGenerator[Event]:
        """Like ``run``, giving each event as it happens; the last is ``session.finished``.

        Leaving the iteration early stops the run. Raises what ``run`` raises.
        """
        run = self._run
        self._accept(message, checks)
        run.watched = True
        failures: list[Exception] = []
        with run.log.watch() as watch:

            async def work_on_it() -> None:
                try:
                    await self.run(message, checks=checks)
                except Exception as error:
                    failures.append(error)
                finally:
                    watch.end()

            assert self._tasks is not None
            self._tasks.start_soon(work_on_it)
            try:
                async for event in watch.events:
                    yield event
            finally:
                self.cancel()
        if failures:
            raise failures[0]

    async def undo(self, *, to_turn: int | None = None, files: bool = True) -> Undone:
        """Take back the user's last message and all that came of it: history and files.

        Nothing is deleted: a new session begins with a copy of the log up to there, and this
        object goes on as that session (``id`` changes). What was spent stays spent.

        Args:
            to_turn: go back to the end of this turn instead, as ``sessions show`` counts them.
            files: False leaves the workspace as it is.

        Raises:
            UsageError: the session is at work.
            SessionError: nothing to undo, no such turn, or no checkpoint of the files was kept.
            SandboxError, StoreError: the files could not be put back; nothing else was done.
        """
        run = self._idle()
        events = await run.log.events()
        point = undo_point(events, to_turn)
        mark = workspace_at(events, point.seq) if files else ""
        restored = await run.checkpoints.restore(mark, tell=False) if mark else None
        await run.log.commit()
        parent, child = self.id, new_id()
        work = partial(fork_session, self._store, parent, child, at=point, undone=run.state)
        await to_thread.run_sync(work)
        await self._become(child)
        undone = Undone(child, parent, point.turn, restored)
        if undone.as_note():
            self._run.notes.append(undone.as_note())
        return undone

    async def fork(
        self, *, turn: int | None = None, workspace: str | os.PathLike[str] = ""
    ) -> Branch:
        """Begin another session at the end of a turn, with a workspace of its own.

        Args:
            turn: as ``sessions show`` counts them; None is the last one that ended.
            workspace: a folder for the fork's copy of the workspace, new or empty; "" is a folder
                beside the store. Without meaning where the workspace is in the sandbox.

        Raises:
            UsageError: the session is at work.
            SessionError: no such turn, or no checkpoint of the files was kept.
            WorkspaceError, StoreError: it cannot be copied or stored.
        """
        run = self._idle()
        await run.log.commit()
        events, fork_id = await run.log.events(), new_id()
        source = run.ground.provider.host_workspace if run.ground.provider else None
        beside = self._store.folder / "sessions" / fork_id / "workspace"
        target = Path(workspace) if workspace else beside
        work = partial(
            fork,
            self._store,
            self.id,
            fork_id,
            events,
            turn=turn,
            source=source,
            target=target if source is not None else None,
        )
        return await to_thread.run_sync(work)

    @property
    def _at_work(self) -> Errand | None:
        return self._errand if self._errand is not None and self._errand.under_way else None

    def _idle(self) -> Run:
        if self._at_work is not None:
            raise UsageError("the session is at work", hint="Cancel it, or wait for its end")
        return self._run

    async def _become(self, session_id: str) -> None:
        """Go on as another session, in the same sandbox."""
        old = self._run
        await to_thread.run_sync(self._store.acquire, session_id)
        await self._release()
        self.id = session_id
        events, state = await to_thread.run_sync(_read, self._store, session_id)
        log = EventLog(self._store, session_id, len(events))
        run = self._agent.bring_up(log, state)
        run.ground, run.endpoints, run.cold = old.ground, old.endpoints, old.cold
        if run.ground.kept is not None:
            run.ground.kept = run.ground.kept.for_log(log)
        if run.ground.opened is not None and run.state.sandbox is None:
            sandbox = run.ground.opened
            run.append(
                SandboxOpened(description=sandbox.description, ref=dict(sandbox.ref), reopened=True)
            )
        self._live = run
        await settle_open_calls(run, events)
        await log.commit()

    async def move(self, sandbox: SandboxProvider) -> None:
        """Go on in another sandbox with the same files, and tell the model; the present one ends.

        Raises:
            UsageError: the session is at work.
            SandboxError: it cannot be opened; the next call that needs it tries again.
        """
        run = self._idle()
        await run.ground.close()
        run.ground.provider, run.ground.kept = sandbox, None
        run.notes.append(f"[The workspace is {(await run.sandbox()).workdir} now.]")

    async def steer(self, text: str) -> None:
        """Say something to the model in mid-run; it reads it before its next answer.

        Raises:
            UsageError: nothing is said, or more than the model's window holds.
        """
        if not text.strip():
            raise UsageError("an empty message steers nothing")
        self._fits(text)
        self._run.steering.append(text)

    def say_aside(self, text: str, source: Literal["user", "agentkit", "hook"]) -> None:
        """Append a user-role text at once; between an answer and its results it must not be."""
        self._run.append(Message(text=text, source=source))

    @property
    def questions(self) -> list[ApprovalAsked]:
        """Calls that wait for somebody's yes, oldest first; answer them with ``approve``."""
        return self._run.state.questions

    async def approve(self, call_id: str, allowed: bool = True, reason: str = "") -> None:
        """Answer a call that waits for a yes; durable on return.

        A run that waits for it goes on. Where none is under way, ``run()`` acts on the answer.

        Args:
            reason: of a no; the model reads it.

        Raises:
            AlreadyAnswered: somebody was quicker.
            NotAsked: this call waits for nothing.
        """
        run = self._run
        log_answer(run, open_question(run.state, call_id), allowed=allowed, reason=reason)
        await run.log.commit()

    def cancel(self) -> None:
        """Stop the run that is under way, if any; the history stays valid and resumable."""
        if self._at_work is not None:
            self._at_work.cancel()

    def park(self) -> None:
        """Stop the run that is under way without an end in the log, as a crash would, but tidily.

        For a process that has to go: whoever resumes the session goes on with the run.
        """
        if self._at_work is not None:
            self._at_work.park()

    async def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Log a fact of the caller's own; durable on return. The model is not told."""
        self._run.record(kind, data)
        await self._run.log.commit()

    @property
    def result(self) -> Result:
        """How the last run ended.

        Raises:
            SessionError: none has ended yet.
        """
        finished = self._run.state.finished
        if finished is None:
            raise SessionError("the session has no ended run yet")
        data = self._errand.data if self._errand is not None else None
        return Result.of(finished, self.id, data)

    def _accept(self, message: str, checks: Sequence[str]) -> tuple[str, ...]:
        if self._at_work is not None:
            raise UsageError("the session is at work already", hint="Steer it, or wait for its end")
        if not message.strip() and not self._run.state.lanes:
            raise UsageError("the task is empty", hint="Say what is to be done")
        self._fits(message)
        wanted = tuple(dict.fromkeys([*self._agent.checks, *checks]))
        if wanted and not self._run.ground.exists:
            raise UsageError("checks need a sandbox to run in", hint="Give the agent a sandbox")
        return wanted

    def _fits(self, text: str) -> None:
        """Refuse what no history can hold, before it is in this one: it could never be sent.

        Raises:
            UsageError: the text alone is longer than the model's window.
        """
        run = self._run
        rung = run.lane.rung if run.state.lanes else run.ladder.rungs[0]
        window = run.catalogue.model(rung.model)
        tokens = estimate_tokens(text)
        if window.known and tokens > window.context:
            raise UsageError(
                f"the message has about {tokens:,} tokens, more than {rung.model} can read",
                tried=f"its window has {window.context:,}; nothing was sent or logged",
                hint="Put the text into a file of the workspace, and let the agent search it",
            )
