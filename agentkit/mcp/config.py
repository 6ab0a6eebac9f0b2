"""Which MCP servers an agent has, and how each is reached."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast
from urllib.parse import urlsplit

from agentkit.errors import ToolServerError, UsageError
from agentkit.tool import ToolContext

Meta = Callable[[ToolContext], Mapping[str, Any]]
"""Gives what a call carries as ``_meta``, for instance a trace's context."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|COOKIE", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MCPServer:
    """An MCP server: a program that is started here (``command``), or an address (``url``).

    A command runs on this machine as the user who runs the agent, outside of any sandbox: it is
    trusted like any program that you start yourself. It gets ``PATH``, ``HOME`` and the like of
    our environment, and ``env``; no API key.
    """

    name: str
    """Its tools are called ``name__tool`` by the model."""
    command: str = ""
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """``${NAME}`` and ``${NAME:-default}`` in a value is a variable of our environment."""
    cwd: str = ""
    url: str = ""
    """Streamable HTTP."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """As ``env``, for instance ``{"Authorization": "Bearer ${TOKEN}"}``."""
    tools: Sequence[str] = ()
    """Only these of its tools; empty: all."""
    read_only: bool | Sequence[str] = False
    """Tools (True: all) that change nothing: they need no yes, run side by side, and may run again
    after a crash. What a server says of itself is not taken for it."""
    required: bool = True
    """A session cannot begin without it; else it begins without its tools."""
    timeout: float = 60.0
    """Seconds of silence after which a call is given up; progress is no silence."""
    start_timeout: float = 30.0
    search: bool | None = None
    """Its tools behind ``mcp_tools``, which searches and calls; None: if there are many."""
    meta: Meta | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or "__" in self.name:
            raise UsageError(
                f"{self.name!r} cannot be an MCP server's name",
                hint="Use 1 to 32 letters, digits, '-' and single '_'",
            )
        where = f"MCP server {self.name!r}"
        if bool(self.command) == bool(self.url):
            raise UsageError(f"{where} needs a command or a url", hint="Give one of the two")
        if self.url and (self.args or self.env or self.cwd):
            raise UsageError(f"{where}: args, env and cwd belong to a command, not to a url")
        if self.command and self.headers:
            raise UsageError(f"{where}: headers belong to a url, not to a command")
        parts = urlsplit(self.url)
        if self.url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise UsageError(f"{where}: {self.url!r} is no http or https address")
        if not (self.timeout > 0 and self.start_timeout > 0):
            raise UsageError(f"{where}: timeouts must be more than 0 seconds")

    @classmethod
    def from_table(cls, name: str, table: object, where: str) -> MCPServer:
        """A server as ``agentkit.toml`` has it, in ``[mcp.servers.NAME]``.

        Raises:
            UsageError: an unknown setting, or a value of the wrong kind.
        """
        if not isinstance(table, Mapping):
            raise UsageError(f"{where}: mcp.servers.{name} must be a table")
        given = {
            str(key).replace("-", "_"): each
            for key, each in cast("Mapping[object, object]", table).items()
        }
        known = {each.name for each in fields(cls)} - {"name", "meta"}
        for key, value in given.items():
            if key not in known:
                raise UsageError(
                    f"{where}: unknown setting {key!r} of mcp.servers.{name}",
                    hint=f"Known: {', '.join(sorted(known))}",
                )
            if not _fits(key, value):
                raise UsageError(
                    f"{where}: mcp.servers.{name}.{key} must be {_KINDS[key]}, not {value!r}"
                )
        return cls(name, **cast("dict[str, Any]", given))

    def reads_only(self, tool: str) -> bool:
        """Whether the user says that the server's tool of this name changes nothing."""
        return self.read_only if isinstance(self.read_only, bool) else tool in self.read_only

    @property
    def where(self) -> str:
        """How it is reached, for people: no environment and no header."""
        return self.url or " ".join([self.command, *self.args])

    @property
    def fingerprint(self) -> str:
        """Changes with what would be started or spoken to; holds no secret."""
        what = [self.command, list(self.args), self.cwd, self.url, sorted(self.env)]
        return hashlib.sha256(json.dumps([*what, sorted(self.headers)]).encode()).hexdigest()[:16]

    def expanded(self) -> tuple[dict[str, str], dict[str, str]]:
        """``env`` and ``headers`` with their variables' values.

        Raises:
            ToolServerError: a variable is not set.
        """
        return (
            {key: self._filled(key, value) for key, value in self.env.items()},
            {key: self._filled(key, value) for key, value in self.headers.items()},
        )

    def secrets(self) -> dict[str, str]:
        """Values that must not be in a log, by the names to show for them."""
        found: dict[str, str] = {}
        for key, value in (*self.env.items(), *self.headers.items()):
            if _SECRET.search(key) or "${" in value:
                whole = _VARIABLE.sub(lambda each: os.environ.get(each[1], ""), value)
                found[f"{self.name} {key}"] = whole.removeprefix("Bearer ")
        return found

    def _filled(self, key: str, value: str) -> str:
        def fill(match: re.Match[str]) -> str:
            known: str | None = os.environ.get(match[1]) or match[2]
            if known is None:
                raise ToolServerError(
                    f"MCP server {self.name!r}: {key} needs the variable {match[1]}, which is"
                    " not set",
                    hint=f"Set it, or give a default: ${{{match[1]}:-…}}",
                )
            return known

        return _VARIABLE.sub(fill, value)


_KINDS = {
    "command": "a text",
    "args": "a list of texts",
    "env": "a table of texts",
    "cwd": "a text",
    "url": "a text",
    "headers": "a table of texts",
    "tools": "a list of texts",
    "read_only": "true, false or a list of texts",
    "required": "true or false",
    "timeout": "a number of seconds",
    "start_timeout": "a number of seconds",
    "search": "true or false",
}


def _fits(key: str, value: object) -> bool:
    kind = _KINDS[key]
    if kind == "a text":
        return isinstance(value, str)
    if kind == "a list of texts":
        return _texts(value)
    if kind == "a table of texts":
        return isinstance(value, Mapping) and _texts(
            list(cast("Mapping[object, object]", value).values())
        )
    if kind == "a number of seconds":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, bool) or (key == "read_only" and _texts(value))


def _texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, str) for each in cast("Sequence[object]", value)
    )
