"""Whose a container is, and the removal of what dead owners left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from agentkit.sandboxes._engine import Engine
from agentkit.sandboxes._scripts import CONTROL_ARGUMENTS

__all__ = [
    "FINAL",
    "FORK_IMAGE",
    "LABEL",
    "OWNER",
    "SESSION",
    "in_use",
    "owner_dead",
    "owner_now",
    "prune",
    "remove",
    "sweep",
]

LABEL = "agentkit.sandbox"
OWNER = "agentkit.owner"
SESSION = "agentkit.session"
FINAL = "agentkit.final"
"""On a container that ends with its owner: nobody can reopen it, and it has no lease."""
FORK_IMAGE = "agentkit.fork.image"
"""On a fork's container: the image that was made for it alone, and goes with it."""


def owner_now() -> str:
    """Machine, boot, process namespace, process and its start: names this process for ever."""
    return ":".join(
        (
            _text("/etc/machine-id"),
            _boot(),
            _namespace(),
            str(os.getpid()),
            _start_time(os.getpid()) or "0",
        )
    )


def owner_dead(owner: str) -> bool:
    """Whether that process is certainly gone; False where this process cannot know."""
    try:
        machine, boot, namespace, pid, started = owner.split(":")
    except ValueError:
        return False
    if machine != _text("/etc/machine-id"):
        return False
    if boot != _boot():
        return True
    return namespace == _namespace() and _start_time(int(pid)) != started


async def in_use(engine: Engine, entry: dict[str, Any]) -> bool:
    """Whether a living process has that container, which its label need not name.

    One that was reopened keeps the label of who made it. That its control shell runs says more:
    it ends with the connection of the process that has it open.

    Args:
        entry: as the engine lists containers.
    """
    if not owner_dead(entry["Labels"].get(OWNER, "")):
        return True
    if entry["State"] != "running":
        return False

    def attached() -> bool:
        from docker.errors import NotFound

        try:
            running: list[str] = engine.api.inspect_container(entry["Id"])["ExecIDs"] or []
            return any(_controls(engine.api.exec_inspect(each)) for each in running)
        except NotFound:
            return False  # it ended meanwhile

    return await engine.call(attached)


def _controls(facts: dict[str, Any]) -> bool:
    return facts["Running"] and facts["ProcessConfig"].get("arguments") == CONTROL_ARGUMENTS


async def sweep(engine: Engine) -> int:
    """Remove what dead owners left, unless somebody may still come for it.

    A running sandbox of a crashed process can be reopened until it ends itself, when its lease is
    over. One call to the engine when there is nothing to do.
    """
    removed = 0
    for entry in await _ours(engine):
        if not owner_dead(entry["Labels"].get(OWNER, "")):
            continue
        if entry["State"] == "running" and FINAL not in entry["Labels"]:
            # It looks at once where it could start no process to wait for: see PID1.
            await _quietly(engine, lambda i=entry["Id"]: engine.api.kill(i, "USR1"))
        else:
            await _remove_entry(engine, entry)
            removed += 1
    return removed


async def prune(engine: Engine, *, everything: bool = False, session: str = "") -> list[str]:
    """Remove the containers that no living process has open; all others too if asked.

    This is for users who ask for it. It takes a crashed session's sandbox before the session is
    resumed; what starts by itself does ``sweep``.

    Args:
        session: only those of this session.
    """
    removed: list[str] = []
    for entry in await _ours(engine):
        if session and entry["Labels"].get(SESSION) != session:
            continue
        if everything or not await in_use(engine, entry):
            await _remove_entry(engine, entry)
            removed.append(entry["Id"][:12])
    return removed


async def remove(engine: Engine, container: str, image: str = "") -> None:
    """Remove a container with its anonymous volumes; fine when it is gone already.

    Args:
        image: an image that was made for it alone.
    """
    await _quietly(engine, lambda: engine.api.remove_container(container, v=True, force=True))
    if image:
        await _quietly(engine, lambda: engine.api.remove_image(image))


async def _remove_entry(engine: Engine, entry: dict[str, Any]) -> None:
    await remove(engine, entry["Id"], entry["Labels"].get(FORK_IMAGE, ""))


async def _ours(engine: Engine) -> list[dict[str, Any]]:
    # The low-level call: the high-level one inspects each container in turn.
    return await engine.call(lambda: engine.api.containers(all=True, filters={"label": LABEL}))


async def _quietly(engine: Engine, work: Any) -> None:
    from docker.errors import APIError

    def guarded() -> None:
        try:
            work()
        except APIError:
            # Gone, or being removed by somebody else: what was wanted.
            return

    await engine.call(guarded)


def _boot() -> str:
    return _text("/proc/sys/kernel/random/boot_id")


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    stat = _text(f"/proc/{pid}/stat")
    return stat.rpartition(")")[2].split()[19] if stat else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
