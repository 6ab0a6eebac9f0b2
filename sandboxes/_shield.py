"""Work that a cancellation must not tear in the middle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ["shielded"]

T = TypeVar("T")


async def shielded(work: Callable[[], Awaitable[T]]) -> T:
    """Wait for the work to its end; a cancellation is felt after it."""
    done: list[T] = []
    with anyio.CancelScope(shield=True):
        done.append(await work())
    return done[0]
