"""Which agent works on a session that an editor opens, and where its files are."""

from __future__ import annotations

import inspect
import os
import posixpath
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from agentkit.agent import Agent
from agentkit.errors import SessionError, UsageError, WorkspaceError
from agentkit.events import SessionStarted
from agentkit.mcp import MCPServer
from agentkit.stores import Store


@dataclass(frozen=True, slots=True)
class Opening:
    """A session that an editor is about to work with; a factory makes its agent by it."""

    session_id: str
    folder: Path
    """The editor's project, an absolute path."""
    started: SessionStarted | None = None
    """The session's first event; None where it is new."""


Factory = Callable[[Opening], Agent | Awaitable[Agent]]


async def agent_for(
    source: Agent | Factory, opening: Opening, store: Store, servers: Sequence[MCPServer]
) -> Agent:
    """The agent of that session, in the editor's folder, with the editor's MCP servers.

    Raises:
        SessionError: the session belongs to another agent, or another folder.
        UsageError, WorkspaceError: there can be no agent there.
    """
    check_folder(opening)
    if isinstance(source, Agent):
        agent = _in_folder(source, opening)
    else:
        made = source(opening)
        agent = await made if inspect.isawaitable(made) else made
    return replace(agent, store=store, mcp=[*agent.mcp, *servers])


def folder_of(cwd: str) -> Path:
    """The editor's ``cwd``.

    Raises:
        WorkspaceError: it is relative, missing or no folder.
    """
    path = Path(cwd)
    if not path.is_absolute():
        raise WorkspaceError(f"cwd must be an absolute path, not {cwd!r}")
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        raise WorkspaceError(f"the folder {cwd} {what}", hint="Open a folder that exists")
    return path


def check_folder(opening: Opening) -> None:
    """Refuse to go on with a session somewhere else than where it was begun."""
    started = opening.started
    if started is None or not started.workspace:
        return
    if os.path.realpath(started.workspace) != os.path.realpath(opening.folder):
        raise SessionError(
            f"session {opening.session_id} works on {started.workspace}, not on {opening.folder}",
            hint="Open that folder, or begin a new session here",
        )


def _in_folder(agent: Agent, opening: Opening) -> Agent:
    if opening.started is not None and opening.started.agent != agent.name:
        raise SessionError(f"this session belongs to the agent {opening.started.agent!r}")
    sandbox: Any = agent.sandbox
    if sandbox is None or not hasattr(sandbox, "workspace"):
        return agent
    try:
        return replace(agent, sandbox=replace(sandbox, workspace=opening.folder))
    except TypeError as error:
        raise UsageError(
            f"the sandbox {type(sandbox).__name__} cannot be moved to another folder",
            hint="Give a factory, which makes an agent for each session",
        ) from error


@dataclass(frozen=True, slots=True)
class Places:
    """How the same files are named in the editor and in the sandbox."""

    outside: Path | None
    """The folder on this machine; None where the work is in somebody else's container."""
    inside: str = ""
    """The same in the sandbox."""

    @classmethod
    def of(cls, agent: Agent) -> Places:
        """Of an agent whose sandbox need not have been opened."""
        from agentkit.sandboxes.docker import WORKDIR, Docker

        provider = agent.sandbox
        outside = provider.host_workspace if provider is not None else None
        if outside is None:
            return cls(None)
        return cls(outside, WORKDIR if isinstance(provider, Docker) else str(outside))

    def to_editor(self, path: str) -> str:
        """The editor's name of a file in the sandbox; "" where it has none."""
        if self.outside is None or not path:
            return ""
        whole = posixpath.normpath(posixpath.join(self.inside, path))
        if whole == self.inside:
            return str(self.outside)
        if not whole.startswith(f"{self.inside}/"):
            return ""
        return str(self.outside / whole[len(self.inside) + 1 :])

    def to_sandbox(self, uri: str) -> str:
        """What the agent calls a file that the editor names by its address."""
        parts = urlsplit(uri)
        if parts.scheme != "file" or self.outside is None:
            return uri
        path = unquote(parts.path)
        for outside in {str(self.outside), os.path.realpath(self.outside)}:
            if path == outside or path.startswith(f"{outside}/"):
                return self.inside + path[len(outside) :]
        return path
