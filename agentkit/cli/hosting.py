"""What ``serve``, ``acp`` and ``mcp`` share: sessions are run for somebody else, until a signal."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from agentkit.cli.options import Options
from agentkit.errors import SessionError

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.cli.settings import Settings
    from agentkit.events import SessionStarted
    from agentkit.stores import Store

LogLevel = Annotated[
    str,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        help="debug, info, warning or error. [default: AGENTKIT_LOG, else info]",
        show_default=False,
    ),
]


def settings_for(given: Options, started: SessionStarted | None) -> Settings:
    """A new session's settings by the options, another's as it began: only its endpoint may differ.

    Raises:
        SessionError: it was begun by another program, or works on a copy of its folder.
        UsageError: what the options or the project's file say cannot be used.
    """
    from agentkit.cli.settings import settle

    if started is None:
        settings = settle(given)
    elif "preset" in started.settings:
        endpoint = Options(base_url=given.base_url, api_key_env=given.api_key_env)
        settings = settle(endpoint, started.settings)
    else:
        raise SessionError("this session was not begun by the `agentkit` command")
    if settings.workspace_mode == "copy":
        raise SessionError(
            "this session works on a copy of its folder", hint="Go on with `agentkit resume`"
        )
    return settings


def agent_for(
    settings: Settings, store: Store, session_id: str, progress: Callable[[str], None]
) -> Agent:
    """The session's agent.

    Args:
        progress: told what slow preparations (an image to build) are doing.
    """
    from agentkit.cli.build import make_agent
    from agentkit.cli.run import ground_of
    from agentkit.hooks import Hooks

    ground = ground_of(settings, store, session_id, apply=False)
    return make_agent(settings, ground, store, hooks=Hooks(), progress=progress)


@asynccontextmanager
async def until_a_signal() -> AsyncGenerator[None]:
    """Cancel what runs inside at SIGINT or SIGTERM, so that it stops tidily."""
    import anyio

    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        yield
        tasks.cancel_scope.cancel()
