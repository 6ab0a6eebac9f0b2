"""``agentkit mcp``."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

from agentkit.cli.acp import LogLevel
from agentkit.cli.options import Options, takes_options
from agentkit.errors import SessionError

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.mcp import Opening
    from agentkit.stores import Store


@takes_options
def mcp(given: Options, log_level: LogLevel = "") -> None:
    """Offer an agent as an MCP server, over standard input and output.

    A client calls `run_task` with a task, and with a session's id to go on with it. The options
    are those of `run`; the log goes to standard error. `docs/mcp.md` has clients' settings.
    """
    from agentkit.cli.build import open_store, settle_for_sessions
    from agentkit.cli.pipes import protocol_alone
    from agentkit.mcp.connection import require_sdk

    require_sdk()
    settings = settle_for_sessions(given)
    store = open_store(settings.home)
    from agentkit import logs

    reads, writes = protocol_alone()
    logs.configure(level=log_level, tracebacks=False)
    import anyio

    try:
        anyio.run(partial(_serve, given, store, reads, writes))
    finally:
        store.close()


async def _serve(given: Options, store: Store, reads: int, writes: int) -> None:
    """Serve the client until it goes, or a signal comes; then stop tidily."""
    import anyio

    from agentkit.mcp import offer

    async with anyio.create_task_group() as tasks:

        async def stop_at_signals() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(stop_at_signals)
        await offer(partial(_agent, given, store), store=store, source=reads, sink=writes)
        tasks.cancel_scope.cancel()


def _agent(given: Options, store: Store, opening: Opening) -> Agent:
    """A new session's agent by the options given here, another's by its own settings."""
    from agentkit.cli.build import make_agent
    from agentkit.cli.run import ground_of
    from agentkit.cli.settings import settle
    from agentkit.hooks import Hooks

    stored = opening.started.settings if opening.started is not None else None
    if stored is not None and "preset" not in stored:
        raise SessionError("this session was not begun by the `agentkit` command")
    endpoint = Options(base_url=given.base_url, api_key_env=given.api_key_env)
    settings = settle(given if stored is None else endpoint, stored)
    if settings.workspace_mode == "copy":
        raise SessionError("this session works on a copy: go on with `agentkit resume`")
    ground = ground_of(settings, store, opening.session_id, apply=False)
    return make_agent(settings, ground, store, hooks=Hooks(), progress=_progress)


def _progress(words: str) -> None:
    from agentkit import logs

    logs.get("agentkit.mcp").info("preparing", what=words)
