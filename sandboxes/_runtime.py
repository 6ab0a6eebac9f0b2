"""What all our sandboxes share: everything but how a program is started in them."""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import anyio

from agentkit.errors import SandboxError, SandboxGone
from agentkit.sandbox import (
    DEFAULT_KEEP,
    FLOOD_LIMIT,
    JOB_KEEP,
    Capabilities,
    Ended,
    ExecResult,
    FileStat,
    Job,
    JobInfo,
    Matches,
    OutputCallback,
    Pty,
    Remains,
    Shell,
)
from agentkit.sandboxes import _search
from agentkit.sandboxes._call import Limits
from agentkit.sandboxes._channel import Channel
from agentkit.sandboxes._control import Control
from agentkit.sandboxes._files import Files
from agentkit.sandboxes._forking import Forking
from agentkit.sandboxes._jobs import Jobs
from agentkit.sandboxes._pty import PtySession, Terminal, check_size
from agentkit.sandboxes._requests import no_option
from agentkit.sandboxes._saved import StateKeeper, end_lost_commands
from agentkit.sandboxes._shell import PersistentShell, ShellKind, check_names, reject_nul
from agentkit.sandboxes._shield import shielded
from agentkit.sandboxes._transfer import Transfer

__all__ = ["RuntimeSandbox"]

_SEARCH_KEEP = 64 << 20

# $1 kind of shell $2 command ("" = an interactive shell) $3 directory. The directory is entered
# here, so that one that is missing is said at the terminal.
_TERMINAL = r"""
cd -- "$3" || exit
c=sh
[ "$1" = sh ] || { command -v bash >/dev/null 2>&1 && c=bash; }
if [ -n "$2" ]; then exec $c -c "$2"; else exec $c -i; fi
"""


