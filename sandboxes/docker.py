"""``Docker``: a container of its own for each session, closed by default."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import anyio

from agentkit.errors import EngineUnavailable, SandboxError, SandboxGone, UsageError
from agentkit.sandbox import Capabilities, Ended, Progress
from agentkit.sandboxes._allow import AllowList, parse_allow
from agentkit.sandboxes._copied import CopiedWorkspace
from agentkit.sandboxes._create import create_container, resolve_image
from agentkit.sandboxes._disk import DiskWatch, in_bytes
from agentkit.sandboxes._egress import NETWORK, Egress, open_egress
from agentkit.sandboxes._engine import Engine, connect
from agentkit.sandboxes._merge import merge_into_folder
from agentkit.sandboxes._mounted import MountedFiles, find_mounted
from agentkit.sandboxes._owner import FORK_IMAGE, LABEL, SESSION, remove, sweep
from agentkit.sandboxes._runtime import new_sandbox_id
from agentkit.sandboxes._shell import ShellKind
from agentkit.sandboxes._snapshots import commit, forget, require, snapshot_image
from agentkit.sandboxes._tree import Tree
from agentkit.sandboxes._workspace import checked_workspace
from agentkit.sandboxes.container import EngineSandbox

__all__ = ["Docker", "DockerSandbox"]

WORKDIR = "/workspace"
_REMOVE_WAIT = 10.0


def _silent(line: str) -> None:
    del line


@dataclass(frozen=True, kw_only=True)
class Docker:
    """A container per session: no network, no capabilities, limits on everything.

    Args:
        workspace: the only folder of this machine that is visible inside, at ``/workspace``.
        image: any image with ``/bin/sh``; ``agentkit-base`` if not given. ``agentkit-python`` and
            ``agentkit-node`` are ours, too, and are built at first use.
        workspace_mode: ``mount`` works on the folder itself, ``copy`` on a copy of it.
        network: ``none``, ``open``, or ``allow:HOST,…``: only these hosts, through a proxy in this
            process. ``host`` is its ports 80 and 443; ``host:8443``, ``host:*``, ``*.host``,
            addresses and networks (``10.1.0.0/16``) can be said too.
        user: who commands run as. By default the workspace's owner when it is mounted, so that new
            files belong to that user, and the image's own user when it is copied.
        memory: limit for all processes together; there is no swap.
        disk: what the container may write beside the workspace; a command that passes it is ended,
            and so is one that leaves less than 512 MB on the disk of a mounted workspace.
        read_only: nothing can be written but the workspace and memory under /tmp and /var/tmp.
        pids: how many processes and threads may exist at a time.
        env: more variables. Everything the model runs can read them: no secrets here.
        profile: ``install`` gives back the capabilities that package managers need.
        tmpfs: folders in memory, with their sizes.
        shell: ``auto`` is bash where the image has it.
        lease: seconds that the container lives on when this process is gone.
        host: the engine's address, in place of DOCKER_HOST.
    """

    workspace: str | os.PathLike[str] = "."
    image: str | None = None
    workspace_mode: Literal["mount", "copy"] = "mount"
    network: str = "none"
    user: str | None = None
    memory: str = "4g"
    disk: str = "10g"
    read_only: bool = False
    pids: int = 512
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    profile: Literal["default", "install"] = "default"
    tmpfs: Mapping[str, str] = field(default_factory=dict[str, str])
    shell: ShellKind = "auto"
    lease: float = 300.0
    host: str | None = None

    def __post_init__(self) -> None:
        if self.allow is None and self.network not in ("none", "open"):
            raise UsageError(
                f"the network policy {self.network!r} is not known",
                hint="Use none, open or allow:HOST,…",
            )
        for size in (self.memory, self.disk):
            in_bytes(size)
        if self.workspace_mode not in ("mount", "copy"):
            raise UsageError(
                f"the workspace mode {self.workspace_mode!r} is not known",
                hint="Use mount or copy",
            )

    @property
    def host_workspace(self) -> Path | None:
        """The mounted folder, if the engine is on this machine."""
        address = self.host or os.environ.get("DOCKER_HOST") or "unix:"
        if self.workspace_mode != "mount" or not address.startswith("unix:"):
            return None
        return Path(os.path.realpath(os.path.expanduser(self.workspace)))

    @property
    def allow(self) -> AllowList | None:
        """The hosts of an allow-list; None under the other policies."""
        kind, colon, hosts = self.network.partition(":")
        return parse_allow(hosts) if kind == "allow" and colon else None

    async def open(self, session_id: str, *, progress: Progress | None = None) -> DockerSandbox:
        workspace = await anyio.to_thread.run_sync(checked_workspace, self.workspace)
        engine = await connect(self.host)
        async with _engine_of(engine):
            await sweep(engine)
            image = await resolve_image(engine, self.image, progress or _silent)
            new = await _start(
                engine, self, image, session_id, workspace=workspace, progress=progress or _silent
            )
            if self.workspace_mode == "copy":
                await _filled(new, lambda: new.fill(workspace))
        return new

    async def open_warm(self, session_id: str) -> DockerSandbox:
        """Make a sandbox whose shells wait for commands; a copied workspace is still empty."""
        workspace = await anyio.to_thread.run_sync(checked_workspace, self.workspace)
        engine = await connect(self.host)
        async with _engine_of(engine):
            image = await resolve_image(engine, self.image, _silent)
            new = await _start(engine, self, image, session_id, workspace=workspace)
            await _filled(new, new.warm_up)
        return new

    async def restore(
        self, snapshot: Mapping[str, str], session_id: str, *, progress: Progress | None = None
    ) -> DockerSandbox:
        """Open a sandbox whose files are those of the snapshot, under this provider's limits.

        A mounted workspace is mounted as it is now; a copied one is as the snapshot has it.
        """
        image = snapshot_image(snapshot)
        workspace = await anyio.to_thread.run_sync(checked_workspace, self.workspace)
        engine = await connect(self.host)
        async with _engine_of(engine):
            await require(engine, image)
            await sweep(engine)
            base = snapshot.get("base", "") if self.workspace_mode == "copy" else ""
            new = await _start(
                engine,
                self,
                image,
                session_id,
                workspace=workspace,
                base=base,
                progress=progress or _silent,
            )
            if self.workspace_mode == "copy" and not base:
                await _filled(new, lambda: new.fill(workspace))
        return new

    async def forget(self, snapshot: Mapping[str, str]) -> None:
        """Remove the snapshot's image; one that a container still uses stays until prune."""
        engine = await connect(self.host)
        async with _engine_of(engine, keep=False):
            await forget(engine, snapshot_image(snapshot))

    async def reopen(
        self, ref: Mapping[str, str], *, progress: Progress | None = None
    ) -> DockerSandbox:
        engine = await connect(self.host)
        async with _engine_of(engine):
            container = ref.get("container", "")
            state = await engine.state(container) if container else None
            if state is None or state["Dead"]:
                raise SandboxGone("the reference names no container", tried=str(dict(ref)))
            provider = replace(self, workspace_mode=ref.get("workspace", self.workspace_mode))
            sandbox = DockerSandbox(
                engine,
                provider,
                container,
                ref["id"],
                ref.get("image", ""),
                ref.get("base", ""),
                reopened=True,
            )
            sandbox.fork_image = ref.get("fork", "")
            await _reopen_egress(
                engine, sandbox, provider, ref.get("proxy", ""), progress or _silent
            )
            if not state["Running"]:
                await sandbox.revive()
            await sandbox.take_over()
        return sandbox


