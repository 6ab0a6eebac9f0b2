"""Every store, for tests of what they have in common."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from agentkit.stores import Store
from agentkit.stores.memory import MemoryStore
from agentkit.stores.sqlite import SQLiteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path)
    yield made
    made.close()
