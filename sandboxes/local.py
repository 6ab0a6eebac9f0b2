"""``Local``: commands run on this machine as this user."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio

from agentkit.errors import EngineUnavailable, SandboxError, SandboxGone, UsageError
from agentkit.sandbox import Capabilities, Progress
from agentkit.sandboxes._channel import Channel, PipeChannel
from agentkit.sandboxes._environment import QUIET
from agentkit.sandboxes._local_copy import LocalCopy, read_entries
from agentkit.sandboxes._local_terminal import open_terminal
from agentkit.sandboxes._namespace import Namespace, unavailable
from agentkit.sandboxes._pty import Terminal
from agentkit.sandboxes._runtime import RuntimeSandbox, new_sandbox_id
from agentkit.sandboxes._shell import ShellKind
from agentkit.sandboxes._shield import shielded
from agentkit.sandboxes._tree import Tree
from agentkit.sandboxes._workspace import checked_workspace

__all__ = ["Local", "LocalSandbox"]

# What is never a model's to read. The names are those of keys, tokens and passwords in use; a name
# that is missed here is the reason why the Docker sandbox starts from an empty environment.
_SECRET = re.compile(
    r"(API|ACCESS|PRIVATE|SECRET|SIGNING|ENCRYPTION|AUTH)_?KEY|TOKEN|SECRET|PASSW(OR)?D|PASSPHRASE"
    r"|CREDENTIAL|_KEY$|_PAT$|^AK_|SESSION_?ID$|COOKIE|(DATABASE|REDIS|MONGO\w*|AMQP)_UR[IL]$"
    r"|_DSN$|^SSH_AUTH_SOCK$|^GPG_AGENT_INFO$|^AGENTKIT_STORE$",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Local:
    """A shell on this machine, without isolation from its user's files and rights.

    Args:
        workspace: the folder that commands start in.
        env: variables to add; secrets of this process's environment are removed first.
        shell: ``auto`` is bash where it exists.
        namespaces: with bubblewrap commands see the machine read-only but for the workspace, a
            private ``/tmp``, no other processes, and not the usual folders of secrets. ``auto``
            does so where it works, ``required`` fails where it does not, ``off`` never does.
        writable: more folders that commands may write to inside namespaces.
    """

    workspace: str | os.PathLike[str] = "."
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    shell: ShellKind = "auto"
    namespaces: Literal["auto", "off", "required"] = "off"
    writable: tuple[str | os.PathLike[str], ...] = ()

    def __post_init__(self) -> None:
        if self.namespaces not in ("auto", "off", "required"):
            raise UsageError(
                f"namespaces is auto, off or required, not {self.namespaces!r}",
                hint="auto uses bubblewrap where it works",
            )

    @property
    def host_workspace(self) -> Path:
        return Path(os.path.realpath(os.path.expanduser(self.workspace)))

    async def open(self, session_id: str, *, progress: Progress | None = None) -> LocalSandbox:
        path = await anyio.to_thread.run_sync(checked_workspace, self.workspace)
        environment = clean_environment(os.environ) | dict(self.env)
        namespace = await anyio.to_thread.run_sync(self.namespace, path)
        return LocalSandbox(new_sandbox_id(), path, environment, self, namespace)

    async def reopen(
        self, ref: Mapping[str, str], *, progress: Progress | None = None
    ) -> LocalSandbox:
        raise SandboxGone(
            "a local sandbox ends with the process that opened it",
            hint="A new one starts in the same folder; variables and jobs are gone",
        )

    async def restore(
        self, snapshot: Mapping[str, str], session_id: str, *, progress: Progress | None = None
    ) -> LocalSandbox:
        raise SandboxError("a local sandbox has no snapshots", tried=str(dict(snapshot)))

    async def forget(self, snapshot: Mapping[str, str]) -> None:
        """Nothing to remove: a local sandbox makes no snapshots."""

    def namespace(self, path: Path) -> Namespace | None:
        """A namespace for that folder, as this provider wants it. Blocks."""
        if self.namespaces == "off":
            return None
        if reason := unavailable():
            if self.namespaces == "required":
                raise EngineUnavailable(
                    f"this machine has no namespaces for us: {reason}",
                    tried="bwrap --unshare-pid",
                    hint="Install bubblewrap and util-linux, or use namespaces='off'",
                )
            return None
        writable = [Path(os.path.realpath(os.path.expanduser(each))) for each in self.writable]
        return Namespace(path, writable)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without secrets, with what keeps programs quiet."""
    return {name: value for name, value in environ.items() if not _SECRET.search(name)} | QUIET