@asynccontextmanager
async def _engine_of(engine: Engine, *, keep: bool = True) -> AsyncGenerator[None]:
    """The sandbox that is opened within takes the connection over, unless that fails."""
    try:
        yield
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            with anyio.CancelScope(shield=True):
                await engine.close()


async def _start(
    engine: Engine,
    provider: Docker,
    image: str,
    session_id: str,
    *,
    workspace: Path,
    base: str = "",
    fork_image: str = "",
    progress: Progress = _silent,
) -> DockerSandbox:
    """Create a container and the sandbox that owns it."""
    sandbox_id = new_sandbox_id()
    egress = await open_egress(engine, provider.allow, progress) if provider.allow else None
    labels = {LABEL: sandbox_id, SESSION: session_id} | (
        {FORK_IMAGE: fork_image} if fork_image else {}
    )
    try:
        container = await create_container(engine, provider, image, workspace, labels, egress)
    except BaseException:
        if egress:
            egress.proxy.stop()
        raise
    new = DockerSandbox(engine, provider, container, sandbox_id, image, base)
    new.fork_image, new.egress = fork_image, egress
    await _filled(new, new.let_out)
    return new


async def _reopen_egress(
    engine: Engine, sandbox: DockerSandbox, provider: Docker, port: str, progress: Progress
) -> None:
    """Listen where the container was told that the way out is."""
    if provider.allow is None or not port:
        return
    try:
        sandbox.egress = await open_egress(engine, provider.allow, progress, port=int(port))
    except EngineUnavailable:
        raise
    except SandboxError as error:
        # Another process has the sandbox open, too, or took the port meanwhile.
        progress(f"the sandbox's network is not ours: {error}")
        return
    await sandbox.let_out()


