"""An MCP server whose tool gives back the trace that its call came with."""

from __future__ import annotations

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("traced")


@server.tool()
def whose(context: Context[Any]) -> str:
    """Give the call's traceparent."""
    meta: Any = context.request_context.meta
    return str(meta["traceparent"] if meta else "none")


if __name__ == "__main__":
    server.run("stdio")
