"""Make a hardened container: every flag here is tested by what it prevents."""

from __future__ import annotations

import math
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from agentkit.errors import EngineUnavailable, ImageError, SandboxError, WorkspaceError
from agentkit.sandbox import Progress
from agentkit.sandboxes._channel import ChannelClosed
from agentkit.sandboxes._copied import BASES, WORKSPACE
from agentkit.sandboxes._disk import in_bytes
from agentkit.sandboxes._egress import NETWORK, NOWHERE, Egress, proxy_environment
from agentkit.sandboxes._engine import Engine
from agentkit.sandboxes._environment import QUIET
from agentkit.sandboxes._owner import OWNER, owner_now, remove
from agentkit.sandboxes._scripts import PID1
from agentkit.sandboxes._seccomp import security_options
from agentkit.sandboxes._shield import shielded
from agentkit.sandboxes._snapshots import KIND

if TYPE_CHECKING:
    from agentkit.sandboxes.docker import Docker

__all__ = ["create_container", "first_process", "network_options", "resolve_image"]

# apt changes to a user of its own, dpkg sets owners and modes. Who may become another user must be
# able to end what that user runs: signals do not leave the container.
_INSTALL = ["SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL"]
_FILES = 16384
_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""How images name the processors that Python names otherwise."""


async def resolve_image(engine: Engine, image: str | None, progress: Progress) -> str:
    """Return an image that the engine has: built or pulled now if need be.

    Raises:
        ImageError: it can be neither found nor had.
    """
    if image is None or image.startswith("agentkit-"):
        from agentkit.sandboxes.images import BASE_NAME, NAMES, ensure_image

        own = image or BASE_NAME
        if own in NAMES:
            return await engine.call(lambda: ensure_image(engine.client, own, progress=progress))

    assert image is not None

    def have() -> str:
        from docker.errors import APIError, ImageNotFound

        try:
            engine.api.inspect_image(image)
            return image
        except ImageNotFound:
            progress(f"pulling the image {image}")
        try:
            for _ in engine.api.pull(image, stream=True, decode=True):
                pass
            engine.api.inspect_image(image)
        except (APIError, OSError) as error:
            raise ImageError(
                f"the image {image} is not on this machine and cannot be pulled",
                tried=f"docker pull {image}: {getattr(error, 'explanation', error)}",
                hint="Check the name, load or build the image, or leave --image out",
            ) from error
        return image

    return await engine.call(have)


async def create_container(
    engine: Engine,
    provider: Docker,
    image: str,
    workspace: Path,
    labels: dict[str, str],
    egress: Egress | None = None,
) -> str:
    """Create and start the container; nothing of it stays when that fails."""
    user = provider.user
    if user is None and provider.workspace_mode == "mount":
        user = await _mount_user(engine, workspace)
    security = security_options(engine)
    facts = await engine.call(lambda: engine.api.inspect_image(image))
    config = _config(provider, workspace, user or "", security)
    outward = egress.environment if egress else {}
    config["environment"] = _environment(facts, provider, user or "") | outward
    config["labels"] = labels | {OWNER: owner_now()}

    def create() -> str:
        host = engine.api.create_host_config(**config.pop("host"))
        made = engine.api.create_container(image, host_config=host, **config)
        return str(made["Id"])

    async def create_and_start() -> str:
        container = await engine.call(create)
        try:
            await engine.call(lambda: engine.api.start(container), container=container)
            if facts.get("Architecture") != _PROCESSORS.get(platform.machine()):
                await _prove(engine, container)
        except SandboxError as error:
            await remove(engine, container)
            raise _start_error(error, image) from error
        return container

    return await shielded(create_and_start)


async def _prove(engine: Engine, container: str) -> None:
    """Run a program: a start succeeds also where the kernel cannot run the image's programs.

    Where it can by emulation, or where the engine is on another machine, all is well.
    """
    try:
        channel, number = await engine.exec(container, ["/bin/sh", "-c", ":"])
        with suppress(ChannelClosed):
            while True:
                await channel.receive()
        await channel.aclose()
        facts = await engine.call(lambda: engine.api.exec_inspect(number), container=container)
    except EngineUnavailable:
        raise
    except SandboxError as error:
        raise SandboxError("exec format error", tried=str(error)) from error
    if facts["ExitCode"]:
        raise SandboxError("exec format error", tried=f"/bin/sh ended with {facts['ExitCode']}")


def _config(provider: Docker, workspace: Path, user: str, security: list[str]) -> dict[str, Any]:
    from docker.types import LogConfig, Ulimit

    return {
        "entrypoint": first_process(provider.lease),
        "user": user,
        "stop_signal": "SIGPWR",
        "host": {
            "mounts": _mounts(provider, workspace),
            "tmpfs": {path: f"size={size}" for path, size in _tmpfs(provider).items()},
            "cap_drop": ["ALL"],
            "cap_add": _INSTALL if provider.profile == "install" else [],
            "security_opt": security,
            "read_only": provider.read_only,
            **network_options(provider.network),
            "mem_limit": provider.memory,
            "memswap_limit": provider.memory,
            "pids_limit": provider.pids,
            "oom_score_adj": 500,
            "ulimits": [
                Ulimit(name="core", soft=0, hard=0),
                Ulimit(name="nofile", soft=_FILES, hard=_FILES),
                Ulimit(name="fsize", soft=in_bytes(provider.disk), hard=in_bytes(provider.disk)),
            ],
            # The runtime reads its streams itself; a log would only fill the disk.
            "log_config": LogConfig(type="none"),
        },
    }


def first_process(lease: float) -> list[str]:
    """The command of process 1: it ends ``lease`` seconds after its owner, or a quarter later.

    Whole seconds, as not every ``sleep`` knows others.
    """
    tick = max(1, math.ceil(lease / 4))
    looks = math.ceil(lease / tick) + 1
    return ["/bin/sh", "-c", PID1, "agentkit", str(tick), str(looks), "0"]


def _mounts(provider: Docker, workspace: Path) -> list[Any]:
    from docker.types import Mount

    if provider.workspace_mode == "mount":
        return [Mount("/workspace", str(workspace), type="bind")]
    if not provider.read_only:
        return []
    # A copy must lie where it can be written: in volumes that are removed with the container.
    return [Mount(path, None, type="volume") for path in (WORKSPACE, BASES)]


def _tmpfs(provider: Docker) -> dict[str, str]:
    scratch = {"/tmp": "1g", "/var/tmp": "1g"} if provider.read_only else {}
    return scratch | dict(provider.tmpfs)


def network_options(policy: str) -> dict[str, Any]:
    """How the engine is told of a network policy; an allow-list goes through its proxy alone."""
    if policy in ("none", "open"):
        return {"network_mode": "bridge" if policy == "open" else "none"}
    # The engine's own resolver leaves questions without an answer: do not wait for it long.
    quick = ["timeout:1", "attempts:1"]
    return {"network_mode": NETWORK, "dns": [NOWHERE], "dns_search": ["."], "dns_opt": quick}


async def _mount_user(engine: Engine, workspace: Path) -> str:
    """Whose files a mounted workspace gets: its owner's.

    A root caller (sudo, CI) works on folders of other users; root without capabilities could not
    even write there. A rootless engine maps the container's root to the caller already.
    """
    facts = await anyio.to_thread.run_sync(workspace.stat)
    if os.getuid() != 0:
        info = await engine.call(engine.api.info)
        options: list[object] = info.get("SecurityOptions") or []
        if any("rootless" in str(option) for option in options):
            return "0:0"
        return f"{os.getuid()}:{os.getgid()}"
    return f"{facts.st_uid}:{facts.st_gid}"


def _environment(facts: dict[str, Any], provider: Docker, user: str) -> dict[str, str]:
    """Quiet variables that the image does not set itself, then the caller's."""
    items: list[str] = facts["Config"].get("Env") or []
    own = {item.partition("=")[0] for item in items}
    if KIND in (facts["Config"].get("Labels") or {}):
        # The way out of the sandbox that it was a snapshot of is not this one's.
        own -= (stale := proxy_environment("").keys() & own)
    else:
        stale = set[str]()
    quiet = QUIET | {
        # Git refuses a mounted repository of another owner.
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    if user and user.partition(":")[0] not in ("0", "root"):
        # A user that the image does not know would have / as its home.
        quiet["HOME"] = "/tmp"
    unset = dict.fromkeys(stale, "")
    added = {name: value for name, value in quiet.items() if name not in own}
    return unset | added | dict(provider.env)


def _start_error(error: SandboxError, image: str) -> SandboxError:
    if isinstance(error, EngineUnavailable):
        return error
    text = " ".join([error.what, error.tried])
    if "no such file or directory" in text or isinstance(error, ImageError):
        return ImageError(
            f"the image {image} has no /bin/sh",
            tried=text,
            hint="Name an image with a shell; nothing else is needed in it",
        )
    if "exec format error" in text:
        return ImageError(
            f"the image {image} is for another processor",
            tried=text,
            hint=f"Pull it for {_PROCESSORS.get(platform.machine(), platform.machine())}",
        )
    if "bind source path" in text:
        return WorkspaceError(
            "the engine cannot see the workspace: it runs on another machine, or sees other files",
            tried=text,
            hint="Use --workspace-mode copy",
        )
    return error
