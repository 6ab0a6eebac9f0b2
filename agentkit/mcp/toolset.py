"""The MCP servers of one session: their tools as they were at its beginning, and connections.

The tool list is part of the frozen head, so it is fetched once, when the session begins, and kept
in the log. A session that is resumed has the same tools in the same bytes, whatever its servers
say by then, and connects to one only when it is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from agentkit.errors import ToolError, ToolServerError
from agentkit.mcp.connection import Connection
from agentkit.mcp.listing import Offered, offered
from agentkit.mcp.results import as_tool_result
from agentkit.mcp.schemas import checkable
from agentkit.mcp.search import behind_search, crowded
from agentkit.tool import READS_ALL, WRITES_ALL, Tool, ToolContext, ToolResult, schema_check

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.mcp.config import MCPServer


class Servers:
    """The servers at work for a session. Opened and closed by one task."""

    def __init__(self, servers: Sequence[MCPServer]) -> None:
        self._servers = {each.name: each for each in servers}
        self._connections: dict[str, Connection] = {}
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup | None = None

    async def open(
        self, agent: Agent, kept: Mapping[str, Any] | None
    ) -> tuple[Agent, Mapping[str, Any]]:
        """The agent with the servers' tools, and what the log must keep of them.

        Args:
            kept: what the log has kept; None where the session begins.

        Raises:
            ToolServerError, UsageError: a server that is required cannot be reached.
        """
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._connections = {
            name: Connection(each, self._tasks) for name, each in self._servers.items()
        }
        if kept is None:
            kept = await self._ask()
        tools = [self._tool(Offered(**each)) for each in kept["tools"]]
        direct = [each for each in tools if each.name not in kept["search"]]
        hidden = [each for each in tools if each.name in kept["search"]]
        if hidden:
            direct.append(behind_search(hidden))
        return replace(agent, tools=[*agent.tools, *direct]), kept

    async def aclose(self) -> None:
        """End the servers that were started, and wait for that."""
        for each in self._connections.values():
            await each.aclose()
        await self._stack.aclose()

    async def _ask(self) -> dict[str, Any]:
        """Ask all servers at once for their tools."""
        found: dict[str, list[Offered]] = {}
        notes: list[str] = []
        faults: list[ToolServerError] = []

        async def ask(connection: Connection) -> None:
            server = connection.server
            try:
                tools = await connection.tools()
            except ToolServerError as error:
                if server.required:
                    faults.append(error)
                notes.append(f"{server.name}: {error.what}")
                return
            found[server.name], said = await to_thread.run_sync(offered, server, tools)
            notes.extend(f"{server.name}: {each}" for each in said)

        usage: list[Exception] = []

        async def guarded(connection: Connection) -> None:
            try:
                await ask(connection)
            except Exception as error:  # raised as it is, in no group
                usage.append(error)

        async with anyio.create_task_group() as tasks:
            for connection in self._connections.values():
                tasks.start_soon(guarded, connection)
        for error in [*usage, *faults]:
            raise error
        tools = [each for name in sorted(found) for each in found[name]]
        wishes = {name: each.search for name, each in self._servers.items()}
        behind = await to_thread.run_sync(crowded, tools, wishes)
        return {
            "tools": [{**asdict(each), "parameters": dict(each.parameters)} for each in tools],
            "search": sorted(behind),
            "notes": sorted(notes),
        }

    def _tool(self, of: Offered) -> Tool:
        """A tool that calls the server."""

        async def run(context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
            connection = self._connections.get(of.server)
            if connection is None:
                raise ToolError(f"the MCP server {of.server!r} is no longer set up here")
            server = connection.server
            answer = await connection.call(
                of.theirs,
                arguments,
                progress=context.emit_output,
                meta=server.meta(context) if server.meta is not None else None,
            )
            result = await as_tool_result(answer, context)
            if result.ok:
                return result
            return replace(result, content=result.content + await connection.explain(of.theirs))

        claim = READS_ALL if of.read_only else WRITES_ALL
        return Tool(
            of.name,
            of.description,
            of.parameters,
            run,
            schema_check(checkable(of.parameters)),
            lambda _arguments: (claim,),
            repeatable=of.read_only,
        )
