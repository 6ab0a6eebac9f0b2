"""The part of a sandbox that deals with copies: what they changed, and bringing it home."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import anyio

from agentkit.errors import SandboxError, UsageError
from agentkit.sandboxes._merge import Home, merge_into_sandbox
from agentkit.sandboxes._tree import Tree, diff

if TYPE_CHECKING:
    from agentkit.sandbox import Sandbox

__all__ = ["Forking"]


class Forking(Home):
    """What backends that can fork override: ``snapshot``, ``fork``, ``trees`` and ``entries``."""

    @property
    @abstractmethod
    def description(self) -> str: ...

    async def snapshot(self) -> Mapping[str, str]:
        raise SandboxError(
            "this sandbox cannot keep a snapshot of its file system",
            tried=self.description,
            hint="The docker sandbox can",
        )

    async def fork(self, session_id: str) -> Sandbox:
        raise SandboxError(
            "this sandbox cannot be forked",
            tried=self.description,
            hint="The docker and local sandboxes can",
        )

    async def trees(self) -> tuple[Tree, Tree]:
        """The files that differ from the copy as it was first: then, and now."""
        raise UsageError("the workspace is no copy: its changes are in the folder already")

    async def entries(self, paths: Collection[str]) -> Tree:
        """The workspace's files of these names."""
        raise SandboxError("this sandbox cannot take a fork's changes", tried=self.description)

    async def changes(self) -> bytes:
        old, new = await self.trees()
        return await anyio.to_thread.run_sync(diff, old, new)

    async def merge(self, fork: Sandbox) -> list[str]:
        if not isinstance(fork, Forking):
            raise UsageError("only a fork of this sandbox can be merged", tried=fork.description)
        old, new = await fork.trees()
        if not old and not new:
            return []
        return await merge_into_sandbox(self, await self.entries({*old, *new}), old, new)
