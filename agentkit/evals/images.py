"""The image of a task: pulled, built once per content, or our own base image."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import anyio

from agentkit.errors import ImageError
from agentkit.evals.task import Environment, tree_digest
from agentkit.sandboxes._create import resolve_image
from agentkit.sandboxes._engine import Engine

LABEL = "agentkit.task.image"
_LAST_LINES = 12
Say = Callable[[str], None]


class Images:
    """Images for one job; two trials of one task build it once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._locks: dict[str, anyio.Lock] = {}

    async def ensure(self, environment: Environment, say: Say) -> str:
        """The name of an image that the engine has now.

        Raises:
            ImageError: it cannot be pulled or built; the text has the build's last lines.
        """
        context = environment.context
        if context is None:
            return await resolve_image(self._engine, environment.image or None, say)
        digest = await anyio.to_thread.run_sync(tree_digest, context)
        tag = f"agentkit-task:{digest[:16]}"
        async with self._locks.setdefault(tag, anyio.Lock()):
            if not await self._engine.call(lambda: _exists(self._engine, tag)):
                say(f"building {tag}")
                limit = environment.build_timeout
                await self._engine.call(lambda: _build(self._engine, environment, tag, limit, say))
        return tag


def _exists(engine: Engine, tag: str) -> bool:
    from docker.errors import ImageNotFound

    try:
        engine.api.inspect_image(tag)
    except ImageNotFound:
        return False
    return True


def packed(environment: Environment) -> IO[bytes]:
    """The build's context as a tar, without what the agent may not see."""
    from docker.utils import build

    assert environment.context is not None
    tar: Any = build.tar  # its type stubs are at odds with its code
    return tar(str(environment.context), exclude=_excluded(environment.context, environment.unsent))


def _build(engine: Engine, environment: Environment, tag: str, limit: float, say: Say) -> None:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    started = time.monotonic()
    with packed(environment) as archive:
        records: Any = engine.api.build(
            fileobj=archive,
            custom_context=True,
            tag=tag,
            labels={LABEL: tag},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=limit,  # of silence; the whole is watched below
        )
        for record in records:
            if "error" in record:
                raise _failed(tag, str(record["error"]).strip(), last)
            if time.monotonic() - started > limit:
                raise _failed(tag, f"it did not end within {limit:g} s", last)
            for line in str(record.get("stream", "")).splitlines():
                if line.strip():
                    last.append(line.rstrip())
                    if line.startswith("Step "):
                        say(line.strip())


def _excluded(context: Path, unsent: Sequence[str]) -> list[str]:
    path = context / ".dockerignore"
    own = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    lines = [line.strip() for line in own.splitlines()]
    return [*(line for line in lines if line and not line.startswith("#")), *unsent]


def _failed(tag: str, why: str, last: deque[str]) -> ImageError:
    lines = "".join(f"\n  {line}" for line in last)
    return ImageError(
        f"the task's image could not be built: {why}", tried=f"docker build of {tag}:{lines}"
    )
