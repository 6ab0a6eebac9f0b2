"""Sessions in this process's memory only: for tests, and for work nobody will resume."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from agentkit.errors import SessionError, StoreError
from agentkit.stores import Row, SessionInfo


class MemoryStore:
    """Keeps logs while the process lives."""

    def __init__(self) -> None:
        self._logs: dict[str, list[Row]] = {}

    def append(self, session_id: str, rows: Sequence[Row]) -> None:
        log = self._logs.setdefault(session_id, [])
        if rows and rows[0].seq != len(log) + 1:
            raise StoreError(
                f"session {session_id}: event {rows[0].seq} does not follow {len(log)}"
            )
        log.extend(rows)

    def read(self, session_id: str, after: int = 0) -> list[Row]:
        return self._logs.get(session_id, [])[after:]

    def sessions(self) -> list[SessionInfo]:
        infos = [summarise(session_id, rows) for session_id, rows in self._logs.items()]
        return sorted(infos, key=lambda info: info.updated, reverse=True)

    def find(self, prefix: str) -> str:
        return the_one(prefix, (each for each in self._logs if each.startswith(prefix)))

    def delete(self, session_id: str) -> None:
        self._logs.pop(session_id, None)

    def close(self) -> None:
        pass


def the_one(prefix: str, matches: Iterable[str]) -> str:
    """The only match, or a clear error."""
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


def summarise(session_id: str, rows: Sequence[Row]) -> SessionInfo:
    """The summary that a store keeps, from all rows."""
    title, status, cost, workspace = "", "open", 0.0, ""
    for row in rows:
        data = json.loads(row.data)
        title, status, cost, workspace = advance((title, status, cost, workspace), row.type, data)
    return SessionInfo(
        session_id, rows[0].time, rows[-1].time, len(rows), title, status, cost, workspace
    )


Summary = tuple[str, str, float, str]


def advance(summary: Summary, kind: str, data: dict[str, object]) -> Summary:
    """The summary (title, status, cost, workspace) after one more event."""
    title, status, cost, workspace = summary
    match kind:
        case "session.started":
            workspace = str(data.get("workspace", ""))
        case "message" if not title and data.get("source") == "user":
            title = " ".join(str(data.get("text", "")).split())[:80]
        case "run.started":
            status = "open"
        case "model.responded" | "model.failed":
            cost += float(str(data.get("cost_usd", 0.0)))
        case "session.finished":
            status = str(data.get("status", ""))
        case _:
            pass
    return title, status, cost, workspace
