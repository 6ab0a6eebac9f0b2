"""A desk: the tools of one session around a real sandbox."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import EngineUnavailable, ToolError
from agentkit.limits import Budget, Limits
from agentkit.sandbox import Sandbox, SandboxProvider
from agentkit.sandboxes import Docker, Local
from agentkit.state import State
from agentkit.tool import Tool, ToolContext, ToolResult

DOCKER = pytest.param("docker", marks=pytest.mark.docker)
_numbers = itertools.count(1)


@dataclass
class Desk:
    """Calls tools as the loop does, and keeps what they recorded as the session's log does."""

    sandbox: Sandbox
    limits: Limits = field(default_factory=Limits)
    lane: str = "main"
    log: list[tuple[str, Mapping[str, Any]]] = field(
        default_factory=list[tuple[str, Mapping[str, Any]]]
    )
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    shown: list[str] = field(default_factory=list[str])
    plans: list[list[Mapping[str, Any]]] = field(default_factory=list[list[Mapping[str, Any]]])
    session_id: str = field(default_factory=lambda: f"tools-test-{next(_numbers)}")

    def context(self) -> ToolContext:
        async def sandbox() -> Sandbox:
            return self.sandbox

        return ToolContext(
            session_id=self.session_id,
            call_id=f"call_{next(_numbers)}",
            lane=self.lane,
            budget=Budget(self.limits, State()),
            emit_output=self.shown.append,
            state=self.state,
            record=lambda kind, data: self.log.append((kind, dict(data))),
            facts=lambda kind: [data for name, data in self.log if name == kind],
            update_plan=self.plans.append,
            _sandbox=sandbox,
        )

    async def call(self, tool: Tool, **arguments: Any) -> ToolResult:
        """Check the arguments and run the tool."""
        return await tool.run(self.context(), tool.check(arguments))

    async def text(self, tool: Tool, **arguments: Any) -> str:
        """What the model reads, also of a failed call."""
        try:
            return (await self.call(tool, **arguments)).content
        except ToolError as error:
            return f"ERROR: {error}"

    async def refused(self, tool: Tool, **arguments: Any) -> str:
        """The words of a call that must fail."""
        with pytest.raises(ToolError) as caught:
            await self.call(tool, **arguments)
        return str(caught.value)

    def resumed(self) -> Desk:
        """The same session in a new process: it has the log, and nothing else."""
        return Desk(self.sandbox, self.limits, self.lane, self.log, session_id=self.session_id)

    def on_lane(self, lane: str) -> Desk:
        """The same session as another lane's model works in it."""
        desk = Desk(self.sandbox, self.limits, lane, self.log, session_id=self.session_id)
        desk.state = self.state
        return desk

    async def put(self, path: str, data: bytes | str, *, mode: int | None = None) -> str:
        """Write a file of the workspace behind the tools' back; its absolute path."""
        full = self.path(path)
        raw = data.encode() if isinstance(data, str) else data
        await self.sandbox.write_file(full, raw, mode=mode)
        return full

    async def get(self, path: str) -> bytes:
        return await self.sandbox.read_file(self.path(path))

    def path(self, path: str) -> str:
        return f"{self.sandbox.workdir}/{path}"

    async def sh(self, command: str) -> str:
        """Run a command that must succeed."""
        ran = await self.sandbox.exec(command, cwd=self.sandbox.workdir)
        assert ran.ok, ran.output.data
        return ran.output.data.decode()


@asynccontextmanager
async def opened(provider: SandboxProvider) -> AsyncGenerator[Desk]:
    """A desk in a sandbox of this provider; the test is skipped where no engine answers."""
    try:
        sandbox = await provider.open(f"t{next(_numbers)}")
    except EngineUnavailable as error:
        pytest.skip(str(error))
    try:
        yield Desk(sandbox)
    finally:
        await sandbox.close()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture(params=["local", DOCKER])
async def desk(request: pytest.FixtureRequest, workspace: Path) -> AsyncIterator[Desk]:
    """A desk on each backend."""
    kind = Local if request.param == "local" else Docker
    async with opened(kind(workspace=workspace)) as desk:
        yield desk
