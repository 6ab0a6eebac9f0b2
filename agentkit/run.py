"""What the loop works on: one session's log, state, tools, sandbox and limits, held together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from agentkit.checkpoints.folder import Bounds
from agentkit.checkpoints.keeper import Checkpoints
from agentkit.events import Event, Fact, LaneOpened, LaneRole, LimitNear, Message, PlanUpdated
from agentkit.ground import Endpoints, Ground
from agentkit.history import head_hash
from agentkit.hooks import Call, Hooks, Refuse
from agentkit.ladder import Ladder, Rung
from agentkit.limits import Budget
from agentkit.log import EventLog
from agentkit.sandbox import Sandbox
from agentkit.state import CallKey, State
from agentkit.tool import Claim, Tool

if TYPE_CHECKING:
    from agentkit.approvals.policy import Policy
    from agentkit.facts import Surrounding
    from agentkit.forks import FanOut
    from agentkit.history import Lane
    from agentkit.models.catalogue import Catalogue
    from agentkit.models.endpoint import Endpoint
    from agentkit.models.retry import RetryPolicy

E = TypeVar("E", bound=Event)
Guard = Callable[[Call, tuple[Claim, ...]], Refuse | None]
"""Looks at a call and what it touches."""
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
    approval: Policy
    endpoints: Endpoints
    catalogue: Catalogue
    retry: RetryPolicy
    ground: Ground = field(default_factory=Ground)
    bounds: Bounds = field(default_factory=Bounds)
    """How much checkpoints of the workspace may hold."""
    watched: bool = False
    """Somebody looks at answers while they are written, so requests are streamed."""
    lane_name: str = "main"
    surroundings: Sequence[Surrounding] = ()
    """What is told to the model when it changes."""
    cold: bool = False
    """The caller accepts a cold cache where the history cannot be sent as it was."""
    fan: FanOut | None = None
    """Shared by forks that start together, until this one has asked."""
    tool_state: dict[str, Any] = field(default_factory=dict[str, Any])
    checks: tuple[str, ...] = ()
    """Commands that must exit 0 before this run may finish."""
    parse_output: Callable[[str], Any] | None = None
    """Reads the structured result out of a plain answer; raises ``ToolError``."""
    steering: list[str] = field(default_factory=list[str])
    """Words of the user that wait for the next request."""
    ladder: Ladder = field(default_factory=lambda: Ladder.preset("flash"))
    planner: Rung | None = None
    """Plans larger tasks before the work on them begins."""
    attempts: int = 1
    """Hand-offs that are made side by side, each in a fork of the sandbox."""
    depth: int = 0
    """0 for the session's own work; subagents and attempts do not climb and have none of theirs."""
    guard: Guard | None = None
    """Refuses calls that this lane may not make."""
    wants_room: bool = False
    """The last answer held a truncated call: the next request gets twice the limit."""
    asking: dict[CallKey, anyio.Event] = field(default_factory=dict["CallKey", anyio.Event])
    """Questions that are being waited for here; set when one is answered."""
    notes: list[str] = field(default_factory=list[str])
    """Our own words that wait for the next request: results of calls must come first."""

    @property
    def lane(self) -> Lane:
        return self.state.lane(self.lane_name)

    @property
    def role(self) -> LaneRole:
        """What the present lane is for."""
        return self.state.course.roles.get(self.lane_name, "main")

    @property
    def checkpoints(self) -> Checkpoints:
        """Checkpoints of the workspace that this lane works in."""
        return Checkpoints(self)

    @property
    def endpoint(self) -> Endpoint:
        """Where the lane's rung is asked."""
        return self.endpoints.of(self.lane.rung)

    def append(self, event: E) -> E:
        """Log an event on the current lane and take it into the state."""
        if isinstance(event, LaneOpened):
            event = replace(event, head=head_hash(event))
        logged = self.log.append(event, self.lane_name)
        self.state.apply(logged)
        return logged

    def note(self, text: str) -> None:
        """Append a user-role text of our own."""
        self.append(Message(text=text, source="agentkit"))

    def hook_note(self, text: str) -> None:
        """Append a user-role text of the caller's hook."""
        self.append(Message(text=text, source="hook"))

    def limit_near(self, limit: str, used: float, allowed: float) -> None:
        """Tell watchers and the model that a limit comes near, with the time and money left."""
        self.append(LimitNear(limit=limit, used=used, allowed=allowed))
        left = self.budget.told_left()
        self.notes.append(
            f"[{used:.4g} of {allowed:.4g} of the {limit} limit are used"
            f"{f'; {left} are left' if left else ''}."
            " Bring the best verified state home and finish in time.]"
        )

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        self.append(Fact(kind=kind, data=dict(data)))

    def update_plan(self, steps: list[Mapping[str, Any]]) -> None:
        if self.depth:
            return  # the plan is the session's: a subagent or attempt must not drop its checks
        self.append(PlanUpdated(steps=tuple(dict(step) for step in steps)))

    async def sandbox(self) -> Sandbox:
        """The sandbox that this lane works in, opened at first use."""
        return await self.ground.sandbox(self)

    def on(self, lane: str, **changes: Any) -> Run:
        """The same run as another lane sees it: with its own notes, log and budget shared."""
        return replace(self, lane_name=lane, **{"notes": [], **changes})
