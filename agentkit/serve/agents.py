"""Which agent works on a session."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from agentkit.agent import Agent
from agentkit.approvals import wait_for_session
from agentkit.errors import SessionError
from agentkit.events import SessionStarted
from agentkit.stores import Store

KEY = "serve"
"""Where ``session.started.settings`` keeps what the service must know of a session."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A session that is about to be worked on; an agent factory decides by it.

    The same for the first message and after a restart, so the same agent comes out of it.
    """

    session_id: str
    tenant: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the caller said when the session was made. Any client may say anything here."""
    started: SessionStarted | None = None
    """The session's first event; None where it is new."""


Factory = Callable[[Opening], Agent | Awaitable[Agent]]


def tenant_of(started: SessionStarted) -> str:
    """Whose session it is; "" where the service did not begin it."""
    return str(_kept(started).get("tenant", ""))


def metadata_of(started: SessionStarted) -> dict[str, Any]:
    """What its maker said."""
    return dict(_kept(started).get("metadata", {}))


def _kept(started: SessionStarted) -> dict[str, Any]:
    """What the service wrote into the settings; other programs may have put anything there."""
    kept = started.settings.get(KEY)
    return cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}


async def agent_for(source: Agent | Factory, opening: Opening, store: Store) -> Agent:
    """The agent, with the service's store, notes and answers to questions.

    Raises:
        SessionError: the session belongs to another agent.
    """
    if isinstance(source, Agent):
        agent = _same(source, opening.started)
    else:
        made = source(opening)
        agent = await made if inspect.isawaitable(made) else made
    note = {"tenant": opening.tenant, "metadata": dict(opening.metadata)}
    hooks = agent.hooks
    if hooks.approve is None:
        hooks = replace(hooks, approve=wait_for_session)
    return replace(agent, store=store, hooks=hooks, settings={**agent.settings, KEY: note})


def _same(agent: Agent, started: SessionStarted | None) -> Agent:
    """The one agent of the service, in the workspace of that session: a fork has its own."""
    if started is None:
        return agent
    if started.agent != agent.name:
        raise SessionError(f"this session belongs to the agent {started.agent!r}")
    sandbox: Any = agent.sandbox
    own = str(getattr(sandbox, "workspace", "") or "")
    if not started.workspace or own == started.workspace or not own:
        return agent
    return replace(agent, sandbox=replace(sandbox, workspace=started.workspace))
