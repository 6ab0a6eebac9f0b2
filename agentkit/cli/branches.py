"""``agentkit sessions fork|undo|replay``, and what ``show --diff`` shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentkit.cli.upkeep import HomeFlag, SessionId
from agentkit.errors import SessionError, UsageError

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.checkpoints.difference import Difference
    from agentkit.events import Event
    from agentkit.stores import Store


def undo(
    session: SessionId,
    to_turn: Annotated[
        int | None,
        typer.Option("--to-turn", metavar="N", help="Go back to the end of turn N instead."),
    ] = None,
    keep_files: Annotated[
        bool, typer.Option("--keep-files", help="Take back the history alone.")
    ] = False,
    home: HomeFlag = "",
) -> None:
    """Take back the last message and all that came of it, history and files.

    Nothing is deleted: a new session begins with a copy of the log up to there, and the files are
    put back in place.
    """
    import anyio

    from agentkit.cli.build import open_store
    from agentkit.cli.summary import resume_command

    store = open_store(home)
    session_id = store.find(session)
    settings = _settings(store, session_id)
    undone = anyio.run(_undo, store, session_id, settings, to_turn, not keep_files)
    copy_home(store, settings, session_id, undone.session_id)
    print(f"session    {undone.session_id}, at turn {undone.turn} of {session_id}")
    if undone.restored is None:
        print("files      as they are: nothing of them was changed after that")
    else:
        _tell_restored(undone.restored)
    print(f"go on      {resume_command(undone.session_id, home)} 'what to do instead'")


async def _undo(
    store: Store, session_id: str, settings: dict[str, Any], to_turn: int | None, files: bool
) -> Any:
    agent = _bare_agent(store, session_id, settings)
    async with agent.session(session_id, resume=True) as session:
        return await session.undo(to_turn=to_turn, files=files)


def _tell_restored(restored: Any) -> None:
    from agentkit.cli import text

    print(f"files      {restored.changed} put back")
    for path in restored.paths[:20]:
        print(text.for_stream(f"           {text.clean(path)}"))
    if restored.changed > 20:
        print(f"           and {restored.changed - 20} more")
    for each in restored.failed:
        print(text.for_stream(f"not put back: {text.clean(each)}"))


def fork(
    session: SessionId,
    turn: Annotated[
        int | None,
        typer.Option("--turn", metavar="N", help="At the end of this turn; the last by default."),
    ] = None,
    workspace: Annotated[
        str,
        typer.Option(
            "--workspace", metavar="DIR", help="A new folder for the fork's copy of the workspace."
        ),
    ] = "",
    home: HomeFlag = "",
) -> None:
    """Begin another session at a turn of this one, with a copy of the workspace as it was there."""
    from agentkit.branches import fork as fork_both
    from agentkit.cli.build import open_store, session_home
    from agentkit.cli.summary import resume_command
    from agentkit.log import read
    from agentkit.session import new_id

    store = open_store(home)
    session_id = store.find(session)
    settings = _settings(store, session_id)
    folder = _folder(store, session_id, settings)
    new = new_id()
    copied = settings.get("workspace_mode") == "copy"
    if copied and workspace:
        raise UsageError("--workspace means nothing here: the session works on a copy already")
    default = session_home(store, new) / "workspace"
    target = Path(workspace).expanduser().absolute() if workspace else default
    branch = fork_both(
        store,
        session_id,
        new,
        read(store, session_id),
        turn=turn,
        source=folder,
        target=target if folder is not None else None,
        moved=not copied,
    )
    if copied:
        _copy_base(store, session_id, new)
    print(f"session    {new}, at turn {branch.turn} of {session_id}")
    if branch.workspace is None:
        print("workspace  shared: the container is somebody's own, and cannot be copied")
    else:
        print(f"workspace  {branch.workspace}")
    print(f"go on      {resume_command(new, home)} 'what to do'")


def replay(
    file: Annotated[str, typer.Argument(help="An export in jsonl, or a session's id.")],
    live: Annotated[
        bool, typer.Option("--live", help="Run the tools, in --workspace, not from the log.")
    ] = False,
    workspace: Annotated[
        str, typer.Option("--workspace", metavar="DIR", help="With --live: where tools work.")
    ] = "",
    home: HomeFlag = "",
) -> None:
    """Play a session again, offline, and name the first event that goes another way.

    The model's answers come from the log; nothing is asked of any provider. Exit code 1 where it
    drifts.
    """
    import anyio

    from agentkit.testing.replay import replay as play

    events = _recorded(file, home)
    agent = _live_agent(events, workspace) if live else None
    found = anyio.run(lambda: play(events, agent, tools="live" if live else "log"))
    if found.drift is None:
        print(f"no drift: {found.compared} events of {found.turns} turns are alike")
        if found.until:
            print(
                f"played up to {found.until}; what follows rests on prices, times and other lanes"
                " of then, and is not played"
            )
        print(f"{found.rebuilt} requests of all lanes rebuilt from the log, byte for byte")
        return
    from agentkit.cli import text

    print(text.for_stream(f"drift after {found.compared} events: {text.clean(str(found.drift))}"))
    raise typer.Exit(1)


def _recorded(file: str, home: str) -> list[Event]:
    from agentkit.cli.build import open_store
    from agentkit.log import read
    from agentkit.testing.replay import read_file

    path = Path(file).expanduser()
    if path.is_file():
        return read_file(path)
    store = open_store(home)
    try:
        return read(store, store.find(file))
    except SessionError as error:
        raise SessionError(
            f"{file} is neither a file nor a session", tried=error.what, hint="Name one of both"
        ) from error


def _live_agent(events: list[Event], workspace: str) -> Agent:
    from agentkit.cli.build import load_ladder, load_preset, make_sandbox
    from agentkit.cli.options import Options
    from agentkit.cli.settings import settle
    from agentkit.sandboxes._workspace import checked_workspace

    if not workspace:
        raise UsageError(
            "live tools change files", hint="Name the folder that they may change: --workspace DIR"
        )
    started: Any = events[0]
    stored = {**getattr(started, "settings", {}), "workspace": workspace}
    settings = settle(Options(), stored)
    preset = load_preset(settings.preset)
    from agentkit.agent import Agent

    return Agent(
        settings.preset,
        instructions=preset.instructions,
        tools=preset.tools(),
        sandbox=make_sandbox(settings, checked_workspace(workspace)),
        ladder=load_ladder(settings),
    )


def diff_of(store: Store, session_id: str, events: list[Event], turn: int) -> Difference:
    """What a turn changed.

    Raises:
        SessionError: there is no such turn.
    """
    from agentkit.checkpoints.contents import StoredContents
    from agentkit.checkpoints.difference import Difference, by_turn

    turns = sum(each.type == "model.responded" for each in events)
    if not 1 <= turn <= turns:
        raise SessionError(f"session {session_id} has no turn {turn}", hint=f"It has {turns}")
    return by_turn(StoredContents(store, session_id), events).get(turn, Difference(b"", ()))


def _settings(store: Store, session_id: str) -> dict[str, Any]:
    from agentkit.events import SessionStarted
    from agentkit.log import read

    started = read(store, session_id)[0]
    if not isinstance(started, SessionStarted):
        return {}
    return {"workspace": started.workspace, **started.settings}


def _folder(store: Store, session_id: str, settings: dict[str, Any]) -> Path | None:
    """Where the session works on this machine; None where that is in somebody's container.

    Raises:
        WorkspaceError: it is not there any more.
    """
    from agentkit.cli.build import session_home
    from agentkit.sandboxes._workspace import checked_workspace

    if str(settings.get("sandbox", "")).startswith("container:"):
        return None
    if settings.get("workspace_mode") == "copy":
        return checked_workspace(session_home(store, session_id) / "workspace")
    if not settings.get("workspace"):
        return None
    return checked_workspace(str(settings["workspace"]))


def _bare_agent(store: Store, session_id: str, settings: dict[str, Any]) -> Agent:
    """An agent that can read and write the workspace, and asks no model."""
    from agentkit.agent import Agent
    from agentkit.sandboxes import Container, Local

    folder = _folder(store, session_id, settings)
    kind, _, name = str(settings.get("sandbox", "")).partition(":")
    inside = Container(name=name) if kind == "container" else None
    # No engine is needed for a folder that this machine sees; no command is run.
    sandbox = Local(workspace=folder) if folder is not None else inside
    return Agent("undo", sandbox=sandbox, store=store, api_key="none")


def copy_home(store: Store, settings: dict[str, Any], old: str, new: str) -> None:
    """A session on a copy takes the copy along: each has its own."""
    from agentkit.branches import copy_workspace
    from agentkit.cli.build import session_home

    if settings.get("workspace_mode") == "copy":
        copy_workspace(
            session_home(store, old) / "workspace", session_home(store, new) / "workspace"
        )
        _copy_base(store, old, new)


def _copy_base(store: Store, old: str, new: str) -> None:
    """What the copy was at first, for the patch at the end."""
    import shutil

    from agentkit.cli.build import session_home

    base = session_home(store, old) / "base.git"
    if base.is_dir():
        shutil.copytree(base, session_home(store, new) / "base.git", symlinks=True)
