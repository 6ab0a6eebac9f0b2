"""One server's connection: made at first use, made again after a fault, never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.abc import TaskGroup

from agentkit.errors import ToolError, ToolServerError, UsageError

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult, RequestParamsMeta, Tool

    from agentkit.mcp.config import MCPServer
    from agentkit.mcp.stdio import Stdio

LONGEST_WAIT = 30.0
"""Seconds that a call waits at most before a server that keeps failing is started again."""
MOST_PAGES = 50
"""Of a list of tools."""
_MOST_PROGRESS = 10
"""Times its timeout that a call may take while the server reports progress."""
_SILENT_CALLS = 2
"""Calls in a row without an answer after which the server is started anew."""
Progress = Callable[[str], None]


@dataclass(slots=True)
class _Live:
    """A connection; its task owns it from beginning to end."""

    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    ready: anyio.Event = field(default_factory=anyio.Event)
    stop: anyio.Event = field(default_factory=anyio.Event)
    ended: anyio.Event = field(default_factory=anyio.Event)
    client: Client | None = None
    pipe: Stdio | None = None
    error: BaseException | None = None
    broken: bool = False
    listed: dict[str, Mapping[str, Any]] | None = None
    """Its tools now, with their arguments, where this connection has asked."""

    @property
    def usable(self) -> bool:
        lost = self.broken or self.ended.is_set() or (self.pipe is not None and self.pipe.ended)
        return self.client is not None and not lost

    @property
    def last_words(self) -> str:
        words = self.pipe.last_words if self.pipe is not None else ""
        return f"Its last words: {words}" if words else ""


class Connection:
    """A server, for one session.

    Args:
        tasks: the session's; the connection lives in a task of its own there.
    """

    def __init__(self, server: MCPServer, tasks: TaskGroup) -> None:
        self.server = server
        self._tasks = tasks
        self._live: _Live | None = None
        self._lock = anyio.Lock()
        self._faults = 0
        self._failed_at = 0.0
        self._silent = 0

    @property
    def is_alive(self) -> bool:
        """Whether the next call finds a connection, as far as is known."""
        return self._live is not None and self._live.usable

    async def tools(self) -> list[Tool]:
        """The server's list of tools.

        Raises:
            ToolServerError: it cannot be reached, or does not say.
        """
        live = await self._ready()
        try:
            with anyio.fail_after(self.server.start_timeout):
                return await self._list(live)
        except TimeoutError:
            problem = f"did not list its tools within {self.server.start_timeout:g} s"
        except Exception as error:
            problem = f"did not list its tools: {plain(error)}"
        await self._drop(live)
        raise self._fault(problem, live)

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        *,
        progress: Progress,
        meta: Mapping[str, Any] | None = None,
    ) -> CallToolResult:
        """Call a tool. What goes wrong is said in words for the model.

        Raises:
            ToolError: no answer, or one that cannot be read.
        """
        try:
            live = await self._ready()
        except (ToolServerError, UsageError) as error:
            raise ToolError(str(error)) from error
        assert live.client is not None
        call = _Patience(self.server.timeout, progress)
        try:
            with call.scope:
                answer = await live.client.call_tool(
                    tool,
                    arguments,
                    progress_callback=call.heard,
                    meta=cast("RequestParamsMeta | None", dict(meta) if meta else None),
                )
                self._faults = self._silent = 0
                return answer
        except Exception as error:
            raise await self._failed(live, tool, error) from error
        raise await self._unanswered(live, call)

    async def aclose(self) -> None:
        """Tell it to end; its task does the rest."""
        if self._live is not None:
            self._live.stop.set()

    # Beginning and end.

    async def _ready(self) -> _Live:
        """A living connection, made if there is none.

        Raises:
            ToolServerError, UsageError: it cannot be made.
        """
        async with self._lock:
            if self._live is not None and self._live.usable:
                return self._live
            if self._live is not None:
                await self._drop(self._live)
            await anyio.sleep(self._wait())
            live = self._live = _Live()
            self._tasks.start_soon(self._own, live)
            with anyio.move_on_after(self.server.start_timeout):
                await live.ready.wait()
            if live.usable:
                return live
            problem = f"did not start within {self.server.start_timeout:g} s"
            if live.error is not None:
                problem = f"could not be started: {plain(live.error)}"
            elif live.ready.is_set():
                problem = "ended while it was started"
            await self._drop(live)
            raise live.error if isinstance(live.error, UsageError) else self._fault(problem, live)

    def _wait(self) -> float:
        """Seconds until it may be tried again: 1, 2, 4, … after the last fault."""
        if not self._faults:
            return 0.0
        pause = min(LONGEST_WAIT, 2.0 ** (self._faults - 1))
        return max(0.0, self._failed_at + pause - time.monotonic())

    async def _own(self, live: _Live) -> None:
        """The life of a connection, in one task, as its scopes demand."""
        with live.scope:
            try:
                async with self._client(live) as client:
                    live.client = client
                    live.ready.set()
                    await live.stop.wait()
            except Exception as error:
                live.error = error
            finally:
                live.ready.set()
        live.ready.set()
        live.ended.set()

    def _client(self, live: _Live) -> Client:
        require_sdk()
        from mcp import Client, Implementation

        from agentkit.agent import __version__
        from agentkit.mcp.http import http_transport
        from agentkit.mcp.stdio import Stdio

        environment, headers = self.server.expanded()
        transport: Any
        if self.server.command:
            transport = live.pipe = Stdio(self.server, environment)
        else:
            transport = http_transport(self.server.url, headers, self.server.timeout)
        about = Implementation(name="agentkit", version=__version__)
        return Client(transport, client_info=about, cache=None)

    async def _drop(self, live: _Live) -> None:
        """Give a connection up; the next call makes another."""
        live.broken = True
        live.stop.set()
        if not live.ready.is_set():
            live.scope.cancel()
        if self._live is live:
            self._live = None
        await live.ended.wait()

    # Faults, in words.

    def _fault(self, problem: str, live: _Live) -> ToolServerError:
        self._faults += 1
        self._failed_at = time.monotonic()
        return ToolServerError(
            f"the MCP server {self.server.name!r} {problem}",
            tried=f"{self.server.where}. {live.last_words}".removesuffix(". "),
            hint="Mend it, or leave it out (required = false lets a session begin without it)",
        )

    async def _failed(self, live: _Live, tool: str, error: Exception) -> ToolError:
        """A call was answered with an error of the protocol, or the connection broke."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        name = self.server.name
        closed = not isinstance(error, (MCPError, RuntimeError, ValueError)) or (
            isinstance(error, MCPError) and error.code == CONNECTION_CLOSED
        )
        gone = isinstance(error, MCPError) and error.message == "Session terminated"
        if not (closed or gone or not live.usable):
            self._silent = 0
            return ToolError(f"{name}: {plain(error)}{await self._now(live, tool)}")
        why = live.pipe.ended if live.pipe is not None else ""
        await self._drop(live)
        self._faults += 1
        self._failed_at = time.monotonic()
        cause = why or plain(live.error or error)
        return ToolError(
            f"the connection to the MCP server {name!r} broke during the call: {cause}. The call"
            f" may have had effects. The next call connects anew. {live.last_words}".rstrip()
        )

    async def _unanswered(self, live: _Live, call: _Patience) -> ToolError:
        self._silent += 1
        words = f"the MCP server {self.server.name!r} {call.problem}; the call was cancelled there"
        if self._silent >= _SILENT_CALLS:
            self._silent = 0
            await self._drop(live)
            words += f", and after {_SILENT_CALLS} such calls the server is started anew"
        return ToolError(f"{words}. It may have had effects.")

    async def explain(self, tool: str) -> str:
        """What a failed call may need to know: the tool is gone, or takes other arguments now."""
        live = self._live
        return await self._now(live, tool) if live is not None and live.usable else ""

    async def _now(self, live: _Live, tool: str) -> str:
        fresh = live.listed is None
        if fresh:
            with anyio.move_on_after(self.server.start_timeout):
                try:
                    await self._list(live)
                except Exception:
                    return ""
        if live.listed is None or tool in live.listed:
            return ""
        there = ", ".join(sorted(live.listed)[:30]) or "none"
        return f" The server no longer has the tool {tool!r}. It has: {there}"

    async def _list(self, live: _Live) -> list[Tool]:
        from agentkit.mcp.listing import MOST_TOOLS

        assert live.client is not None
        found: list[Tool] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await live.client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) > MOST_TOOLS:
                break
        live.listed = {each.name: each.input_schema for each in found}
        return found


