"""What the loop works on: one session's log, state, tools, sandbox and limits, held together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from agentkit.errors import SandboxGone, ToolError
from agentkit.events import Event, Fact, LimitNear, Message, PlanUpdated, SandboxOpened
from agentkit.hooks import Approval, Hooks
from agentkit.limits import Budget
from agentkit.log import EventLog
from agentkit.sandbox import Progress, Sandbox, SandboxProvider
from agentkit.state import State
from agentkit.tool import Tool

if TYPE_CHECKING:
    from agentkit.history import Lane
    from agentkit.models.catalogue import Catalogue
    from agentkit.models.endpoint import Endpoint
    from agentkit.models.retry import RetryPolicy

E = TypeVar("E", bound=Event)
Briefing = Callable[[Sandbox], Awaitable[str]]
"""Tells the model at the start what its surroundings are."""


@dataclass(slots=True)
class Run:
    """The parts of a live session. The loop, the requests and the dispatcher share it."""

    log: EventLog
    state: State
    budget: Budget
    tools: Mapping[str, Tool]
    hooks: Hooks
    approval: Approval
    endpoint: Endpoint
    catalogue: Catalogue
    retry: RetryPolicy
    provider: SandboxProvider | None = None
    watched: bool = False
    """Somebody looks at answers while they are written, so requests are streamed."""
    progress: Progress | None = None
    lane_name: str = "main"
    tool_state: dict[str, Any] = field(default_factory=dict[str, Any])
    checks: tuple[str, ...] = ()
    """Commands that must exit 0 before this run may finish."""
    parse_output: Callable[[str], Any] | None = None
    """Reads the structured result out of a plain answer; raises ``ToolError``."""
    steering: list[str] = field(default_factory=list[str])
    """Words of the user that wait for the next request."""
    notes: list[str] = field(default_factory=list[str])
    """Our own words that wait for the next request: results of calls must come first."""
    _sandbox: Sandbox | None = None
    _opening: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def lane(self) -> Lane:
        return self.state.lane(self.lane_name)

    def append(self, event: E) -> E:
        """Log an event on the current lane and take it into the state."""
        logged = self.log.append(replace(event, lane=self.lane_name))
        self.state.apply(logged)
        return logged

    def note(self, text: str) -> None:
        """Append a user-role text of our own."""
        self.append(Message(text=text, source="agentkit"))

    def hook_note(self, text: str) -> None:
        """Append a user-role text of the caller's hook."""
        self.append(Message(text=text, source="hook"))

    def limit_near(self, limit: str, used: float, allowed: float) -> None:
        """Tell watchers and the model that a limit comes near; said once per limit."""
        self.append(LimitNear(limit=limit, used=used, allowed=allowed))
        self.notes.append(
            f"[{used:.4g} of {allowed:.4g} of the {limit} limit are used."
            " Bring the best verified state home and finish in time.]"
        )

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        self.append(Fact(kind=kind, data=dict(data)))

    def update_plan(self, steps: list[Mapping[str, Any]]) -> None:
        self.append(PlanUpdated(steps=tuple(dict(step) for step in steps)))

    async def sandbox(self) -> Sandbox:
        """The session's sandbox: the living one of an earlier process, or a new one."""
        if self.provider is None:
            raise ToolError("this agent has no sandbox, so this tool cannot work here")
        async with self._opening:
            if self._sandbox is None:
                self._sandbox = await self._open(self.provider)
            return self._sandbox

    async def _open(self, provider: SandboxProvider) -> Sandbox:
        last = self.state.sandbox
        sandbox: Sandbox | None = None
        if last is not None and last.ref:
            try:
                sandbox = await provider.reopen(last.ref, progress=self.progress)
            except SandboxGone:
                sandbox = None
        reopened = sandbox is not None
        if sandbox is None:
            sandbox = await provider.open(self.log.session_id, progress=self.progress)
        self.append(
            SandboxOpened(description=sandbox.description, ref=dict(sandbox.ref), reopened=reopened)
        )
        if last is not None and not reopened:
            self.notes.append(
                "[The sandbox was replaced by a new one: files of the workspace are as they were;"
                " everything else in it (shell state, processes, other files) is gone.]"
            )
        await self.log.commit()
        return sandbox

    async def close_sandbox(self) -> None:
        """Remove the sandbox, if one was opened."""
        if self._sandbox is not None:
            sandbox, self._sandbox = self._sandbox, None
            with anyio.CancelScope(shield=True):
                await sandbox.close()
