"""The MCP servers that an editor wants a session to have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from acp import RequestError
from acp.schema import HttpMcpServer, McpServerStdio

from agentkit.acp.problems import INVALID_PARAMS
from agentkit.mcp import MCPServer


def servers_of(wanted: Sequence[Any] | None) -> list[MCPServer]:
    """The editor's servers as ours. One that cannot be reached is left out, and the model told.

    Raises:
        RequestError: a kind that is not offered (``initialize`` says which are).
    """
    found: dict[str, MCPServer] = {}
    for each in wanted or ():
        name = _free(each.name, found)
        match each:
            case McpServerStdio():
                env = {pair.name: pair.value for pair in each.env}
                made = MCPServer(
                    name, command=each.command, args=each.args, env=env, required=False
                )
            case HttpMcpServer():
                headers = {pair.name: pair.value for pair in each.headers}
                made = MCPServer(name, url=each.url, headers=headers, required=False)
            case _:
                words = (
                    f"MCP over {each.type} is not offered: give {each.name!r} over stdio or http"
                )
                raise RequestError(INVALID_PARAMS, words, None)
        found[name] = made
    return list(found.values())


def _free(name: str, taken: dict[str, MCPServer]) -> str:
    """A name that tools can have in front of theirs; editors' names are for people."""
    clean = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")[:28] or "server"
    return clean if clean not in taken else f"{clean}-{len(taken) + 1}"
