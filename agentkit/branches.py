"""Undo and fork of a session *with its workspace*: files and history go to the same moment.

Nothing is ever deleted: both begin a new session with a copy of the log up to a turn, so its
first request extends bytes that were sent before. An undo goes on in the same workspace, which is
put back; a fork gets a workspace of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit.checkpoints.contents import StoredContents
from agentkit.checkpoints.folder import Bounds, Scan, plan
from agentkit.checkpoints.host import HostFolder
from agentkit.checkpoints.tree import load
from agentkit.errors import SessionError, WorkspaceError
from agentkit.events import (
    CheckFailed,
    CheckPassed,
    Checkpoint,
    Event,
    Message,
    Restored,
    RunStarted,
    ToolFinished,
    ToolStarted,
)
from agentkit.forks import Point, fork_session, turn_point

if TYPE_CHECKING:
    from agentkit.stores import Store


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did."""

    session_id: str
    """The session that goes on; the one before stays as it was."""
    parent: str
    turn: int
    """Answers that the history has now."""
    restored: Restored | None
    """What was put back in the workspace; None where nothing had been changed."""
    notice: str = ""
    """What could not be taken back."""

    def as_note(self) -> str:
        """What the model is told, before its next answer; "" where it could not tell."""
        if self.restored is None:
            return ""
        return (
            "[The user took back what came after this point. The files of the workspace are as"
            " they were here; a shell's directory and variables, and background jobs, are not.]"
        )


@dataclass(frozen=True, slots=True)
class Branch:
    """A fork of a session."""

    session_id: str
    parent: str
    turn: int
    workspace: Path | None
    """Where it works; None where that is inside its sandbox."""
    checkpoint: str = ""
    """The parent's checkpoint that the workspace is at; "" is its present state."""
    notice: str = ""


def undo_point(events: Sequence[Event], to_turn: int | None = None) -> Point:
    """Where an undo goes back to: before the user's last message, or to the end of a turn.

    Raises:
        SessionError: nothing was said yet, or there is no such turn.
    """
    if to_turn is not None:
        return turn_point(events, to_turn)
    begun, last, answers, turn, before = 0, 0, 0, 0, 0
    for event in events:
        if isinstance(event, RunStarted):
            begun, turn = event.seq or 0, answers
        elif isinstance(event, Message) and event.source == "user" and begun:
            last, before = begun, turn
        answers += event.type == "model.responded"
    if not last:
        raise SessionError("there is nothing to undo: the session has no message of the user")
    lane = next((each.lane for each in reversed(events) if (each.seq or 0) < last), "main")
    return Point(before, last - 1, lane)


def workspace_at(events: Sequence[Event], seq: int) -> str:
    """The checkpoint that holds the workspace as it was after that event.

    "" where the session changed nothing since: what the user changed meanwhile stays.

    Raises:
        SessionError: something was changed, and no checkpoint of it was kept.
    """
    marks = [(event.seq or 0, id) for event in events if (id := _mark(event))]
    begun = max((e.seq or 0 for e in events[:seq] if isinstance(e, RunStarted)), default=0)
    before = [each for each in marks if each[0] <= seq]
    after = [each for each in marks if each[0] > seq]
    if not _changed(events[seq:]):
        return ""
    if before and before[-1][0] > begun:
        return before[-1][1]
    if after:
        return after[0][1]  # it was taken before the first change of the run that follows
    if before:
        return before[-1][1]
    notice = next(
        (e.notice for e in events if isinstance(e, Checkpoint) and not e.tree and not e.place), ""
    )
    raise SessionError(
        f"no checkpoint of the workspace was kept: {notice or 'none was taken'}",
        hint="Take back the history alone",
    )


def _mark(event: Event) -> str:
    if isinstance(event, Checkpoint) and event.tree and not event.place:
        return event.id
    return event.checkpoint if isinstance(event, Restored) else ""


def _changed(events: Sequence[Event]) -> bool:
    """Whether files may have changed: a call or a check said so, or nobody knows how it ended.

    Checks that change files in their last round do not say so, but those ran in the round before
    that did.
    """
    started: set[tuple[str, str]] = set()
    for event in events:
        if isinstance(event, ToolStarted):
            started.add((event.lane, event.call_id))
        elif isinstance(event, ToolFinished):
            started.discard((event.lane, event.call_id))
            if event.writes:
                return True
        elif isinstance(event, CheckPassed | CheckFailed) and event.changed:
            return True
    return bool(started)


def fork(
    store: Store,
    parent: str,
    new_id: str,
    events: Sequence[Event],
    *,
    turn: int | None = None,
    source: Path | None = None,
    target: Path | None = None,
    moved: bool = True,
) -> Branch:
    """Fork a session at the end of a turn, and its workspace with it. Blocks.

    Args:
        turn: as ``agentkit sessions show`` counts; None is the last one that ended.
        source: the parent's workspace on this machine; None where it is in its sandbox, and then
            is brought to that turn when the fork first opens one.
        target: the fork's workspace, a folder that does not exist or is empty.
        moved: write it into the fork's settings; False where they name the folder that was
            copied at first.

    Raises:
        SessionError: no such turn, or ``new_id`` exists.
        WorkspaceError: the workspace cannot be copied.
        StoreError: the store cannot be used.
    """
    point = turn_point(events, turn)
    mark = workspace_at(events, point.seq)
    target = target.absolute() if target is not None else None
    if source is not None and target is not None:
        copy_workspace(source, target)
        if mark:
            _bring_to(target, store, parent, tree_of(events, mark))
    fork_session(
        store,
        parent,
        new_id,
        at=point,
        workspace=str(target) if target is not None and moved else "",
    )
    return Branch(new_id, parent, point.turn, target, mark)


def tree_of(events: Sequence[Event], checkpoint: str) -> str:
    """The tree of that checkpoint."""
    return next(e.tree for e in events if isinstance(e, Checkpoint) and e.id == checkpoint)


def copy_workspace(source: Path, target: Path) -> None:
    """Copy a workspace with all that is in it, also what no checkpoint covers.

    Raises:
        WorkspaceError: it cannot be copied; nothing of the copy stays.
    """
    if target.exists() and any(target.iterdir()):
        raise WorkspaceError(f"the folder {target} is not empty", hint="Name a new one")
    if target.is_relative_to(source):
        raise WorkspaceError(f"{target} lies inside the workspace {source}", hint="Name another")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, symlinks=True, ignore=_special, dirs_exist_ok=True)
    except (shutil.Error, OSError) as error:
        shutil.rmtree(target, ignore_errors=True)
        first = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise WorkspaceError(
            f"the workspace {source} cannot be copied: {first}", hint="Check disk and permissions"
        ) from error


def _special(folder: str, names: list[str]) -> set[str]:
    """Sockets, pipes and devices stay where they are: reading one may never end."""
    paths = {name: Path(folder, name) for name in names}
    return {
        name
        for name, path in paths.items()
        if not (path.is_symlink() or path.is_file() or path.is_dir())
    }


def _bring_to(folder: Path, store: Store, session_id: str, tree: str) -> None:
    contents = StoredContents(store, session_id)
    goal = load(contents, tree)
    host = HostFolder(folder, Bounds())
    now = host.scan_now(Scan(tree=goal), contents)
    host.apply_now(plan(now.tree, goal), contents)
