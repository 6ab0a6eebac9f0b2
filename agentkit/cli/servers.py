"""Which MCP servers the user asked for, out of the project file or a file of their own."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from agentkit.cli.settings import Settings
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit.mcp import MCPServer

NONE = "none"


def load_servers(settings: Settings) -> tuple[Settings, list[MCPServer]]:
    """The servers, and the settings with what a resume must know of them.

    A project's file came with the project, and a server is a program that it starts on this
    machine, so the user must name each one. What was named then is not started again as something
    else: the agent may have edited the file since.

    Raises:
        UsageError: a project's servers that nobody named, an unknown name, or another server
            than the session began with.
    """
    first = settings.mcp is None and settings.mcp_seen is None
    names = list(settings.mcp or ())
    by_name = any(name != NONE and not name.endswith(".toml") for name in names)
    # Read only where it matters: a session without servers goes on without the project's file.
    there = _servers(settings.project_file) if settings.project_file and (first or by_name) else {}
    if first:
        _require_named(there, settings.project_file)
    found: dict[str, MCPServer] = {}
    for name in names:
        if name.endswith(".toml"):
            found |= _servers(name)
        elif name != NONE and name in there:
            found[name] = there[name]
        elif name != NONE and settings.mcp_seen is None:
            raise UsageError(
                f"there is no MCP server {name!r}",
                tried=f"{settings.project_file or 'no project file was found'}",
                hint=f"Known: {', '.join(sorted(there))}" if there else "Or give a TOML file",
            )
    _require_same(found.values(), settings.mcp_seen)
    seen = {name: each.fingerprint for name, each in found.items()}
    said = tuple(str(Path(each).absolute()) if each.endswith(".toml") else each for each in names)
    return replace(settings, mcp=said, mcp_seen={**seen, **(settings.mcp_seen or {})}), [
        found[name] for name in sorted(found)
    ]


def _require_named(there: Mapping[str, MCPServer], path: str) -> None:
    if there:
        name, first = min(there.items())
        what = "speaks to" if first.url else "starts, on this machine,"
        all_of_them = " ".join(f"--mcp {each}" for each in sorted(there))
        raise UsageError(
            f"{path} {what} the MCP server {name!r}: {first.where}",
            hint=f"If that is what you want, say it yourself: {all_of_them} (or --mcp {NONE})",
        )


def _require_same(servers: Iterable[MCPServer], seen: Mapping[str, str] | None) -> None:
    for each in servers:
        if seen is not None and seen.get(each.name, each.fingerprint) != each.fingerprint:
            raise UsageError(
                f"the MCP server {each.name!r} is not what it was when the session began;"
                f" now it is: {each.where}",
                hint=f"If that is what you want, say it again: --mcp {each.name}",
            )


def _servers(path: str) -> dict[str, MCPServer]:
    """The servers of a file, each beginning in the file's folder."""
    from agentkit.mcp import MCPServer

    file = Path(path).expanduser()
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"{path} does not exist", hint=f"Give a file that does, or --mcp {NONE}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    table: Any = data.get("mcp", {})
    table = cast("dict[str, Any]", table).get("servers", {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise UsageError(f"{path}: mcp.servers must be a table of servers")
    servers: dict[str, MCPServer] = {}
    for name, each in cast("dict[str, Any]", table).items():
        server = MCPServer.from_table(name, each, path)
        if server.command:
            server = replace(server, cwd=str(file.absolute().parent / server.cwd))
        servers[name] = server
    return servers
