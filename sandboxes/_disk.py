"""How much a sandbox has written, and where that ends."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from agentkit.errors import SandboxGone, UsageError
from agentkit.sandboxes._engine import Engine

__all__ = ["INTERVAL", "DiskWatch", "in_bytes"]

INTERVAL = 2.0
"""Seconds between two looks while commands run."""
_RESERVE = 512 << 20
"""Bytes of this machine's disk that a sandbox leaves free under a mounted workspace."""
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def in_bytes(text: str) -> int:
    """Read a size such as ``512m`` or ``10g``.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", text.strip().lower())
    if match is None:
        raise UsageError(f"{text!r} is no size", hint="Write for instance 512m or 10g")
    return int(float(match[1]) * _UNITS[match[2]])


class DiskWatch:
    """Looks at the container's own layer, and at the space left for a mounted workspace.

    ext4 and overlay2 know no quota per container; a single file ends at the limit at once (the
    kernel's file size limit), many files at the next look.
    """

    def __init__(self, engine: Engine, container: str, limit: int, workspace: Path | None) -> None:
        self._engine = engine
        self._container = container
        self._limit = limit
        self._workspace = workspace
        self._looked = 0.0
        self._problem = ""

    async def look(self) -> str:
        """What is wrong, or ""; where all was well, it looks again after ``INTERVAL``."""
        if self._problem or time.monotonic() - self._looked >= INTERVAL:
            self._looked = time.monotonic()
            try:
                self._problem = await self._engine.call(self._examine, container=self._container)
            except SandboxGone:
                self._problem = ""
        return self._problem

    def _examine(self) -> str:
        api = self._engine.api
        url = api._url("/containers/{0}/json", self._container)
        facts = api._result(api._get(url, params={"size": 1}), json=True)
        used = int(facts.get("SizeRw") or 0)
        if used > self._limit:
            return f"it has written {_shown(used)}, and its limit is {_shown(self._limit)}"
        if self._workspace is not None:
            state = os.statvfs(self._workspace)
            free = state.f_bavail * state.f_frsize
            if free < _RESERVE:
                return f"only {_shown(free)} are left on the disk of the workspace"
        return ""


def _shown(size: int) -> str:
    return f"{size / (1 << 30):.1f} GB" if size >= 1 << 30 else f"{size >> 20} MB"
