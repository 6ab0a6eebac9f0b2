"""``Pool``: sandboxes that are ready before they are asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from agentkit.errors import SandboxError, UsageError
from agentkit.sandbox import Progress
from agentkit.sandboxes.docker import Docker, DockerSandbox

__all__ = ["Pool"]

_WAITING = "pool"
"""The session label of a container that nobody has taken yet; labels cannot be changed."""


class Pool:
    """A provider that keeps ``size`` sandboxes of one kind running, with their shells attached.

    Taking one costs a look into a list. Each is used for one session and removed after it; while
    it is in use, the next is made. At most one per core is started at a time. Use it as
    ``async with Pool(Docker(workspace=".")) as pool``, and give it to the agent as its sandbox.

    Args:
        provider: what the sandboxes are like: image, limits, network, mounted workspace. A copied
            workspace is copied when a sandbox is taken, since it may have changed.
        size: how many wait: as many as sessions begin at the same moment.
    """

    def __init__(self, provider: Docker, *, size: int = 2) -> None:
        if size < 1:
            raise UsageError(f"a pool of {size} holds nothing", hint="Give a size of 1 or more")
        self.provider = provider
        self.size = size
        self._ready: deque[DockerSandbox] = deque()
        self._under_way = 0
        self._starting = anyio.CapacityLimiter(max(1, os.cpu_count() or 1))
        self._changed = anyio.Condition()
        self._tasks: TaskGroup | None = None
        self._problem: SandboxError | None = None

    async def __aenter__(self) -> Pool:
        self._tasks = await anyio.create_task_group().__aenter__()
        self._refill(self._tasks)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        assert self._tasks is not None
        tasks, self._tasks = self._tasks, None
        tasks.cancel_scope.cancel()
        try:
            return await tasks.__aexit__(kind, error, trace)
        finally:
            with anyio.CancelScope(shield=True):
                while self._ready:
                    await self._ready.popleft().close()

    async def full(self) -> None:
        """Wait until all are ready.

        Raises:
            SandboxError: they cannot be made, and why.
        """
        async with self._changed:
            while len(self._ready) < self.size:
                if self._problem is not None:
                    raise self._problem
                await self._changed.wait()

    async def open(self, session_id: str, *, progress: Progress | None = None) -> DockerSandbox:
        """Take a sandbox that is ready; where none is, one is made now."""
        if self._tasks is None:
            raise UsageError("the pool is not open", hint="Use it in: async with Pool(…) as pool")
        while self._ready:
            sandbox = self._ready.popleft()
            self._refill(self._tasks)
            if sandbox.alive():
                if self.provider.workspace_mode == "copy":
                    await sandbox.fill_from(self.provider.workspace)
                self._tasks.start_soon(sandbox.rename, session_id)
                return sandbox
            await sandbox.close()
        self._refill(self._tasks)
        return await self.provider.open(session_id, progress=progress)

    async def reopen(
        self, ref: Mapping[str, str], *, progress: Progress | None = None
    ) -> DockerSandbox:
        return await self.provider.reopen(ref, progress=progress)

    async def restore(
        self, snapshot: Mapping[str, str], session_id: str, *, progress: Progress | None = None
    ) -> DockerSandbox:
        return await self.provider.restore(snapshot, session_id, progress=progress)

    async def forget(self, snapshot: Mapping[str, str]) -> None:
        await self.provider.forget(snapshot)

    def _refill(self, tasks: TaskGroup) -> None:
        while len(self._ready) + self._under_way < self.size:
            self._under_way += 1
            tasks.start_soon(self._make)

    async def _make(self) -> None:
        try:
            async with self._starting:
                sandbox = await self.provider.open_warm(_WAITING)
            self._ready.append(sandbox)
            self._problem = None
        except SandboxError as error:
            # Told to whoever waits; open() tries again, and tells its own caller.
            self._problem = error
        finally:
            self._under_way -= 1
            with anyio.CancelScope(shield=True):
                async with self._changed:
                    self._changed.notify_all()