async def _filled(new: DockerSandbox, fill: Callable[[], Awaitable[None]]) -> None:
    """Fill the workspace; nothing of the container stays when that fails."""
    try:
        await fill()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await new.close()
        raise


class DockerSandbox(EngineSandbox):
    """One container that is ours."""

    def __init__(
        self,
        engine: Engine,
        provider: Docker,
        container: str,
        sandbox_id: str,
        image: str,
        base: str = "",
        *,
        reopened: bool = False,
    ) -> None:
        # It wakes PID1, should that be unable to start anything.
        super().__init__(
            engine,
            container,
            sandbox_id,
            WORKDIR,
            kind=provider.shell,
            greeting="trap 'kill -USR1 1' EXIT; _own=own",
            reopened=reopened,
        )
        self._provider = provider
        self._image = image
        self._base = base or sandbox_id
        self.fork_image = ""
        """The image that was made for this sandbox alone, and goes with it."""
        self.egress: Egress | None = None
        self._told = False
        self._mounted: MountedFiles | None = None
        self._mounted_sought = False
        self._disk = DiskWatch(engine, container, in_bytes(provider.disk), provider.host_workspace)
        self._full = ""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            isolated=True,
            network_policy=True,
            memory_limit=True,
            pty=True,
            jobs=True,
            snapshot=True,
            fork=True,
            reopen=True,
        )

    @property
    def host_workspace(self) -> Path | None:
        return self._provider.host_workspace

    @property
    def ref(self) -> Mapping[str, str]:
        return {
            "kind": "docker",
            "container": self._container,
            "id": self._id,
            "image": self._image,
            "workspace": self._provider.workspace_mode,
            "base": self._base,
            "fork": self.fork_image,
            "proxy": str(self.egress.proxy.port) if self.egress else "",
        }

    @property
    def description(self) -> str:
        p = self._provider
        return (
            f"docker {self._container[:12]} · {self._image} · {p.memory} memory · {p.pids} pids"
            f" · network {p.network} · workspace {p.workspace_mode}"
        )

    async def read_file(self, path: str, *, max_bytes: int = 16 << 20) -> bytes:
        self._check_open()
        if mounted := await self._near():
            full = self._files.absolute(path)
            data = await anyio.to_thread.run_sync(mounted.read, full, max_bytes)
            if data is not None:
                return data
        return await super().read_file(path, max_bytes=max_bytes)

    async def write_file(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        self._check_open()
        if mounted := await self._near():
            full = self._files.absolute(path)
            # The thread is waited for: a cancelled write has happened, or it has not.
            if await anyio.to_thread.run_sync(mounted.write, full, data, mode):
                return
        await super().write_file(path, data, mode=mode)

    async def _near(self) -> MountedFiles | None:
        """The way to the workspace past the container, where there is one and it is alive."""
        folder = self.host_workspace
        if folder is None or self._provider.user is not None:
            return None
        if not self._mounted_sought:
            largest = in_bytes(self._provider.disk)
            self._mounted = await find_mounted(self._control, folder, WORKDIR, largest)
            self._mounted_sought = True
        return self._mounted if self._control.alive() else None

    async def examine(self) -> Ended | None:
        full = await self._disk.look()
        if not full:
            return None
        self._full = full
        return "disk"

    def notices(self) -> list[str]:
        full, self._full = self._full, ""
        told = [f"the sandbox's disk is full: {full}; remove files"] if full else []
        return told + self._refusals()

    def _refusals(self) -> list[str]:
        if self.egress is None:
            return []
        proxy = self.egress.proxy
        refused = [str(refusal) for refusal in proxy.take_refusals()]
        if refused and not self._told:
            self._told = True
            refused.append(proxy.how_to_allow)
        return refused

    async def let_out(self) -> None:
        """Tell the proxy whom it serves: the address that the container got when it started."""
        if self.egress is None:
            return
        facts = await self._engine.call(
            lambda: self._engine.api.inspect_container(self._container), container=self._container
        )
        networks: dict[str, dict[str, str]] = facts["NetworkSettings"]["Networks"]
        self.egress.proxy.client = networks[NETWORK]["IPAddress"]

    async def warm_up(self) -> None:
        """Attach the shells that the first commands will need."""
        await (await self.shell()).run(":")
        await self.exec(":")

    def alive(self) -> bool:
        """Whether the connection to the container is as it was left."""
        return self._control.alive()

    async def rename(self, session_id: str) -> None:
        """Let the container's name tell the session: its label was made before it was known."""
        name = re.sub(r"[^a-zA-Z0-9_.-]", "-", f"agentkit-{session_id[:60]}-{self._id}")
        with suppress(SandboxError):
            await self._engine.call(
                lambda: self._engine.api.rename(self._container, name), container=self._container
            )

    async def fill_from(self, workspace: str | os.PathLike[str]) -> None:
        """Fill the copy from a folder of this machine."""
        await self.fill(await anyio.to_thread.run_sync(checked_workspace, workspace))

    async def fill(self, workspace: Path) -> None:
        """Fill the copy: see ``CopiedWorkspace``."""
        _, ids = await self._control.request("id -u; id -g")
        uid, gid = (int(number) for number in ids.split())
        await self._copy().upload(workspace, uid, gid)

    async def snapshot(self) -> Mapping[str, str]:
        image = await commit(self._engine, self._container, "snapshot", "")
        found = {"kind": "docker-snapshot", "image": image}
        return found | ({"base": self._base} if self._provider.workspace_mode == "copy" else {})

    async def fork(self, session_id: str) -> DockerSandbox:
        image = await commit(self._engine, self._container, "fork", session_id)
        provider = replace(self._provider, image=image, workspace_mode="copy")
        try:
            engine = await connect(provider.host)
            async with _engine_of(engine):
                new = await _start(
                    engine, provider, image, session_id, workspace=Path(), fork_image=image
                )
                await _filled(new, lambda: new._copy().take(self._copy()))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await forget(self._engine, image)
            raise
        return new

    async def trees(self) -> tuple[Tree, Tree]:
        self._require_copy()
        return await self._copy().trees()

    async def entries(self, paths: Collection[str]) -> Tree:
        return await self._copy().entries(paths)

    async def apply(self, workspace: str | os.PathLike[str] | None = None) -> list[str]:
        """Bring the copy's changes to the folder it was made from; the changed paths.

        Raises:
            WorkspaceError: a file was changed there too; nothing was written.
        """
        target = checked_workspace(workspace or self._provider.workspace)
        old, new = await self.trees()
        return await anyio.to_thread.run_sync(merge_into_folder, target, old, new)

    def _copy(self) -> CopiedWorkspace:
        return CopiedWorkspace(
            self._engine, self._container, self._base, volumes=self._provider.read_only
        )

    def _require_copy(self) -> None:
        if self._provider.workspace_mode != "copy":
            raise UsageError("the workspace is mounted: its changes are in the folder already")

    async def revive(self) -> bool:
        """Start the container again if it has stopped (its files are kept)."""
        # Not when it was stopped by us: a call under way would start what is being removed.
        self._check_open()
        # Whoever started it last, it was mounted anew: perhaps another folder by the same name.
        self._mounted, self._mounted_sought = None, False
        state = await self._engine.state(self._container)
        if state["Running"]:
            return False
        if state["Dead"] or state["Status"] == "removing":
            raise SandboxGone(
                f"the container {self._container[:12]} was removed",
                hint="A new sandbox starts with the workspace as it is; its processes are gone",
            )
        await self._engine.call(
            lambda: self._engine.api.start(self._container), container=self._container
        )
        await self._control.aclose()
        await self.let_out()
        return True

    async def _drop_streams(self) -> None:
        self._mounted, self._mounted_sought = None, True
        await super()._drop_streams()

    async def _dispose(self) -> None:
        await self._drop_streams()
        try:
            with anyio.move_on_after(_REMOVE_WAIT, shield=True):
                await remove(self._engine, self._container, self.fork_image)
        except SandboxError:
            # The engine is gone; the lease ends the container, the next sweep removes it.
            pass
        if self.egress is not None:
            await anyio.to_thread.run_sync(self.egress.proxy.stop)
        await self._engine.close()
