"""What a session's lanes stand on: one sandbox, opened at first use, and their endpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from agentkit.errors import SandboxGone, ToolError
from agentkit.events import SandboxOpened
from agentkit.sandbox import Progress, Sandbox, SandboxProvider

if TYPE_CHECKING:
    from agentkit.checkpoints.keeper import Kept
    from agentkit.ladder import Rung
    from agentkit.models.endpoint import Endpoint
    from agentkit.run import Run


REOPENED = "[The session goes on in the sandbox of before, with its files and background jobs.]"
REPLACED = (
    "[The sandbox was replaced by a new one. The workspace's files are {}. Everything else in it"
    " (shell state, processes, other files, installed packages) is gone.]"
)


@dataclass(slots=True)
class Ground:
    """The sandbox that a session, or one attempt in a copy of it, works in."""

    provider: SandboxProvider | None = None
    progress: Progress | None = None
    opened: Sandbox | None = None
    kept: Kept | None = None
    """What checkpoints know of its workspace."""
    _opening: anyio.Lock = field(default_factory=anyio.Lock)

    @classmethod
    def of(cls, sandbox: Sandbox) -> Ground:
        """A sandbox that is open already, for instance a fork."""
        return cls(opened=sandbox)

    @property
    def exists(self) -> bool:
        return self.provider is not None or self.opened is not None

    async def sandbox(self, run: Run) -> Sandbox:
        """The session's sandbox: the living one of an earlier process, or a new one."""
        async with self._opening:
            if self.opened is None:
                if self.provider is None:
                    raise ToolError("this agent has no sandbox, so this tool cannot work here")
                await self._open(self.provider, run)
            assert self.opened is not None
            return self.opened

    async def _open(self, provider: SandboxProvider, run: Run) -> Sandbox:
        last = run.state.sandbox
        sandbox: Sandbox | None = None
        if last is not None and last.ref:
            try:
                sandbox = await provider.reopen(last.ref, progress=self.progress)
            except SandboxGone:
                sandbox = None
        reopened = sandbox is not None
        if sandbox is None:
            sandbox = await provider.open(run.log.session_id, progress=self.progress)
        self.opened = sandbox
        run.append(
            SandboxOpened(description=sandbox.description, ref=dict(sandbox.ref), reopened=reopened)
        )
        if last is not None:
            run.notes.append(REOPENED if reopened else await self._rebuilt(sandbox, run))
        await run.log.commit()
        return sandbox

    async def _rebuilt(self, sandbox: Sandbox, run: Run) -> str:
        """Bring a new sandbox to where the last one was, as far as that is known; say how far.

        A mounted workspace is what it is. One that only the old sandbox held comes back from its
        last checkpoint; somebody else's container is not ours to write to.
        """
        self.kept = None
        last = run.checkpoints.last
        if sandbox.host_workspace is not None or not sandbox.capabilities.snapshot:
            return REPLACED.format("as they were")
        if last is None:
            return REPLACED.format("those that the session began with: no checkpoint was kept")
        await run.checkpoints.restore(last.id, tell=False)
        return REPLACED.format(f"those of the last checkpoint ({last.reason}, turn {last.turn})")

    async def close(self, *, leave: bool = False) -> None:
        """Remove the sandbox, if one was opened.

        Args:
            leave: leave it for whoever resumes the session, if it can be reopened at all.
        """
        if self.opened is not None:
            sandbox, self.opened = self.opened, None
            with anyio.CancelScope(shield=True):
                if leave and sandbox.capabilities.reopen:
                    await sandbox.detach()
                else:
                    await sandbox.close()


@dataclass(slots=True)
class Endpoints:
    """One endpoint for each address and key that a ladder's rungs name."""

    connect: Callable[[Rung], Endpoint]
    _open: dict[tuple[str, str], Endpoint] = field(
        default_factory=dict[tuple[str, str], "Endpoint"]
    )

    def of(self, rung: Rung) -> Endpoint:
        """The rung's endpoint, made at first use."""
        key = (rung.base_url, rung.api_key_env)
        if key not in self._open:
            self._open[key] = self.connect(rung)
        return self._open[key]

    async def aclose(self) -> None:
        for endpoint in self._open.values():
            await endpoint.aclose()
        self._open.clear()
