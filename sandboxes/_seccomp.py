"""Which system calls a container may make."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from agentkit.sandboxes._engine import Engine

__all__ = ["security_options"]

_BLOCKS_IO_URING = (1, 44)
"""The API of Docker 25.0 (2024-01), from which on the engine's own profile denies io_uring."""


def security_options(engine: Engine) -> list[str]:
    """No new privileges, and the engine's own profile of system calls.

    Where that still lets io_uring through, whose holes have led out of containers, ours instead:
    see scripts/seccomp. Podman names the API 1.41, has a profile of its own, and takes files only.
    """
    options = ["no-new-privileges"]
    version = tuple(int(part) for part in engine.api.api_version.split("."))
    if version >= _BLOCKS_IO_URING:
        return options
    if "Podman" in str(engine.facts.get("Components")):
        return options
    return [*options, f"seccomp={_profile()}"]


@cache
def _profile() -> str:
    return (Path(__file__).parent / "seccomp.json").read_text(encoding="utf-8")
