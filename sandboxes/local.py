"""``Local``: commands run on this machine as this user, without isolation."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from agentkit.errors import EngineUnavailable, SandboxError, SandboxGone
from agentkit.sandbox import Capabilities, Progress
from agentkit.sandboxes._channel import Channel, PipeChannel
from agentkit.sandboxes._environment import QUIET
from agentkit.sandboxes._local_copy import LocalCopy, read_entries
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
    r"|_DSN$|^SSH_AUTH_SOCK$|^GPG_AGENT_INFO$",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class Local:
    """A shell on this machine.

    Args:
        workspace: the folder that commands start in.
        env: variables to add; secrets of this process's environment are removed first.
        shell: ``auto`` is bash where it exists.
    """

    workspace: str | os.PathLike[str] = "."
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    shell: ShellKind = "auto"

    @property
    def host_workspace(self) -> Path:
        return Path(os.path.realpath(os.path.expanduser(self.workspace)))

    async def open(self, session_id: str, *, progress: Progress | None = None) -> LocalSandbox:
        path = await anyio.to_thread.run_sync(checked_workspace, self.workspace)
        environment = clean_environment(os.environ) | dict(self.env)
        return LocalSandbox(new_sandbox_id(), path, environment, self)

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
        copy: LocalCopy | None = None,
    ) -> None:
        # Its input ends when this process does, however it ends; then nothing of ours lives on.
        greeting = f"trap '_reap {sandbox_id}.' EXIT"
        super().__init__(sandbox_id, str(path), kind=provider.shell, greeting=greeting)
        self._env = dict(env)
        self._provider = provider
        self._copy = copy

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(isolated=False, fork=True)

    @property
    def host_workspace(self) -> Path:
        return Path(self._workdir)

    @property
    def ref(self) -> Mapping[str, str]:
        return {"kind": "local", "id": self._id}

    @property
    def description(self) -> str:
        copied = " · workspace copy" if self._copy else ""
        return f"local · no isolation · {self._workdir}{copied}"

    async def spawn(self, argv: list[str], *, tty: bool = False) -> Channel:
        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._workdir,
                env=self._env,
                start_new_session=True,
            )

        try:
            return PipeChannel(await anyio.to_thread.run_sync(start))
        except FileNotFoundError as error:
            raise SandboxGone(
                f"{error.filename} does not exist any more", tried=f"starting {argv[0]}"
            ) from error
        except OSError as error:
            raise EngineUnavailable(
                f"this machine cannot start a process: {error}", tried=f"starting {argv[0]}"
            ) from error

    async def revive(self) -> bool:
        return False

    async def fork(self, session_id: str) -> LocalSandbox:
        copy = await shielded(lambda: anyio.to_thread.run_sync(LocalCopy.of, Path(self._workdir)))
        return LocalSandbox(new_sandbox_id(), copy.workspace, self._env, self._provider, copy)

    async def trees(self) -> tuple[Tree, Tree]:
        if self._copy is None:
            return await super().trees()
        return await anyio.to_thread.run_sync(self._copy.trees)

    async def entries(self, paths: Collection[str]) -> Tree:
        return await anyio.to_thread.run_sync(read_entries, Path(self._workdir), paths)

    async def _dispose(self) -> None:
        await self._control.request(f"_reap {self._id}.")
        await self._drop_streams()
        if self._copy is not None:
            await anyio.to_thread.run_sync(self._copy.remove)
