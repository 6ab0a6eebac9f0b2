"""A streamable HTTP server made with the SDK, as a process: prints its port, then serves."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("remote")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def slow(context: Context[Any], steps: int) -> str:
    """Report each step."""
    for step in range(steps):
        await context.report_progress(step + 1, steps, f"step {step + 1}")
        await anyio.sleep(0.15)
    return "slow is done"


@server.tool()
def large(megabytes: int) -> str:
    """Say a lot."""
    return "x" * (megabytes << 20)


@server.tool()
def end() -> str:
    """End the process."""
    os._exit(7)


@server.tool()
def who(context: Context[Any]) -> str:
    """The header that the caller sent."""
    headers = context.headers or {}
    return headers.get("authorization", "nobody")


def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1])))
    listener.listen()
    app = server.streamable_http_app(json_response="json" in sys.argv)
    config = uvicorn.Config(app, log_level="error")
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(config).run(sockets=[listener])


main()
