"""What all our sandboxes share: everything but how a program is started in them."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import anyio

from agentkit.errors import SandboxGone
from agentkit.sandbox import (
    DEFAULT_KEEP,
    FLOOD_LIMIT,
    Capabilities,
    Ended,
    ExecResult,
    FileStat,
    OutputCallback,
    Shell,
)
from agentkit.sandboxes._channel import Channel
from agentkit.sandboxes._control import Control
from agentkit.sandboxes._files import Files
from agentkit.sandboxes._forking import Forking
from agentkit.sandboxes._shell import Limits, PersistentShell, ShellKind

__all__ = ["RuntimeSandbox"]


class RuntimeSandbox(Forking, ABC):
    """A sandbox made of a control shell, named shells, and a few shells for ``exec``.

    Args:
        sandbox_id: unique; every process is marked with it.
        workdir: where commands start.
        kind: the shell that commands run in.
        greeting: what the control shell runs first; see ``Control``.
    """

    def __init__(
        self, sandbox_id: str, workdir: str, *, kind: ShellKind = "auto", greeting: str = ""
    ) -> None:
        self._id = sandbox_id
        self._workdir = workdir
        self._kind: ShellKind = kind
        self._control = Control(self, greeting)
        self._files = Files(self._control, self._pour, workdir)
        self._shells: dict[str, PersistentShell] = {}
        self._idle: list[PersistentShell] = []
        self._made = 0
        self._closed = False

    # What a backend adds.

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities: ...

    @property
    @abstractmethod
    def ref(self) -> Mapping[str, str]: ...

    @property
    @abstractmethod
    def description(self) -> str: ...

    @abstractmethod
    async def spawn(self, argv: list[str], *, tty: bool = False) -> Channel: ...

    @abstractmethod
    async def revive(self) -> bool: ...

    @abstractmethod
    async def _dispose(self) -> None:
        """End every process and give everything back; called once."""

    def notices(self) -> list[str]:
        return []

    async def examine(self) -> Ended | None:
        """Whether a limit that only the backend knows ends the command now; asked each second."""
        return None

    # What all have in common.

    @property
    def workdir(self) -> str:
        return self._workdir

    @property
    def host_workspace(self) -> Path | None:
        return None

    async def shell(self, name: str = "main") -> Shell:
        self._check_open()
        if name not in self._shells:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"a shell's name is letters, digits, - and _; got {name!r}")
            self._shells[name] = self._new_shell(name, self._kind)
        return self._shells[name]

    async def exec(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = 60.0,
        keep: int = DEFAULT_KEEP,
        split: bool = False,
        on_output: OutputCallback | None = None,
    ) -> ExecResult:
        self._check_open()
        limits = Limits(timeout, None, keep, FLOOD_LIMIT, on_output)
        # With input a shell is used once: what a command leaves unread would be its next request.
        shell = self._idle.pop() if self._idle and not stdin else self._new_exec_shell()
        try:
            return await shell.run_apart(
                command,
                cwd=self._files.absolute(cwd or self._workdir),
                env=dict(env or {}),
                stdin=stdin,
                limits=limits,
                split=split,
            )
        finally:
            if stdin or self._closed:
                await shell.close()
            else:
                self._idle.append(shell)

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        self._check_open()
        return await self._files.read(path, max_bytes)

    async def write_file(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        self._check_open()
        await self._files.write(path, data, mode)

    async def stat(self, path: str) -> FileStat | None:
        self._check_open()
        return await self._files.stat(path)

    async def list_dir(self, path: str) -> list[str]:
        self._check_open()
        return await self._files.list_dir(path)

    async def detach(self) -> None:
        await self.close()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._dispose()

    async def _drop_streams(self) -> None:
        """Close our ends; the processes are the backend's business."""
        for shell in (*self._shells.values(), *self._idle):
            await shell.abandon()
        await self._control.aclose()

    async def _pour(self, command: str, data: bytes) -> ExecResult:
        return await self.exec(command, stdin=data, timeout=600.0)

    def _new_exec_shell(self) -> PersistentShell:
        self._made += 1
        return self._new_shell(f"exec{self._made}", "sh")

    def _new_shell(self, name: str, kind: ShellKind) -> PersistentShell:
        return PersistentShell(
            self, self._control, name, workdir=self._workdir, prefix=self._id, kind=kind
        )

    def _check_open(self) -> None:
        if self._closed:
            raise SandboxGone("the sandbox was closed", hint="Open a new one")


def new_sandbox_id() -> str:
    return secrets.token_hex(6)
