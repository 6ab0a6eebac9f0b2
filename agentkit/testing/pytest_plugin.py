"""Fixtures for users' tests, registered by the package's ``pytest11`` entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentkit.testing.server import FakeDeepSeek


@pytest.fixture
def fake_deepseek() -> Iterator[Callable[..., FakeDeepSeek]]:
    """Starts fake providers: ``server = fake_deepseek([Reply(…), "Done."], faults={2: "429"})``.

    All are stopped after the test.
    """
    from agentkit.testing.server import FakeDeepSeek  # noqa: PLC0415 - plugins load in every run

    started: list[FakeDeepSeek] = []

    def start(script: Any, **options: Any) -> FakeDeepSeek:
        server = FakeDeepSeek(script, **options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.close()
