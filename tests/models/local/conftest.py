"""The engine, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    started = Engine.start()
    try:
        yield started.wait()
    finally:
        started.close()
