"""Answer a question of a session that no process works on: the answer waits in its log."""

from __future__ import annotations

from dataclasses import replace

from agentkit.approvals.asking import open_question
from agentkit.errors import SessionError
from agentkit.events import ApprovalAnswered, ApprovalAsked
from agentkit.events.base import now
from agentkit.log import as_row, read
from agentkit.state import replay
from agentkit.stores import Store


def questions(store: Store, session_id: str) -> list[ApprovalAsked]:
    """What a session waits for, oldest first. Blocks.

    Raises:
        StoreError: the store cannot be read.
    """
    return replay(read(store, session_id)).questions


def answer(
    store: Store, session_id: str, call_id: str, *, allowed: bool, reason: str = ""
) -> ApprovalAnswered:
    """Log an answer; durable on return, and acted upon by whoever resumes the session. Blocks.

    Args:
        reason: of a no; the model reads it.

    Raises:
        SessionInUse: a living process has the session: the answer must be given there.
        AlreadyAnswered, NotAsked: it was answered before, or nothing was asked of it.
        SessionError: there is no such session.
        StoreError: the store cannot be used.
    """
    store.acquire(session_id)
    try:
        events = read(store, session_id)
        if not events:
            raise SessionError(f"there is no session {session_id!r}")
        lane, call = open_question(replay(events), call_id)
        given = ApprovalAnswered(call_id=call, allowed=allowed, reason=reason)
        logged = replace(given, lane=lane, seq=len(events) + 1, time=now())
        store.append(session_id, [as_row(logged)])
        return logged
    finally:
        store.release(session_id)
