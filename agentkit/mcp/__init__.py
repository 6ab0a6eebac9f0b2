"""MCP: servers' tools for agents, and agents as a server (extra ``mcp``).

agent = Agent("fixer", mcp=[MCPServer("time", command="mcp-server-time")])
await agentkit.mcp.offer(agent)          # the agent itself, over standard input and output

The SDK is imported when a server is first talked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentkit.mcp.config import MCPServer

if TYPE_CHECKING:
    from agentkit.mcp.server import Offer, Opening, offer

__all__ = ["MCPServer", "Offer", "Opening", "offer"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agentkit.mcp.connection import require_sdk

    require_sdk()
    from agentkit.mcp import server

    return getattr(server, name)
