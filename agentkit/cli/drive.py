"""Run a session from the command line: signals, views, the summary, the exit code."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from agentkit.cli import INTERRUPTED, summary
from agentkit.cli.build import Ground, make_agent, session_home
from agentkit.cli.changes import Changes
from agentkit.errors import AgentkitError
from agentkit.events import ApprovalAsked, ModelRequested
from agentkit.hooks import Call, Hooks, Refuse
from agentkit.log import read

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.cli.approval import Asker
    from agentkit.cli.settings import Settings
    from agentkit.cli.stdin import Lines
    from agentkit.cli.views import View
    from agentkit.session import Session
    from agentkit.stores import Store


@dataclass(slots=True)
class Stop:
    """What the user's signals ask for."""

    asked: bool = False
    session: Session | None = None
    lasting: bool = True
    """False in a chat: a signal stops the run, and the next run is a fresh one."""
    prompt: anyio.CancelScope | None = None
    """Set while a chat waits for words: a signal then clears the line."""


@dataclass(slots=True)
class Job:
    """A session at work for the command line."""

    settings: Settings
    store: Store
    session_id: str
    ground: Ground
    view: View
    lines: Lines
    resume: bool = False
    cold: bool = False
    """A cold cache is accepted: the present instructions and tools in place of the first ones."""
    apply: bool = False
    home: str = ""
    changes: Changes | None = None
    asker: Asker | None = None
    stop: Stop = field(default_factory=Stop)
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def agent(self) -> Agent:
        """The agent, with the hooks of a command line."""
        from agentkit.cli.approval import Asker, can_ask

        if can_ask():
            self.asker = Asker(self.view, self.lines)
        hooks = Hooks(before_tool=self._before_tool, approve=self.asker)
        return make_agent(
            self.settings, self.ground, self.store, hooks=hooks, progress=self.view.aside
        )

    async def _before_tool(self, call: Call) -> Refuse | None:
        """The state before must be known before anything can change it."""
        if self.changes is not None and call.writes:
            await to_thread.run_sync(self.changes.begin)
        return None

    def watch_changes(self) -> None:
        """Prepare to see what changes; nothing is read yet."""
        if self.ground.folder is None:
            return
        if self.ground.folder != self.ground.source:
            base = session_home(self.store, self.session_id) / "base.git"
        else:
            self._temporary = tempfile.TemporaryDirectory(prefix="agentkit-")
            base = Path(self._temporary.name) / "base.git"
        self.changes = Changes(self.ground.folder, base)

    def forget_changes(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


async def drive(job: Job, message: str) -> int:
    """Run a message to its end, or to its stop, and give the exit code.

    Raises:
        AgentkitError: what ended the run, after the summary.
    """
    code = INTERRUPTED
    failed: AgentkitError | None = None
    async with open_session(job) as opened:
        if isinstance(opened, AgentkitError):
            failed = opened
        elif not job.stop.asked:
            failed = await one_run(job, opened, message)
            code = opened.result.exit_code if failed is None else failed.exit_code
    if failed is not None:
        raise failed
    return code


@asynccontextmanager
async def open_session(job: Job) -> AsyncGenerator[Session | AgentkitError]:
    """An open session under the user's signals, or why there is none.

    The error is a value here: raised inside, a task group would wrap it.
    """
    agent = job.agent()
    job.view.lines(summary.header(job.session_id, agent, job.settings, job.ground))
    session = agent.session(job.session_id, resume=job.resume, cold=job.cold)
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, signals, job)
            try:
                info = await to_thread.run_sync(job.store.info, job.session_id)
                known = info.events if info is not None else 0
                await session.__aenter__()
            except AgentkitError as error:
                yield error
            else:
                job.stop.session = session
                try:
                    if session.kept_head:
                        kept = " and ".join(session.kept_head)
                        job.view.aside(f"the session keeps its own {kept}; --cold takes today's")
                    await _show_opening(job, known)
                    yield session
                finally:
                    await session.__aexit__(None, None, None)
            finally:
                job.view.close()
                tasks.cancel_scope.cancel()


async def _show_opening(job: Job, known: int) -> None:
    """Show what entered the log before anybody could watch it."""
    for event in await to_thread.run_sync(read, job.store, job.session_id, known):
        job.view.event(event)


async def one_run(job: Job, session: Session, message: str) -> AgentkitError | None:
    """Show one run and its summary; what ended it, if that was an error."""
    failed: AgentkitError | None = None
    begun = False
    job.watch_changes()
    try:
        stream = session.stream(message)  # closed at once where its events cannot be shown
        async with aclosing(stream), anyio.create_task_group() as tasks:
            try:
                async for event in stream:
                    if isinstance(event, ModelRequested) and not begun and job.changes:
                        begun = True  # the model now has the time that this takes
                        tasks.start_soon(to_thread.run_sync, job.changes.begin)
                    job.view.event(event)
                    if isinstance(event, ApprovalAsked) and job.asker:
                        job.asker.shown(event.call_id)
            except AgentkitError as error:
                failed = error
        await _close(job, session)
    finally:
        job.forget_changes()
        if not job.stop.lasting:
            job.stop.asked = False
    return failed


async def _close(job: Job, session: Session) -> None:
    end = session.state.finished
    if end is None:
        return
    changes = job.changes
    changed = None if changes is None else await to_thread.run_sync(changes.list)
    waiting = session.questions
    job.view.lines(summary.closing(end, job.session_id, changed, job.home, waiting))
    if changes is not None and job.ground.folder != job.ground.source:
        from agentkit.cli.bring_home import bring_home

        await to_thread.run_sync(bring_home, job)


async def _listen(signals: AsyncIterator[signal.Signals], job: Job) -> None:
    """The first signal stops the run politely, the second one the program."""
    async with anyio.create_task_group() as tasks:
        async for number in signals:
            if number == signal.SIGTERM:
                job.stop.lasting = True
            if job.stop.prompt is not None:
                job.stop.prompt.cancel()
                continue
            if job.stop.asked:
                job.view.close()
                stop_now(job)
            job.stop.asked = True
            job.view.pause()
            job.view.aside("stopping; once more stops at once")
            tasks.start_soon(_cancel, job.stop)


async def _cancel(stop: Stop) -> None:
    """Cancel what runs, also if it is only about to begin."""
    while stop.asked:
        if stop.session is not None:
            stop.session.cancel()
        await anyio.sleep(0.1)


def stop_now(job: Job) -> None:
    """End this process without waiting for anything but, shortly, the container's end."""
    from threading import Thread

    if job.settings.sandbox == "docker":
        removal = Thread(target=_remove_containers, args=(job.session_id,), daemon=True)
        removal.start()
        removal.join(8.0)
    words = f"stopped at once; go on with: {summary.resume_command(job.session_id, job.home)}"
    print(words, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(INTERRUPTED)


def _remove_containers(session_id: str) -> None:
    from agentkit.sandboxes._engine import connect
    from agentkit.sandboxes._owner import prune

    async def work() -> None:
        await prune(await connect(), everything=True, session=session_id)

    with suppress(Exception):  # the process ends now; what stays is taken by the next sweep
        anyio.run(work)
