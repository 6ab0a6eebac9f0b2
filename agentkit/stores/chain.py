"""Each event's hash covers the event and the hash before it, so that no change goes unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

from agentkit.errors import LogDamaged, StoreError
from agentkit.stores import Row


def genesis(session_id: str) -> bytes:
    """The hash before the first event."""
    return sha256(b"agentkit session " + session_id.encode()).digest()


def link(before: bytes, row: Row) -> bytes:
    """The hash of a row that follows ``before``."""
    head = f"{row.seq}\n{row.time}\n{row.type}\n{row.lane}\n".encode()
    digest = sha256(before + head)
    digest.update(row.data.encode())
    return digest.digest()


def links(before: bytes, rows: Sequence[Row]) -> list[bytes]:
    """The hashes of rows that follow each other."""
    out: list[bytes] = []
    for row in rows:
        before = link(before, row)
        out.append(before)
    return out


def verified(
    session_id: str, before: bytes, after: int, stored: Iterable[tuple[Row, bytes]]
) -> tuple[list[Row], bytes]:
    """The rows and the last hash, if each row is the one that was written after ``before``.

    Raises:
        LogDamaged: names the first event that is not.
    """
    rows: list[Row] = []
    for row, hashed in stored:
        expected = after + len(rows) + 1
        if row.seq != expected:
            raise LogDamaged(session_id, expected, "is missing")
        before = link(before, row)
        if before != hashed:
            raise LogDamaged(session_id, row.seq, "is not what was written")
        rows.append(row)
    return rows, before


def as_written(
    session_id: str,
    kept: tuple[int, bytes] | None,
    before: bytes,
    found: Sequence[tuple[int, str, str, str, str | None, bytes]],
    after: int,
    upto: int | None,
) -> list[Row]:
    """What a database gave for ``Store.read``, if it is what was written, to the end of the log.

    Args:
        kept: how many events the session has, and the hash of the last one, as noted beside the
            log; None where the session is not known.
        before: the hash of event ``after``.
        found: seq, time, type, lane, data and hash of each event.

    Raises:
        LogDamaged: names the first event that is not.
    """
    events, head = kept or (0, genesis(session_id))
    if after > events and not found:
        return []
    stored = (
        (Row(seq, when, kind, lane, data or ""), hashed)
        for seq, when, kind, lane, data, hashed in found
    )
    rows, last = verified(session_id, before, after, stored)
    if upto is None or len(rows) < upto - after:
        _check_end(session_id, after + len(rows), last, events, head)
    return rows


def _check_end(session_id: str, last: int, head: bytes, events: int, kept_head: bytes) -> None:
    """Compare the end of a log with what the store noted of it beside the log.

    Raises:
        LogDamaged
    """
    if last < events:
        raise LogDamaged(session_id, last + 1, f"is missing: {events} were written")
    if last > events:
        raise LogDamaged(session_id, events + 1, f"was added: {events} were written")
    if head != kept_head:
        raise LogDamaged(session_id, last, "is not what was written last")


def accept_again(
    session_id: str,
    rows: Sequence[Row],
    count: int,
    head: bytes,
    hash_at: Callable[[int], bytes],
) -> None:
    """Let rows pass that are stored already, as the last ones of the session.

    Args:
        count: events that are stored.
        head: the hash of the last one.
        hash_at: gives the stored hash of an event.

    Raises:
        StoreError: they are not.
    """
    if rows[-1].seq == count and links(hash_at(rows[0].seq - 1), rows)[-1] == head:
        return
    raise StoreError(
        f"session {session_id} was changed by another process:"
        f" event {rows[0].seq} does not follow {count}",
        hint="Let that process end, then resume",
    )
