"""A session around a workspace, with a model that says nothing unless a test wants words."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Session
from agentkit.models.retry import RetryPolicy
from agentkit.sandbox import SandboxProvider
from agentkit.sandboxes import Docker, Local
from agentkit.stores.memory import MemoryStore
from agentkit.tools import coder

DOCKER = pytest.param("docker", marks=pytest.mark.docker)
COPY = pytest.param("copy", marks=pytest.mark.docker)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def provider(kind: str, workspace: Path) -> SandboxProvider:
    if kind == "local":
        return Local(workspace=workspace)
    return Docker(workspace=workspace, workspace_mode="copy" if kind == "copy" else "mount")


def agent(sandbox: SandboxProvider, url: str = "http://127.0.0.1:9", **settings: Any) -> Agent:
    settings.setdefault("store", MemoryStore())
    settings.setdefault("retry", RetryPolicy(base=0.01, cap=0.02))
    settings.setdefault("tools", coder())
    return Agent("tester", sandbox=sandbox, base_url=url, api_key="k", **settings)


@asynccontextmanager
async def opened(kind: str, workspace: Path, **settings: Any) -> AsyncGenerator[Session]:
    async with agent(provider(kind, workspace), **settings).session() as session:
        yield session


@pytest.fixture
async def session(workspace: Path) -> AsyncIterator[Session]:
    async with opened("local", workspace) as session:
        yield session


def listing(folder: Path) -> dict[str, tuple[str, int, bytes]]:
    """Everything below the folder as it is, by the tests' own eyes: kind, mode, content."""
    found: dict[str, tuple[str, int, bytes]] = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            facts = path.lstat()
            mode = facts.st_mode & 0o7777
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = ("link", 0, os.fsencode(os.readlink(path)))
            elif path.is_dir():
                found[key] = ("folder", mode, b"")
            elif path.is_file():
                found[key] = ("file", mode, path.read_bytes())
            else:
                found[key] = ("other", mode, b"")
    return found
