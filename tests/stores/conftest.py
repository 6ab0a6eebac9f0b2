"""Every store, for tests of what they have in common; PostgreSQL is a real server."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from agentkit.stores import Store
from agentkit.stores.memory import MemoryStore
from agentkit.stores.postgres import PostgresStore
from agentkit.stores.sqlite import SQLiteStore


@pytest.fixture
def postgres(postgres_url: str) -> Generator[Callable[[], PostgresStore]]:
    """Makes handles of one empty store, as several processes would."""
    import psycopg

    schema = f"test_{secrets.token_hex(6)}"
    made: list[PostgresStore] = []

    def make() -> PostgresStore:
        made.append(PostgresStore(postgres_url, schema=schema))
        return made[-1]

    yield make
    for each in made:
        each.close()
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    made: Store
    if request.param == "postgres":
        made = request.getfixturevalue("postgres")()
    else:
        made = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path)
    yield made
    made.close()
