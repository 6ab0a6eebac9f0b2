"""MCP: servers' tools for agents, and agents as a server (extra ``mcp``).

agent = Agent("fixer", mcp=[MCPServer("time", command="mcp-server-time")])
await agentkit.mcp.offer(agent)          # over standard input and output

The SDK is imported when a server is first talked to.
"""

from __future__ import annotations

from agentkit.mcp.config import MCPServer

__all__ = ["MCPServer"]
