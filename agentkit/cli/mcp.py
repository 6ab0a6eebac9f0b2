"""``agentkit mcp``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agentkit.cli.hosting import LogLevel, agent_for, settings_for, until_a_signal
from agentkit.cli.options import Options, takes_options

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
    from agentkit.mcp import offer

    async with until_a_signal():
        await offer(partial(_agent, given, store), store=store, source=reads, sink=writes)


def _agent(given: Options, store: Store, opening: Opening) -> Agent:
    settings = settings_for(given, opening.started)
    return agent_for(settings, store, opening.session_id, _progress)


def _progress(words: str) -> None:
    from agentkit import logs

    logs.get("agentkit.mcp").info("preparing", what=words)
