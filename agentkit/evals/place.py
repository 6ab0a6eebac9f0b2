"""A trial's container: made as the task says, filled, looked into, and removed."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio

from agentkit.errors import SandboxError
from agentkit.evals.task import Environment
from agentkit.sandbox import ExecResult
from agentkit.sandboxes import Container
from agentkit.sandboxes._allow import parse_allow
from agentkit.sandboxes._create import network_options
from agentkit.sandboxes._egress import NETWORK, Egress, open_egress
from agentkit.sandboxes._engine import Engine
from agentkit.sandboxes._owner import FINAL, LABEL, OWNER, SESSION, owner_now, remove

LOGS = "/logs"
Say = Callable[[str], None]
_FOLDERS = f"{LOGS}/agent {LOGS}/verifier {LOGS}/artifacts"


class Place:
    """One running container. Agent and tests come and go; their processes stay until the end."""

    def __init__(
        self,
        engine: Engine,
        container: str,
        workdir: str,
        egress: Egress | None = None,
        storage_mb: int | None = None,
    ) -> None:
        self.container = container
        self._disk = f"{storage_mb}m" if storage_mb else None
        self.workdir = workdir
        self._engine = engine
        self._egress = egress

    @classmethod
    async def open(
        cls, engine: Engine, environment: Environment, image: str, name: str, say: Say
    ) -> Place:
        """Start the container; nothing of it stays when that fails.

        Raises:
            SandboxError, UsageError: it cannot be made as the task wants it.
        """
        egress: Egress | None = None
        if environment.network == "allowlist":
            allow = parse_allow(",".join(environment.allowed_hosts))
            egress = await open_egress(engine, allow, say)
        config = _config(environment, name)
        config["environment"] |= egress.environment if egress else {}

        def create() -> tuple[str, str]:
            host = engine.api.create_host_config(**config.pop("host"))
            made = str(engine.api.create_container(image, host_config=host, **config)["Id"])
            workdir = engine.api.inspect_image(image)["Config"].get("WorkingDir") or "/"
            return made, str(workdir)

        try:
            container, workdir = await engine.call(create)
        except BaseException:
            if egress is not None:
                egress.proxy.stop()
            raise
        place = cls(
            engine, container, environment.workdir or workdir, egress, environment.storage_mb
        )
        try:
            await engine.call(lambda: engine.api.start(container), container=container)
            await place.let_out()
            await place.run(f"mkdir -p {_FOLDERS} && chmod 777 {_FOLDERS}", user="0", timeout=60)
            if environment.workspace is not None:
                await place.put(environment.workspace, place.workdir)
                ids = (await place.run("id -u; id -g")).output.data.split()
                owner = b":".join(ids).decode()
                await place.run(f"chown -R {owner} .", user="0")
        except BaseException:
            with anyio.CancelScope(shield=True):
                await place.close()
            raise
        return place

    async def let_out(self) -> None:
        """Tell the proxy whom it serves: the address that the container got when it started."""
        if self._egress is None:
            return
        facts = await self._engine.call(
            lambda: self._engine.api.inspect_container(self.container), container=self.container
        )
        networks: dict[str, dict[str, str]] = facts["NetworkSettings"]["Networks"]
        self._egress.proxy.client = networks[NETWORK]["IPAddress"]

    def provider(self, user: str = "") -> Container:
        """The place as a sandbox, for an agent or for the tests."""
        return Container(name=self.container, workdir=self.workdir, user=user, disk=self._disk)

    async def run(
        self,
        command: str,
        *,
        user: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float = 600.0,
    ) -> ExecResult:
        """Run a command; what it leaves running ends with it.

        Raises:
            SandboxError: the container or the engine is gone.
        """
        sandbox = await self.provider(user).open("")
        try:
            return await sandbox.exec(command, env=env, cwd=cwd or self.workdir, timeout=timeout)
        finally:
            with anyio.CancelScope(shield=True):
                await sandbox.close()

    async def put(self, source: Path, target: str) -> None:
        """Copy a file to a path, or a folder's content into a folder that is made if missing."""
        data = await anyio.to_thread.run_sync(_packed, source, target)
        await self._engine.call(
            lambda: self._engine.api.put_archive(self.container, "/", data),
            container=self.container,
        )

    async def fetch(self, folder: str, target: Path) -> None:
        """Copy a folder's regular files out; links, devices and foreign names are left there."""

        def read() -> bytes:
            stream, _ = self._engine.api.get_archive(self.container, folder)
            buffer = io.BytesIO()
            for chunk in stream:
                buffer.write(chunk)
                if buffer.tell() > _MOST_BYTES:
                    raise SandboxError(f"{folder} holds more than {_MOST_BYTES >> 20} MB")
            return buffer.getvalue()

        data = await self._engine.call(read, container=self.container)
        await anyio.to_thread.run_sync(_unpack, data, target)

    async def close(self) -> None:
        """Remove the container with all that runs in it."""
        if self._egress is not None:
            self._egress.proxy.stop()
        with anyio.CancelScope(shield=True):
            await remove(self._engine, self.container)


_POLICY = {"public": "open", "no-network": "none", "allowlist": "allow"}
_MOST_BYTES = 256 << 20
"""Of one folder of logs: a broken test must not fill this machine's memory."""


def _config(environment: Environment, name: str) -> dict[str, Any]:
    from docker.types import LogConfig

    memory = f"{environment.memory_mb}m" if environment.memory_mb else None
    host: dict[str, Any] = {
        "init": True,
        **network_options(_POLICY[environment.network]),
        "mem_limit": memory,
        "memswap_limit": memory,
        "nano_cpus": int(environment.cpus * 1e9) if environment.cpus else None,
        "ulimits": _file_size(environment.storage_mb),
        "oom_score_adj": 500,
        "log_config": LogConfig(type="none"),
    }
    return {
        "entrypoint": ["/bin/sh", "-c", "sleep infinity"],
        "environment": dict(environment.env),
        "working_dir": environment.workdir or None,
        "labels": {LABEL: name, OWNER: owner_now(), SESSION: name, FINAL: ""},
        "host": {key: value for key, value in host.items() if value is not None},
    }


def _file_size(storage_mb: int | None) -> list[Any] | None:
    """One file ends at the storage limit at once; many files at the next look (``DiskWatch``)."""
    from docker.types import Ulimit

    if storage_mb is None:
        return None
    return [Ulimit(name="fsize", soft=storage_mb << 20, hard=storage_mb << 20)]


def _packed(source: Path, target: str) -> bytes:
    """A tar of the source as it shall lie at the target; owned by root, modes as they are."""
    buffer = io.BytesIO()

    def owned(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        return info

    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(source, arcname=posixpath.relpath(target, "/"), filter=owned)
    return buffer.getvalue()


def _unpack(data: bytes, target: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar.getmembers():
            parts = member.name.split("/")[1:]  # the folder's own name
            content = tar.extractfile(member) if member.isreg() else None
            if content is None or not parts or ".." in parts:
                continue
            path = target.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.read())
