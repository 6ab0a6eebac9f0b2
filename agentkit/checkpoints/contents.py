"""Contents of a session, in its store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agentkit.checkpoints.tree import name_of

if TYPE_CHECKING:
    from agentkit.stores import Store

_BATCH = 8 << 20


class StoredContents:
    """Keeps contents in the store, in batches, each once."""

    def __init__(self, store: Store, session_id: str) -> None:
        self._store = store
        self._session = session_id
        self._known: set[str] = set()
        self._waiting: dict[str, bytes] = {}
        self._size = 0
        self._new = 0
        self.secret: Callable[[bytes], bool] = lambda _data: False
        """Whether a content holds a secret; such a file is noticed and not kept."""

    def add(self, data: bytes) -> str:
        name = name_of(data)
        if name not in self._known:
            self._known.add(name)
            self._waiting[name] = data
            self._size += len(data)
            if self._size > _BATCH:
                self._write()
        return name

    def holds_secret(self, data: bytes) -> bool:
        return self.secret(data)

    def get(self, name: str) -> bytes:
        waiting = self._waiting.get(name)
        if waiting is not None:
            return waiting
        found = self._store.get_content(name)
        self._known.add(name)
        return found

    def flush(self) -> int:
        self._write()
        new, self._new = self._new, 0
        return new

    def _write(self) -> None:
        if self._waiting:
            self._store.put_contents(self._session, list(self._waiting.values()))
            self._new += self._size
            self._waiting, self._size = {}, 0
