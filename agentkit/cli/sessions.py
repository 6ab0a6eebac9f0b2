"""``agentkit sessions``: list, show, export; what keeps the store in order is in ``upkeep``."""

from __future__ import annotations

import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit.cli import text
from agentkit.cli.app import new_app
from agentkit.cli.branches import diff_of, fork, replay, undo
from agentkit.cli.upkeep import HomeFlag, SessionId, check, delete, prune
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit.checkpoints.difference import Difference

sessions = new_app(
    help="List, show, approve, export, fork, undo, replay, check and delete sessions.",
    no_args_is_help=True,
)

JsonFlag = Annotated[bool, typer.Option("--json", help="As JSON.")]


@sessions.command("list")
def list_sessions(
    home: HomeFlag = "",
    json: JsonFlag = False,
    all_: Annotated[bool, typer.Option("--all", help="All, not only the last 20.")] = False,
) -> None:
    """The sessions, the last used first."""
    from agentkit.cli.build import open_store

    infos = open_store(home).sessions()
    if json:
        rows = [{name: getattr(info, name) for name in info.__slots__} for info in infos]
        print(jsonlib.dumps(rows, indent=1))
        return
    if not infos:
        print("no sessions yet")
    for info in infos if all_ else infos[:20]:
        when = info.updated[:16].replace("T", " ")
        status = "running" if info.owner else info.status
        facts = f"{info.id}  {when}  {status:9}  {text.dollars(info.cost_usd)}"
        print(text.for_stream(f"{facts}  {text.clip(text.clean(info.title), 60)}"))
    if not all_ and len(infos) > 20:
        print(f"and {len(infos) - 20} older ones: --all shows them")


@sessions.command("show")
def show(
    session: SessionId,
    home: HomeFlag = "",
    json: JsonFlag = False,
    diff: Annotated[
        int | None, typer.Option("--diff", metavar="TURN", help="What this turn changed, only.")
    ] = None,
) -> None:
    """The story of a session: task, plan, turns with their calls, checks, costs."""
    from agentkit.cli.build import open_store
    from agentkit.cli.show import as_json, told
    from agentkit.cli.views import Plain
    from agentkit.log import read

    store = open_store(home)
    session_id = store.find(session)
    events = read(store, session_id)
    if diff is not None:
        _show_diff(diff_of(store, session_id, events, diff), as_json=json)
    elif json:
        print(jsonlib.dumps(as_json(session_id, events), indent=1))
    else:
        Plain().lines(told(session_id, events, home))


def _show_diff(difference: Difference, *, as_json: bool) -> None:
    if as_json:
        files = [{name: getattr(x, name) for name in x.__slots__} for x in difference.files]
        print(jsonlib.dumps({"files": files, "patch": difference.text}, indent=1))
    elif not difference.files:
        print("this turn changed no files")
    else:
        sys.stdout.buffer.write(difference.patch)
        sys.stdout.buffer.flush()
        print(f"\n{difference.stat}")


@sessions.command("export")
def export(
    session: SessionId,
    home: HomeFlag = "",
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="jsonl|atif|html",
            help="The events, one a line; an ATIF v1.8 trajectory; or a page to read.",
        ),
    ] = "jsonl",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="[default: standard output]")
    ] = "",
) -> None:
    """Write a session to a file: its events, a trajectory, or a page."""
    from agentkit.checkpoints.contents import StoredContents
    from agentkit.checkpoints.difference import by_turn
    from agentkit.cli.build import open_store
    from agentkit.exports import export as exported
    from agentkit.log import read

    store = open_store(home)
    session_id = store.find(session)
    events = read(store, session_id)
    diffs: dict[int, str] = {}
    if format_ == "html":
        found = by_turn(StoredContents(store, session_id), events)
        diffs = {turn: each.text for turn, each in found.items()}
    data = exported(events, format_, diffs)
    if output:
        _write(output, data)
    else:
        sys.stdout.buffer.write(data)


def _write(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


@sessions.command("approve")
def approve(
    session: SessionId,
    call: Annotated[
        str, typer.Argument(help="The call that waits; without it those that wait are listed.")
    ] = "",
    deny: Annotated[bool, typer.Option("--deny", help="Decline it.")] = False,
    reason: Annotated[
        str, typer.Option("--reason", metavar="WHY", help="With --deny: the model reads it.")
    ] = "",
    home: HomeFlag = "",
) -> None:
    """Answer a call that waits for approval while nothing runs the session; then resume it."""
    from agentkit.approvals.record import answer, questions
    from agentkit.cli.approval import whole
    from agentkit.cli.build import open_store
    from agentkit.cli.summary import resume_command

    if reason and not deny:
        raise UsageError("--reason is for --deny", hint="Leave it out, or add --deny")
    store = open_store(home)
    session_id = store.find(session)
    if call:
        answer(store, session_id, call, allowed=not deny, reason=reason)
        print(f"{'declined' if deny else 'approved'}: {text.clean(call)}")
    waiting = questions(store, session_id)
    for each in waiting:
        print(text.for_stream("\n".join(whole(each))))
    if not waiting and not call:
        print("nothing waits for approval")
    elif not waiting:
        print(f"go on with: {resume_command(session_id, home)}")


sessions.command("delete")(delete)
sessions.command("prune")(prune)
sessions.command("check")(check)

sessions.command("fork")(fork)
sessions.command("undo")(undo)
sessions.command("replay")(replay)
