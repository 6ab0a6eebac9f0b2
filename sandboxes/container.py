"""``Container``: work in a container that exists already, as it is."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio

from agentkit.errors import SandboxError, SandboxGone
from agentkit.sandbox import Capabilities, Ended, Progress
from agentkit.sandboxes._channel import Channel
from agentkit.sandboxes._disk import DiskWatch, in_bytes
from agentkit.sandboxes._engine import Engine, connect
from agentkit.sandboxes._environment import QUIET
from agentkit.sandboxes._pty import Terminal
from agentkit.sandboxes._runtime import RuntimeSandbox, new_sandbox_id
from agentkit.sandboxes._shell import ShellKind

__all__ = ["Container", "ContainerSandbox"]

_START_LIMIT = 20.0


@dataclass(frozen=True, kw_only=True)
class Container:
    """A running container that somebody else made, and keeps.

    Args:
        name: its name or id.
        workdir: where commands start; its image's working directory if not given.
        user: who commands run as; its image's user if not given.
        shell: ``auto`` is bash where the image has it.
        lease: seconds after which jobs and servers end when this process is gone.
        disk: what may be written in its own layer; a command that passes it is ended.
        host: the engine's address, in place of DOCKER_HOST.
    """

    name: str
    workdir: str | None = None
    user: str = ""
    shell: ShellKind = "auto"
    lease: float = 300.0
    disk: str | None = None
    host: str | None = None

    @property
    def host_workspace(self) -> None:
        return None

    async def open(self, session_id: str, *, progress: Progress | None = None) -> ContainerSandbox:
        return await self._attach(self.name, "")

    async def _attach(self, name: str, earlier: str) -> ContainerSandbox:
        """Enter the container; ``earlier`` is the id of the sandbox that an earlier process had."""
        engine = await connect(self.host)
        try:
            facts = await self._inspect(engine, name)
            workdir = self.workdir or facts["Config"]["WorkingDir"] or "/"
            sandbox = ContainerSandbox(engine, facts, workdir, self, earlier)
            # Fails here, with clear words, where there is no /bin/sh.
            await (sandbox.take_over() if earlier else sandbox.control_open())
            return sandbox
        except BaseException:
            with anyio.CancelScope(shield=True):
                await engine.close()
            raise

    async def _inspect(self, engine: Engine, name: str) -> dict[str, Any]:
        try:
            facts = await engine.call(lambda: engine.api.inspect_container(name))
        except SandboxGone as error:
            raise SandboxGone(
                f"there is no container named {name}", hint="See docker ps for those that run"
            ) from error
        if not facts["State"]["Running"]:
            raise SandboxGone(
                f"the container {name} is not running",
                tried=f"its state is {facts['State']['Status']}",
                hint=f"Start it (docker start {name})",
            )
        return facts

    async def reopen(
        self, ref: Mapping[str, str], *, progress: Progress | None = None
    ) -> ContainerSandbox:
        if not ref.get("container") or not ref.get("id"):
            raise SandboxGone("the reference names no container", tried=str(dict(ref)))
        return await self._attach(ref["container"], ref["id"])

    async def restore(
        self, snapshot: Mapping[str, str], session_id: str, *, progress: Progress | None = None
    ) -> ContainerSandbox:
        raise SandboxError(
            "somebody else's container has no snapshots of ours", tried=str(dict(snapshot))
        )

    async def forget(self, snapshot: Mapping[str, str]) -> None:
        """Nothing to remove: this provider makes no snapshots."""


class EngineSandbox(RuntimeSandbox):
    """What sandboxes in a container have in common."""

    def __init__(
        self,
        engine: Engine,
        container: str,
        sandbox_id: str,
        workdir: str,
        *,
        user: str = "",
        kind: ShellKind = "auto",
        greeting: str = "",
        env: Mapping[str, str] | None = None,
        reopened: bool = False,
    ) -> None:
        super().__init__(sandbox_id, workdir, kind=kind, greeting=greeting, reopened=reopened)
        self._engine = engine
        self._container = container
        self._user = user
        self._env = dict(env or {})

    async def detach(self) -> None:
        if not self._closed:
            self._closed = True
            with anyio.CancelScope(shield=True):
                await self._drop_streams()
                await self._engine.close()

    async def control_open(self) -> None:
        await self._control.open()

    async def start(self, argv: list[str], env: Mapping[str, str] | None) -> Channel:
        channel, _ = await self._engine.exec(
            self._container, argv, user=self._user, env=self._env | dict(env or {})
        )
        return channel

    async def spawn_terminal(
        self, argv: list[str], env: Mapping[str, str], rows: int, columns: int
    ) -> Terminal:
        api = self._engine.api
        channel, exec_id = await self._engine.exec(
            self._container, argv, user=self._user, env=self._env | dict(env), tty=True
        )

        async def resize(rows: int, columns: int) -> None:
            # A program that has ended already has no terminal; its output is still to be read.
            with suppress(SandboxError):
                await self._engine.call(
                    lambda: api.exec_resize(exec_id, height=rows, width=columns)
                )

        async def exit_code() -> int | None:
            facts = await self._engine.call(lambda: api.exec_inspect(exec_id))
            return facts["ExitCode"]

        # The engine answers before the program runs, and only then can be resized, or ended.
        try:
            with anyio.move_on_after(_START_LIMIT):
                while True:
                    facts = await self._engine.call(lambda: api.exec_inspect(exec_id))
                    if (facts["Running"] and facts["Pid"]) or facts["ExitCode"] is not None:
                        break
                    await anyio.sleep(0.005)
            await resize(rows, columns)
        except BaseException:
            await channel.aclose()
            raise
        return Terminal(channel, resize, exit_code)


# When the connection ends, what runs may go on for the lease: another process may take it over,
# which ends the shell that waits here (a control shell has neither of the other two marks).
_GREETING = r"""
for d in /proc/[0-9]*; do
    p=${{d#/proc/}} m=
    [ "$p" != $$ ] || continue
    while IFS= read -r e || [ -n "$e" ]; do
        case $e in *AK_SHELL=*|*AK_CMD=*) m=; break ;; *AK_SANDBOX={id}*) m=1 ;; esac
    done 2>/dev/null <"$d/environ"
    [ -z "$m" ] || kill -KILL "$p"
