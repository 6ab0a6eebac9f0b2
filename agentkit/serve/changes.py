"""What one turn changed in the workspace, as the page shows it."""

from __future__ import annotations

import json
from collections.abc import Generator

from agentkit.checkpoints.contents import StoredContents
from agentkit.checkpoints.difference import Difference, difference, trees_by_turn
from agentkit.events import Checkpoint, Restored, RunStarted, from_dict
from agentkit.serve import bodies
from agentkit.stores import Store

LONGEST = 1_000_000
"""Characters of a patch that are sent."""
BATCH = 500
"""Events that are read at a time."""
_WANTED = (Checkpoint.type, Restored.type, RunStarted.type)


def changes(store: Store, session_id: str, turn: int) -> bodies.Changes:
    """The turn's patch; empty where it changed nothing, or there is no such turn. Blocks.

    Args:
        turn: its number from 1; 0 is the last that changed something.

    Raises:
        StoreError: the log or a content cannot be read.
    """
    pairs = trees_by_turn(
        from_dict(json.loads(data)) for kind, data in _rows(store, session_id) if kind in _WANTED
    )
    turn = turn or max(pairs, default=0)
    pair = pairs.get(turn)
    found = Difference(b"", ())
    if pair is not None:
        found = difference(StoredContents(store, session_id), *pair)
    return bodies.Changes(
        turn=turn,
        files=[
            bodies.ChangedFile(path=each.path, what=each.what, plus=each.plus, minus=each.minus)
            for each in found.files
        ],
        patch=found.text[:LONGEST],
        cut=max(0, len(found.text) - LONGEST),
    )


def _rows(store: Store, session_id: str) -> Generator[tuple[str, str]]:
    """Type and JSON of all events."""
    after = 0
    while rows := store.read(session_id, after, after + BATCH):
        yield from ((row.type, row.data) for row in rows)
        after = rows[-1].seq
