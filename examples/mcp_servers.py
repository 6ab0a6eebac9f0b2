"""Tools of MCP servers, here the official `mcp-server-time`, which pip has installed."""

from __future__ import annotations

import sys
from pathlib import Path

from _model import call, model

from agentkit import Agent
from agentkit.mcp import MCPServer

clock = MCPServer(
    "time",
    command=str(Path(sys.executable).parent / "mcp-server-time"),
    read_only=True,  # that its tools change nothing is our word, not the server's
)
host = Agent("host", instructions="You plan calls between two cities.", mcp=[clock])

SCRIPT = [
    call(
        "time__convert_time",
        source_timezone="Europe/Lisbon",
        time="15:00",
        target_timezone="Asia/Tokyo",
    ),
    "When it is 15:00 in Lisbon it is midnight in Tokyo, or 23:00 in summer.",
]

if __name__ == "__main__":
    with model(SCRIPT):
        result = host.run_sync("Can I call Tokyo at three in the afternoon, from Lisbon?")
    print(result.output)
    print(f"[{result.status}, {result.turns} turns, ${result.cost_usd:.5f}]")
