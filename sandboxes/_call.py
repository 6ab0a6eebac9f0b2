"""One command under way: its limits, its output, and what the shell has reported of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

import anyio

from agentkit.sandbox import DEFAULT_KEEP, FLOOD_LIMIT, Ended, OutputCallback
from agentkit.sandboxes import _requests as requests
from agentkit.sandboxes._channel import STDERR, STDOUT
from agentkit.sandboxes._output import Keeper
from agentkit.sandboxes._records import new_nonce

__all__ = ["Call", "Limits", "clock"]


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop a command, and what to keep of its output."""

    timeout: float | None = 300.0
    idle_timeout: float | None = None
    keep: int = DEFAULT_KEEP
    flood: int = FLOOD_LIMIT
    on_output: OutputCallback | None = None

    def __post_init__(self) -> None:
        for name in ("timeout", "idle_timeout"):
            value = getattr(self, name)
            if value is not None and (math.isnan(value) or value < 0):
                raise ValueError(f"{name} must be 0 or more seconds, or None; got {value}")
        for name in ("keep", "flood"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more bytes; got {getattr(self, name)}")


def clock() -> float:
    """Seconds that go on while this machine is suspended, as process start times do."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(slots=True)
class Call:
    """One command under way."""

    limits: Limits
    nonce: str
    cookie: str
    split: bool = False
    stateful: bool = False
    """Whether it runs in the shell itself, which reports what becomes of its state."""
    report: requests.Report | None = None
    out: Keeper = field(init=False)
    err: Keeper = field(init=False)
    began: float = field(default_factory=clock)
    """When the sandbox may have begun with it: before it was sent."""
    started: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    records: dict[tuple[int, str], bytes] = field(default_factory=dict[tuple[int, str], bytes])
    asks: str = field(default_factory=new_nonce)
    """The record by which the shell asks for the command's input."""
    ready: anyio.Event = field(default_factory=anyio.Event)

    def __post_init__(self) -> None:
        self.out, self.err = Keeper(self.limits.keep), Keeper(self.limits.keep)

    def age(self) -> float:
        return clock() - self.began

    def take(self, stream: int, data: bytes) -> None:
        (self.err if stream == STDERR and self.split else self.out).add(data)
        self.heard = time.monotonic()
        if self.limits.on_output is not None:
            self.limits.on_output(data)

    def ended(self) -> bool:
        """Whether the shell has reported the command's end, all of it."""
        if self.report is None and (payload := self.records.get((STDOUT, self.nonce))):
            self.report = requests.parse_report(payload)
        if self.stateful and self.report is not None and not self.report.changed:
            return True
        return self.told(self.nonce)

    def state(self, before: requests.State) -> requests.State:
        """The shell's state after the command; only once it has ended."""
        if self.report is None or not (cwd := self.report.cwd):
            return before
        if not self.report.changed:
            return before if cwd == before.cwd else replace(before, cwd=cwd)
        return requests.parse_state(self.records[STDERR, self.nonce], cwd)

    def told(self, nonce: str) -> bool:
        """Whether the record of that name came on both streams."""
        return (STDOUT, nonce) in self.records and (STDERR, nonce) in self.records

    def flooded(self) -> bool:
        return self.out.total + self.err.total > self.limits.flood

    def deadline(self) -> tuple[float, Ended]:
        """The moment of the nearest limit, and its name."""
        total = math.inf if self.limits.timeout is None else self.started + self.limits.timeout
        idle = (
            math.inf if self.limits.idle_timeout is None else self.heard + self.limits.idle_timeout
        )
        return (total, "timeout") if total <= idle else (idle, "idle")