done 2>/dev/null
trap 'sleep {lease}; _reap {id}.; rm -rf "$_d"' EXIT
"""


class ContainerSandbox(EngineSandbox):
    """Shells in somebody else's container; closing ends them and leaves the container alone."""

    def __init__(
        self,
        engine: Engine,
        facts: dict[str, Any],
        workdir: str,
        provider: Container,
        earlier: str = "",
    ) -> None:
        sandbox_id = earlier or new_sandbox_id()
        # What the container sets itself stays as it is.
        items: list[str] = facts["Config"]["Env"] or []
        own = {item.partition("=")[0] for item in items}
        super().__init__(
            engine,
            facts["Id"],
            sandbox_id,
            workdir,
            user=provider.user,
            kind=provider.shell,
            greeting=_GREETING.format(id=sandbox_id, lease=f"{provider.lease:g}"),
            env={name: value for name, value in QUIET.items() if name not in own}
            | {"AK_SANDBOX": sandbox_id},
            reopened=bool(earlier),
        )
        self._name = provider.name
        self._image = str(facts["Config"]["Image"])
        limit = in_bytes(provider.disk) if provider.disk else 0
        self._disk = DiskWatch(engine, facts["Id"], limit, None) if limit else None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(isolated=True, pty=True, jobs=True, reopen=True)

    async def examine(self) -> Ended | None:
        full = await self._disk.look() if self._disk else ""
        return "disk" if full else None

    async def spawn_as_root(self, argv: list[str]) -> Channel | None:
        # With the container's own capabilities: its programs are not ours to trust with others.
        channel, _ = await self._engine.exec(
            self._container, argv, user="0", env={"AK_SANDBOX": self._id}
        )
        return channel

    @property
    def ref(self) -> Mapping[str, str]:
        return {"kind": "container", "container": self._container, "id": self._id}

    @property
    def description(self) -> str:
        return f"container {self._name} as it is · {self._image} · {self._workdir}"

    async def revive(self) -> bool:
        state = await self._engine.state(self._container)
        if not state["Running"]:
            raise SandboxGone(
                f"the container {self._name} has stopped",
                tried=f"its state is {state['Status']}, exit code {state['ExitCode']}",
                hint=f"Start it again (docker start {self._name}) and resume the session",
            )
        return False

    async def _dispose(self) -> None:
        # If it was stopped or removed, nothing of ours can be left in it.
        with suppress(SandboxError):
            await self._control.reap_all(self._id)
            await self._control.request('trap - EXIT; rm -rf "$_d"', limit=5)
        await self._drop_streams()
        await self._engine.close()