class RuntimeSandbox(Forking, ABC):
    """A sandbox made of a control shell, named shells, and a few shells for ``exec``.

    Args:
        sandbox_id: unique; every process is marked with it.
        workdir: where commands start.
        kind: the shell that commands run in.
        greeting: what the control shell runs first; see ``Control``.
        reopened: an earlier process has worked in this sandbox.
    """

    def __init__(
        self,
        sandbox_id: str,
        workdir: str,
        *,
        kind: ShellKind = "auto",
        greeting: str = "",
        reopened: bool = False,
    ) -> None:
        self._id = sandbox_id
        self._workdir = workdir
        self._kind: ShellKind = kind
        # The folder is made now: later there may be no process left to make it with.
        self._control = Control(self, f"_dir {sandbox_id}; {greeting}")
        self._files = Files(self._control, self._pour, workdir)
        self._transfer = Transfer(self, self._control, self._files)
        self._jobs = Jobs(self, self._control, self._files, sandbox_id, kind)
        self._keeper = StateKeeper(self._control, self._files, sandbox_id, reopened=reopened)
        self._shells: dict[str, PersistentShell] = {}
        self._ptys: list[PtySession] = []
        self._idle: list[PersistentShell] = []
        self._made = 0
        self._closed = self._dropped = False
        self.remains: Remains | None = None

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
    async def start(self, argv: list[str], env: Mapping[str, str] | None) -> Channel:
        """Start a program; see ``Host.spawn``."""

    async def spawn_as_root(self, argv: list[str]) -> Channel | None:
        return None

    @abstractmethod
    async def spawn_terminal(
        self, argv: list[str], env: Mapping[str, str], rows: int, columns: int
    ) -> Terminal: ...

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

    async def spawn(self, argv: list[str], env: Mapping[str, str] | None = None) -> Channel:
        if self._dropped:
            raise _closed()
        channel = await self.start(argv, env)
        if self._dropped:
            # All streams were closed meanwhile: nobody would close this one.
            with anyio.CancelScope(shield=True):
                await channel.aclose()
            raise _closed()
        return channel

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
        idle_timeout: float | None = None,
        keep: int = DEFAULT_KEEP,
        flood_limit: int = FLOOD_LIMIT,
        split: bool = False,
        on_output: OutputCallback | None = None,
    ) -> ExecResult:
        self._check_open()
        limits = Limits(timeout, idle_timeout, keep, flood_limit, on_output)
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

    async def start_job(
        self,
        command: str,
        *,
        name: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        keep: int = JOB_KEEP,
    ) -> Job:
        self._check_open()
        place = self._files.absolute(cwd or self._workdir)
        return await self._jobs.start(command, name=name, cwd=place, env=dict(env or {}), keep=keep)

    async def job(self, name: str) -> Job:
        self._check_open()
        return await self._jobs.get(name)

    async def jobs(self) -> list[JobInfo]:
        self._check_open()
        return await self._jobs.list()

    async def open_pty(
        self,
        command: str = "",
        *,
        rows: int = 24,
        columns: int = 80,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Pty:
        self._check_open()
        check_names(env or {})
        reject_nul(command, *(env or {}).values())
        check_size(rows, columns)
        await self._control.open()
        self._made += 1
        cookie = f"{self._id}.@pty{self._made}-{secrets.token_hex(2)}."
        variables = {"TERM": "xterm-256color", **(env or {}), "AK_SHELL": cookie, "AK_CMD": cookie}
        argv = ["/bin/sh", "-c", _TERMINAL, "agentkit", self._kind, no_option(command)]
        argv.append(self._files.absolute(cwd or self._workdir))
        # Half a terminal could not be ended.
        try:
            terminal = await shielded(lambda: self.spawn_terminal(argv, variables, rows, columns))
        except SandboxError:
            # The engine may have died after it had started the program.
            self._control.owe(cookie)
            raise
        pty = PtySession(f"pty{self._made}", cookie, terminal, self._control)
        if self._dropped:
            with anyio.CancelScope(shield=True):
                await pty.abandon()
            raise _closed()
        self._ptys.append(pty)
        return pty

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        self._check_open()
        return await self._files.read(path, max_bytes)

    async def read_part(self, path: str, offset: int, size: int) -> bytes:
        self._check_open()
        return await self._files.read_part(path, offset, size)

    async def write_file(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        self._check_open()
        await self._files.write(path, data, mode)

    async def stat(self, path: str) -> FileStat | None:
        self._check_open()
        return await self._files.stat(path)

    async def list_dir(self, path: str) -> list[str]:
        self._check_open()
        return await self._files.list_dir(path)

    async def upload(self, source: str | os.PathLike[str], path: str) -> None:
        self._check_open()
        await self._transfer.upload(source, path)

    async def download(self, path: str, target: str | os.PathLike[str]) -> None:
        self._check_open()
        await self._transfer.download(path, target)

    async def search(
        self,
        pattern: str,
        path: str = ".",
        *,
        glob: str = "",
        ignore_case: bool = False,
        limit: int = 1000,
        timeout: float = 60.0,
    ) -> Matches:
        full = self._files.absolute(path)
        command = _search.script(pattern, full, glob=glob, ignore_case=ignore_case, limit=limit)
        result = await self.exec(command, split=True, keep=_SEARCH_KEEP, timeout=timeout)
        return _search.parse(result, path, limit)

    async def detach(self) -> None:
        await self.close()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self._dispose()

    async def _drop_streams(self) -> None:
        """Close our ends, for good; the processes are the backend's business."""
        self._dropped = True
        for stream in (*self._shells.values(), *self._idle, *self._ptys):
            await stream.abandon()
        await self._jobs.close()
        await self._control.aclose()

    async def take_over(self) -> None:
        """Attach to what an earlier process left: its jobs go on, its unfinished commands end."""
        await self._control.open()
        self.remains = await end_lost_commands(self._control, self._id)

    async def _pour(self, command: str, data: bytes) -> ExecResult:
        return await self.exec(command, stdin=data, timeout=600.0)

    def _new_exec_shell(self) -> PersistentShell:
        self._made += 1
        return self._new_shell(f"@exec{self._made}{self._keeper.epoch}", "sh")

    def _new_shell(self, name: str, kind: ShellKind) -> PersistentShell:
        return PersistentShell(
            self,
            self._control,
            name,
            workdir=self._workdir,
            prefix=self._id,
            kind=kind,
            keeper=None if name.startswith("@") else self._keeper,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise _closed()


def _closed() -> SandboxGone:
    return SandboxGone("the sandbox was closed", hint="Open a new one")


def new_sandbox_id() -> str:
    return secrets.token_hex(6)