class _Patience:
    """How long a call may take: its timeout after each sign of life, and not for ever."""

    def __init__(self, timeout: float, show: Progress) -> None:
        now = anyio.current_time()
        self.scope = anyio.CancelScope(deadline=now + timeout)
        self._timeout = timeout
        self._last = now + timeout * _MOST_PROGRESS
        self._show = show
        self._shown = 0.0

    async def heard(self, progress: float, total: float | None, message: str | None) -> None:
        now = anyio.current_time()
        self.scope.deadline = min(self._last, now + self._timeout)
        if now - self._shown >= 0.1:  # a server may report without end
            self._shown = now
            of = f" of {total:g}" if total else ""
            self._show(f"[{progress:g}{of}] {(message or '')[:500]}".rstrip() + "\n")

    @property
    def problem(self) -> str:
        if anyio.current_time() >= self._last:
            return f"was not done after {self._timeout * _MOST_PROGRESS:g} s"
        return f"did not answer within {self._timeout:g} s"


def plain(error: BaseException) -> str:
    """An error in one line; of a group the first one in it."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"there is no {error.filename!r}"
    return " ".join(str(error).split())[:1000] or type(error).__name__


def require_sdk() -> None:
    """Say how to install the SDK where it is not.

    Raises:
        UsageError: it is not.
    """
    try:
        import mcp as _
    except ImportError as error:
        raise UsageError(
            "MCP needs the official SDK, which is not installed",
            hint="pip install 'agentkit-deepseek[mcp]'",
        ) from error
    del _
