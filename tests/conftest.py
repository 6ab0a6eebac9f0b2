"""Fixtures that all rooms share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """asyncio, unless a test asks for trio as well."""
    return "asyncio"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the sessions, keys or endpoints of whoever runs it."""
    home = tmp_path / "agentkit-home"
    monkeypatch.setenv("AGENTKIT_HOME", str(home))
    for name in ("DEEPSEEK_API_KEY", "AGENTKIT_BASE_URL", "AGENTKIT_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return home
