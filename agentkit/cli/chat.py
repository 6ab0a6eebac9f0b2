"""``agentkit chat``: an interactive session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit.cli.options import Options, takes_options
from agentkit.errors import AgentkitError

if TYPE_CHECKING:
    from agentkit.cli.drive import Job
    from agentkit.session import Session

HELP = (
    "/undo takes back your last message and its changes, /quit or Ctrl-D ends,"
    " Ctrl-C stops the work at hand; anything else is said to the agent"
)


@takes_options
def chat(
    given: Options,
    session: Annotated[
        str, typer.Option("--session", metavar="ID", help="Name the session.", show_default=False)
    ] = "",
    resume: Annotated[
        str,
        typer.Option("--resume", metavar="ID", help="Go on with this one.", show_default=False),
    ] = "",
) -> None:
    """An interactive session: say what to do, watch, approve, say more.

    Ctrl-C stops the work at hand and gives the prompt back; /quit or Ctrl-D ends the chat.
    """
    import anyio

    from agentkit.cli.resume import stored_settings
    from agentkit.cli.run import prepare

    stored = None
    if resume:
        session, stored = stored_settings(given.home or "", resume)
    job = prepare(given, session_id=session, stored=stored)
    raise typer.Exit(anyio.run(_converse, job))


async def _converse(job: Job) -> int:
    from agentkit.cli.drive import one_run, open_session
    from agentkit.cli.summary import resume_command

    job.stop.lasting = False
    failed: AgentkitError | None = None
    async with open_session(job) as opened:
        if isinstance(opened, AgentkitError):
            failed = opened
        else:
            job.view.say(HELP)
            if opened.questions:  # asked before the chat began
                await one_run(job, opened, "")
            await _talk(job, opened)
    if failed is not None:
        raise failed
    job.view.say(f"go on      {resume_command(job.session_id, job.home)}")
    return 0


async def _talk(job: Job, session: Session) -> None:
    """Prompt and run, until the end of the input; an error ends the run, not the chat.

    An undo whose copy of the workspace could not be made ends it: nobody would find what was done
    after that. The session before has its own.
    """
    from agentkit.cli.drive import one_run

    while job.session_id == session.id:
        words = await _prompt(job)
        if words is None or words in ("/quit", "/exit"):
            return
        if words == "/undo":
            await _undo(job, session)
        elif words.startswith("/"):
            job.view.say(HELP)
        elif words:
            error = await one_run(job, session, words)
            if error is not None:
                job.view.say(f"error: {error}")


async def _undo(job: Job, session: Session) -> None:
    try:
        undone = await session.undo()
        await _take_copy(job, session, undone.parent)
    except AgentkitError as error:
        job.view.say(f"error: {error}")
        return
    changed = undone.restored.changed if undone.restored else 0
    job.view.say(f"undone: {changed} paths put back; the session is {undone.session_id} now")


async def _take_copy(job: Job, session: Session, parent: str) -> None:
    """Be the session that an undo began; one on a copy of the workspace works in its own."""
    from anyio import to_thread

    from agentkit.cli.branches import copy_home
    from agentkit.cli.build import Ground, make_sandbox, session_home

    await to_thread.run_sync(copy_home, job.store, job.settings.kept(), parent, session.id)
    job.session_id = session.id
    if job.settings.workspace_mode == "copy":
        folder = session_home(job.store, session.id) / "workspace"
        job.ground = Ground(job.ground.source, folder)
        await session.move(make_sandbox(job.settings, folder))


async def _prompt(job: Job) -> str | None:
    """What was typed; "" after Ctrl-C, None at the end of the input."""
    import anyio

    print("you> ", end="", flush=True)
    words: str | None = ""
    with anyio.CancelScope() as scope:
        job.stop.prompt = scope
        try:
            words = await job.lines.next()
        finally:
            job.stop.prompt = None
    if scope.cancelled_caught or words is None:
        print(flush=True)
    elif not sys.stdin.isatty():
        print(words, flush=True)
    return words.strip() if words is not None else None
