"""What a store notes of a session beside its log: the line of ``agentkit sessions list``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from agentkit.errors import SessionError, StoreError
from agentkit.events import ALL
from agentkit.stores import MAX_CONTENT, MAX_EVENT, MAX_SESSION, Row, SessionInfo
from agentkit.stores.lease import Owner


class Summary(NamedTuple):
    """Title, status, cost and workspace."""

    title: str = ""
    status: str = "open"
    cost_usd: float = 0.0
    workspace: str = ""


_PRICED = frozenset(each.type for each in ALL if any(f.name == "cost_usd" for f in fields(each)))
_TELLING = _PRICED | {"session.started", "message", "run.started", "session.finished"}


def advance(summary: Summary, rows: Iterable[Row]) -> Summary:
    """The summary after these rows."""
    for row in rows:
        if row.type in _TELLING:
            summary = _after(summary, row)
    return summary


def _after(summary: Summary, row: Row) -> Summary:
    data: dict[str, Any] | None = None if row.event is not None else json.loads(row.data)

    def field(name: str, default: Any) -> Any:
        return getattr(row.event, name, default) if data is None else data.get(name, default)

    match row.type:
        case "session.started":
            return summary._replace(workspace=_storable(str(field("workspace", ""))))
        case "message":
            if summary.title or field("source", "") != "user":
                return summary
            words = str(field("text", ""))[:400].split()
            return summary._replace(title=_storable(" ".join(words)[:80]))
        case "run.started":
            return summary._replace(status="open")
        case "session.finished":
            total = float(field("cost_usd", summary.cost_usd))
            return summary._replace(status=str(field("status", "")), cost_usd=total)
        case _:
            return summary._replace(cost_usd=summary.cost_usd + float(field("cost_usd", 0.0)))


def _storable(text: str) -> str:
    """Without what PostgreSQL's texts or UTF-8 cannot hold; the log itself keeps it, escaped."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()


def the_one(prefix: str, matches: Iterable[str]) -> str:
    """The only match, or a clear error; nothing names no session, though all ids start so."""
    if not prefix:
        raise SessionError("the session's id is empty", hint="`agentkit sessions list` shows all")
    found = sorted(matches)
    if prefix in found:
        return prefix
    if not found:
        raise SessionError(
            f"there is no session {prefix!r}", hint="`agentkit sessions list` shows all"
        )
    if len(found) > 1:
        raise SessionError(
            f"{prefix!r} fits {len(found)} sessions: {', '.join(found[:5])}",
            hint="Give more of the id",
        )
    return found[0]


def check_rows(session_id: str, rows: Sequence[Row], size: int) -> int:
    """The bytes of the rows, if the session may grow by them.

    Raises:
        StoreError: an event, or the session, would be too large.
    """
    sizes = [len(row.data) for row in rows]  # characters: a bound that costs nothing
    if max(sizes) > MAX_EVENT:
        row = rows[sizes.index(max(sizes))]
        raise StoreError(
            f"event {row.seq} ({row.type}) of session {session_id} has {len(row.data) >> 20} MiB,"
            f" more than the {MAX_EVENT >> 20} that one may have",
            hint="Let tools give large results as files",
        )
    _check_session(session_id, size + sum(sizes))
    return sum(sizes)


def check_contents(session_id: str, contents: Sequence[bytes], size: int) -> None:
    """Refuse contents that are too large.

    Raises:
        StoreError: one of them, or the session, would be.
    """
    largest = max((len(each) for each in contents), default=0)
    if largest > MAX_CONTENT:
        raise StoreError(
            f"a content of {largest >> 20} MiB is larger than the {MAX_CONTENT >> 20} that one"
            " may have",
            hint="Leave it out, or split it",
        )
    _check_session(session_id, size + sum(len(each) for each in contents))


def _check_session(session_id: str, size: int) -> None:
    if size > MAX_SESSION:
        raise StoreError(
            f"session {session_id} would grow beyond {MAX_SESSION >> 30} GiB",
            hint="Go on in a new session",
        )


def info_of(found: Sequence[Any]) -> SessionInfo:
    """A session's line from a database's; the last column is its lease's owner as JSON."""
    *known, held = found
    owner = Owner.from_json(held) if held else None
    return SessionInfo(*known, owner=str(owner) if owner and not owner.is_dead else "")


def digest_of(name: str) -> bytes:
    """The digest that a content's name spells; "" for what is no name."""
    try:
        return bytes.fromhex(name)
    except ValueError:
        return b""
