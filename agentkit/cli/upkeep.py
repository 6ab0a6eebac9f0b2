"""What keeps a store in order: ``agentkit sessions delete``, ``prune`` and ``check``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit.errors import LogDamaged, StoreError, UsageError

if TYPE_CHECKING:
    from agentkit.stores import SessionInfo, Store

HomeFlag = Annotated[
    str,
    typer.Option(
        "--home",
        metavar="DIR|URL",
        help="Where sessions live: a folder, or a PostgreSQL database.",
        show_default=False,
    ),
]
SessionId = Annotated[str, typer.Argument(help="The session's id, or the start of it.")]

_AGES = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def delete(
    session: Annotated[list[str], typer.Argument(help="Ids, or the starts of ids.")],
    home: HomeFlag = "",
) -> None:
    """Delete sessions: their logs, and the copies of workspaces that they have.

    One that a living process works on is refused, and then none is deleted.
    """
    from agentkit.cli.build import open_store

    store = open_store(home)
    ids = list(dict.fromkeys(store.find(each) for each in session))
    _delete(store, ids)
    for each in ids:
        print(f"deleted {each}")


def prune(
    home: HomeFlag = "",
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Not used for so long: 12h, 30d, 8w.")
    ] = "",
    larger_than: Annotated[
        str, typer.Option(metavar="SIZE", help="Sessions of more than so much: 500K, 100M, 2G.")
    ] = "",
    keep: Annotated[
        str,
        typer.Option(metavar="SIZE", help="The oldest, until all others together have so much."),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
) -> None:
    """Delete sessions by age and size; those in use are left alone.

    With several conditions, a session goes if any of them says so.
    """
    from agentkit.cli.build import open_store

    if not (older_than or larger_than or keep):
        raise UsageError(
            "nothing says which sessions are to go",
            hint="Give --older-than, --larger-than or --keep; --dry-run shows what they mean",
        )
    store = open_store(home)
    before = _before(older_than) if older_than else None
    larger = _size("--larger-than", larger_than) if larger_than else None
    room = _size("--keep", keep) if keep else None
    chosen = list(_chosen(store.sessions(), before, larger, room))
    if not dry_run:
        _delete(store, [each.id for each in chosen])
    for each in chosen:
        print(f"{each.id}  {each.updated[:10]}  {_words(each.size):>9}  {each.title[:60]}".rstrip())
    verb = "would be deleted" if dry_run else "deleted"
    print(f"{len(chosen)} {verb}, {_words(sum(each.size for each in chosen))}")


def _chosen(
    infos: list[SessionInfo], before: datetime | None, larger: int | None, room: int | None
) -> Iterator[SessionInfo]:
    """The sessions to delete; ``infos`` has the last used first."""
    kept = 0
    for info in infos:
        if info.owner:
            kept += info.size
            continue
        old = before is not None and datetime.fromisoformat(info.updated) < before
        large = larger is not None and info.size > larger
        crowded = room is not None and kept + info.size > room
        if old or large or crowded:
            yield info
        else:
            kept += info.size


def _delete(store: Store, ids: list[str]) -> None:
    import shutil

    from agentkit.cli.build import session_home

    if ids:
        store.delete(*ids)
    for each in ids:
        shutil.rmtree(session_home(store, each), ignore_errors=True)


def check(
    session: Annotated[str, typer.Argument(help="One session; all where none is named.")] = "",
    home: HomeFlag = "",
    rescue: Annotated[
        bool, typer.Option("--rescue", help="Make a session of the events before the damage.")
    ] = False,
) -> None:
    """Read every event and compare it with the chain of hashes; exit code 1 on damage."""
    from agentkit.cli.build import open_store

    store = open_store(home)
    ids = [store.find(session)] if session else [info.id for info in store.sessions()]
    damaged = 0
    for each in ids:
        try:
            store.read(each)
        except LogDamaged as error:
            damaged += 1
            print(error.what)
            if rescue and error.intact:
                print(f"events 1 to {error.intact} are now session {_rescue(store, error)}")
        except StoreError as error:
            damaged += 1
            print(f"session {each} cannot be read: {error.what}")
    print(f"{len(ids) - damaged} of {len(ids)} sessions are intact")
    raise typer.Exit(1 if damaged else 0)


def _rescue(store: Store, error: LogDamaged) -> str:
    """Copy what is intact to a session of its own and give its id."""
    rescued = f"{error.session_id}-rescued"
    if store.info(rescued) is None:
        store.append(rescued, store.read(error.session_id, upto=error.intact))
        store.share_contents(error.session_id, rescued)
    return rescued


def _before(age: str) -> datetime:
    try:
        return datetime.now(UTC) - _age(age)
    except OverflowError:
        raise UsageError(
            f"--older-than {age}: no date is so long ago", hint="Say 12h, 30d or 8w"
        ) from None


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([hdw])", text.strip().lower())
    if found is None:
        raise UsageError(f"--older-than cannot be {text!r}", hint="Say 12h, 30d or 8w")
    return int(found[1]) * _AGES[found[2]]


def _size(option: str, text: str) -> int:
    found = re.fullmatch(r"(\d{1,12})([kmgt]?)i?b?", text.strip().lower())
    if found is None:
        raise UsageError(f"{option} cannot be {text!r}", hint="Say 500K, 100M or 2G")
    return int(found[1]) * _SIZES[found[2]]


def _words(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