class LocalSandbox(RuntimeSandbox):
    """Shells of this machine, each in a kernel session of its own."""

    def __init__(
        self,
        sandbox_id: str,
        path: Path,
        env: Mapping[str, str],
        provider: Local,
        namespace: Namespace | None = None,
        copy: LocalCopy | None = None,
    ) -> None:
        # Its input ends when this process does, however it ends; then nothing of ours lives on.
        greeting = f"trap '_reap {sandbox_id}.; rm -rf \"$_d\"' EXIT"
        super().__init__(
            sandbox_id,
            str(path),
            kind=provider.shell,
            greeting="_own=own" if namespace else greeting,
        )
        self._env = dict(env)
        self._namespace = namespace
        self._provider = provider
        self._copy = copy

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(isolated=False, pty=True, jobs=True, fork=True)

    @property
    def host_workspace(self) -> Path:
        return Path(self._workdir)

    @property
    def ref(self) -> Mapping[str, str]:
        return {"kind": "local", "id": self._id}

    @property
    def description(self) -> str:
        inside = " · all else read-only, /tmp of its own" if self._namespace else ""
        copied = " · workspace copy" if self._copy else ""
        return f"local · no isolation · {self._workdir}{copied}{inside}"

    async def start(self, argv: list[str], env: Mapping[str, str] | None) -> Channel:
        process = await self._start(argv, env, subprocess.PIPE)
        return PipeChannel(process)

    async def spawn_terminal(
        self, argv: list[str], env: Mapping[str, str], rows: int, columns: int
    ) -> Terminal:
        async def start(argv: list[str]) -> subprocess.Popen[bytes]:
            return await self._start(argv, env, subprocess.DEVNULL)

        return await open_terminal(start, argv, rows, columns)

    async def revive(self) -> bool:
        if self._namespace is None or self._namespace.alive():
            return False
        self._check_open()
        await anyio.to_thread.run_sync(self._namespace.restart)
        return True

    async def _dispose(self) -> None:
        if self._namespace is None:
            await self._control.request(f'_reap {self._id}.; rm -rf "$_d"')
        await self._drop_streams()
        if self._namespace is not None:
            await anyio.to_thread.run_sync(self._namespace.close)
        if self._copy is not None:
            await anyio.to_thread.run_sync(self._copy.remove)

    async def fork(self, session_id: str) -> LocalSandbox:
        provider = self._provider

        def make() -> LocalSandbox:
            copy = LocalCopy.of(Path(self._workdir))
            inside = provider.namespace(copy.workspace) if self._namespace else None
            return LocalSandbox(new_sandbox_id(), copy.workspace, self._env, provider, inside, copy)

        return await shielded(lambda: anyio.to_thread.run_sync(make))

    async def trees(self) -> tuple[Tree, Tree]:
        if self._copy is None:
            return await super().trees()
        return await anyio.to_thread.run_sync(self._copy.trees)

    async def entries(self, paths: Collection[str]) -> Tree:
        return await anyio.to_thread.run_sync(read_entries, Path(self._workdir), paths)

    async def _start(
        self, argv: list[str], env: Mapping[str, str] | None, pipe: int
    ) -> subprocess.Popen[bytes]:
        command = self._namespace.command(argv) if self._namespace else argv

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                cwd=self._workdir,
                env=self._env | dict(env or {}),
                start_new_session=True,
            )

        try:
            return await shielded(lambda: anyio.to_thread.run_sync(start))
        except FileNotFoundError as error:
            raise SandboxGone(
                f"{error.filename} does not exist any more", tried=f"starting {argv[0]}"
            ) from error
        except OSError as error:
            raise EngineUnavailable(
                f"this machine cannot start a process: {error}", tried=f"starting {argv[0]}"
            ) from error
