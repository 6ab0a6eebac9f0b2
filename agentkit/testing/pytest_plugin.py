"""Fixtures for users' tests, registered by the package's ``pytest11`` entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from agentkit.testing.server import FakeDeepSeek


@pytest.fixture
def fake_deepseek() -> Iterator[Callable[..., FakeDeepSeek]]:
    """Start fake providers; all are stopped after the test.

    For instance ``server = fake_deepseek([Reply(…), "Done."], faults={2: "429"})``.
    """
    from agentkit.testing.server import FakeDeepSeek

    started: list[FakeDeepSeek] = []

    def start(script: Any, **options: Any) -> FakeDeepSeek:
        server = FakeDeepSeek(script, **options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.close()
