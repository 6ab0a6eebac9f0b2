"""``agentkit run``."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from agentkit.cli.options import Options, takes_options
from agentkit.errors import UsageError

MOST_CHARACTERS = 1_000_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

JsonFlag = Annotated[
    bool, typer.Option("--json", help="One JSON event per line, and nothing else there.")
]
DeltasFlag = Annotated[
    bool, typer.Option("--deltas", help="With --json: also pieces of answers and output.")
]
ApplyFlag = Annotated[
    bool, typer.Option("--apply", help="With copy mode: apply the patch at the end.")
]


@takes_options
def run(
    given: Options,
    task: Annotated[str, typer.Argument(help="What to do; - reads standard input, @FILE a file.")],
    session: Annotated[
        str, typer.Option("--session", metavar="ID", help="Name the session.", show_default=False)
    ] = "",
    json: JsonFlag = False,
    deltas: DeltasFlag = False,
    apply: ApplyFlag = False,
) -> None:
    """Run one task to its end.

    Exit codes: 0 finished and every check passes, 1 not achieved, 2 usage, 3 a limit, 4 the model
    provider, 5 the sandbox, 6 a call waits for approval, 130 interrupted. After anything but 0,
    `agentkit resume` goes on.
    """
    words = task_text(task)
    job = prepare(given, as_json=json, deltas=deltas, apply=apply, session_id=session)
    raise typer.Exit(start(job, words))


def task_text(task: str) -> str:
    """The words of TASK, from wherever it says.

    Raises:
        UsageError: empty, too long, or a file that cannot be read.
    """
    if task == "-":
        words = sys.stdin.buffer.read(MOST_CHARACTERS * 4 + 1).decode("utf-8", "replace")
    elif task.startswith("@"):
        words = _from_file(Path(task[1:]).expanduser())
    else:
        words = task
    if not words.strip():
        raise UsageError("the task is empty", hint="Say what is to be done")
    if len(words) > MOST_CHARACTERS:
        raise UsageError(
            f"the task has {len(words):,} characters, more than {MOST_CHARACTERS:,}",
            hint="Put the material into a file of the workspace and name it in the task",
        )
    return words


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MOST_CHARACTERS * 4 + 1).decode("utf-8", "replace")
    except FileNotFoundError:
        raise UsageError(
            f"the task file {path} does not exist", hint="Give the text itself, or @FILE"
        ) from None
    except OSError as error:
        raise UsageError(f"the task file {path} cannot be read: {error.strerror}") from None


def prepare(
    given: Options,
    *,
    as_json: bool = False,
    deltas: bool = False,
    apply: bool = False,
    session_id: str = "",
    stored: dict[str, Any] | None = None,
) -> Any:
    """Everything decided and checked, nothing started.

    Raises:
        UsageError: what was asked for cannot be.
    """
    from agentkit.cli.build import load_ladder, load_preset, open_store, require_key
    from agentkit.cli.drive import Job
    from agentkit.cli.settings import settle
    from agentkit.cli.stdin import Lines
    from agentkit.cli.views import make_view
    from agentkit.session import new_id

    if session_id and not _ID.fullmatch(session_id):
        raise UsageError(
            f"{session_id!r} cannot be a session's name",
            hint="Use letters, digits, '.', '_' and '-', at most 100",
        )
    settings = settle(given, stored)
    load_preset(settings.preset)
    require_key(settings, load_ladder(settings))
    store = open_store(settings.home)
    session_id = session_id or new_id()
    ground = ground_of(settings, store, session_id, apply=apply)
    if ground.source is not None:  # a resume may start from another directory
        settings = replace(settings, workspace=str(ground.source))
    return Job(
        settings=settings,
        store=store,
        session_id=session_id,
        ground=ground,
        view=make_view(as_json=as_json, deltas=deltas),
        lines=Lines(),
        resume=stored is not None,
        apply=apply,
        home=settings.home,
    )


def ground_of(settings: Any, store: Any, session_id: str, *, apply: bool) -> Any:
    """Where the session works on this machine, copied if it asks for that."""
    from agentkit.cli.build import Ground, session_home
    from agentkit.sandboxes._workspace import checked_workspace

    copied = settings.workspace_mode == "copy"
    if apply and not copied:
        raise UsageError(
            "--apply needs --workspace-mode copy", hint="Without it, edits are in place"
        )
    if settings.sandbox.startswith("container:"):
        if copied:
            raise UsageError("--workspace-mode copy needs a workspace on this machine")
        return Ground(None, None)
    source = checked_workspace(settings.workspace)
    if not copied:
        return Ground(source, source)
    from agentkit.cli.copies import copy_workspace

    return Ground(source, copy_workspace(source, session_home(store, session_id)))


def start(job: Any, words: str) -> int:
    """Run the job in an event loop and give the exit code."""
    import anyio

    from agentkit.cli.drive import drive

    return anyio.run(drive, job, words)
