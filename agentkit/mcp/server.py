"""An agent as an MCP server: a task is a tool call, its events are progress, its end is the result.

The client may go away or cancel: the run is stopped tidily, and its session can be gone on with.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import anyio
from anyio import to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

from agentkit import events as e
from agentkit.agent import Agent, __version__
from agentkit.errors import AgentkitError, SessionError, ToolError
from agentkit.log import read
from agentkit.mcp.lines import own_streams
from agentkit.result import Result
from agentkit.session import Session, new_id
from agentkit.stores import Store
from agentkit.tool import schema_check

HEARTBEAT = 10.0
"""Seconds of silence after which a client is told that the work goes on."""
_SHOWN = 20
"""Sessions of a list."""
_TEXT = {"type": "string"}
_RUN: Mapping[str, Any] = {
    "type": "object",
    "required": ["task"],
    "properties": {
        "task": {**_TEXT, "description": "What is to be done, complete in itself."},
        "checks": {
            "type": "array",
            "items": _TEXT,
            "description": "Commands that must exit 0 before the run may finish.",
        },
        "session_id": {**_TEXT, "description": "Go on with this session."},
    },
    "additionalProperties": False,
}
_RESULT: Mapping[str, Any] = {
    "type": "object",
    "required": ["session_id", "status", "output"],
    "properties": {
        "session_id": {**_TEXT, "description": "Give it back to go on."},
        "status": {
            **_TEXT,
            "description": "`finished`: done, and every check passes. Anything else is not that.",
        },
        "output": _TEXT,
        "data": {},
        "checks": {"type": "array"},
        "cost_usd": {"type": "number"},
        "turns": {"type": "integer"},
        "exit_code": {"type": "integer"},
    },
}
_STATUS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"session_id": {**_TEXT, "description": "Without it: the last sessions."}},
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Opening:
    """A session that is about to be worked on; an agent factory decides by it."""

    session_id: str
    started: e.SessionStarted | None = None
    """The session's first event; None where it is new."""


Factory = Callable[[Opening], Agent | Awaitable[Agent]]
Context = ServerRequestContext[Any, Any]


async def offer(
    agent: Agent | Factory, *, store: Store | None = None, source: int = 0, sink: int = 1
) -> None:
    """Serve an agent over standard input and output, until the client is gone.

    Args:
        agent: the agent of all sessions, or what makes one for each.
        store: where sessions live; None is the agent's own, else what ``open_store`` finds.
        source, sink: file descriptors to speak over. Nothing else may write to ``sink``.
    """
    from agentkit.stores import open_store

    own = agent.store if isinstance(agent, Agent) else None
    server = Offer(agent, store or own or open_store()).server()
    async with own_streams(source, sink) as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


class Offer:
    """The tools ``run_task`` and ``session_status``, over one store."""

    def __init__(self, source: Agent | Factory, store: Store) -> None:
        self._source = source
        self._store = store
        self._busy: set[str] = set()
        self._tools: dict[str, tuple[Tool, Callable[..., Awaitable[CallToolResult]]]] = {
            "run_task": (
                Tool(
                    name="run_task",
                    description="Have an agent carry out a task to its end. It takes minutes.",
                    input_schema=dict(_RUN),
                    output_schema=dict(_RESULT),
                ),
                self._run_task,
            ),
            "session_status": (
                Tool(
                    name="session_status",
                    description="How a session stands, or which there are.",
                    input_schema=dict(_STATUS),
                ),
                self._status,
            ),
        }

    def server(self) -> Server[Any]:
        """A server of the SDK, for any transport."""
        return Server(
            "agentkit",
            version=__version__,
            instructions="Give whole tasks. A result other than `finished` is not a success.",
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def _list(self, _: Context, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[tool for tool, _ in self._tools.values()])

    async def _call(self, context: Context, params: CallToolRequestParams) -> CallToolResult:
        if params.name not in self._tools:
            return _failed(f"there is no tool {params.name!r}; there are {', '.join(self._tools)}")
        tool, work = self._tools[params.name]
        arguments = params.arguments or {}
        try:
            schema_check(tool.input_schema)(arguments)
            return await work(context, **arguments)
        except (AgentkitError, ToolError) as error:
            return _failed(str(error))

    async def _run_task(
        self, context: Context, task: str, checks: list[str] | None = None, session_id: str = ""
    ) -> CallToolResult:
        started = await self._started(session_id) if session_id else None
        session_id = session_id or new_id()
        if session_id in self._busy:
            raise SessionError(f"session {session_id} is at work", hint="Wait for its end")
        self._busy.add(session_id)
        try:
            agent = await self._agent(Opening(session_id, started))
            async with agent.session(session_id, resume=started is not None) as session:
                return await _watched(session, task, tuple(checks or ()), _Reporter(context))
        finally:
            self._busy.discard(session_id)

    async def _status(self, _: Context, session_id: str = "") -> CallToolResult:
        if not session_id:
            infos = (await to_thread.run_sync(self._store.sessions))[:_SHOWN]
            lines = [f"{each.id}  {each.status}  {each.title[:80]}" for each in infos]
            return CallToolResult(content=[_text("\n".join(lines) or "there are no sessions")])
        await self._started(session_id)
        info = await to_thread.run_sync(self._store.info, session_id)
        if session_id in self._busy or (info is not None and info.owner):
            where = "here" if session_id in self._busy else "elsewhere"
            return CallToolResult(content=[_text(f"session {session_id} is at work {where}")])
        events = await to_thread.run_sync(read, self._store, session_id)
        ends = [each for each in events if isinstance(each, e.SessionFinished)]
        if not ends or info is None or info.status == "open":  # an earlier run's end is not its
            why = "its run was cut off, or none began"
            return _failed(f"session {session_id} is without an end: {why}")
        return _as_result(Result.of(ends[-1], session_id, ends[-1].data))

    async def _agent(self, opening: Opening) -> Agent:
        if isinstance(self._source, Agent):
            if opening.started is not None and opening.started.agent != self._source.name:
                raise SessionError(f"this session belongs to the agent {opening.started.agent!r}")
            return replace(self._source, store=self._store)
        made = self._source(opening)
        return replace(await made if inspect.isawaitable(made) else made, store=self._store)

    async def _started(self, session_id: str) -> e.SessionStarted:
        events = await to_thread.run_sync(read, self._store, session_id, 0, 1)
        if not events or not isinstance(events[0], e.SessionStarted):
            raise SessionError(f"there is no session {session_id!r}")
        return events[0]


async def _watched(
    session: Session, task: str, checks: tuple[str, ...], report: _Reporter
) -> CallToolResult:
    """Run the task, report what happens, and give its end."""
    await report.say(f"session {session.id}")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report.keep_alive)
        try:
            async with aclosing(session.stream(task, checks=checks)) as events:
                async for event in events:
                    await report.event(event)
        except AgentkitError as error:
            if session.state.finished is None:  # it never began
                return _failed(str(error))
        finally:
            tasks.cancel_scope.cancel()
    return _as_result(session.result)


class _Reporter:
    """Tells the client what happens, in lines."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._count = 0
        self._last = ""

    async def say(self, line: str) -> None:
        self._count, self._last = self._count + 1, line
        await self._context.session.report_progress(self._count, None, line)

    async def keep_alive(self) -> None:
        """Repeat the last line while nothing happens; clients give up on a silent server."""
        while True:
            await anyio.sleep(HEARTBEAT)
            await self.say(self._last)

    async def event(self, event: e.Event) -> None:
        line = _line(event)
        if line:
            await self.say(" ".join(line.split())[:300])


def _line(event: e.Event) -> str:
    match event:
        case e.ToolStarted():
            return f"{event.tool} {json.dumps(event.arguments, ensure_ascii=False)}"
        case e.ToolFinished() if event.status != "done":
            return f"{event.tool}: {event.status}"
        case e.ModelResponded() if event.content:
            return event.content
        case e.ModelFailed():
            return f"model: {event.message}"
        case e.RungChanged():
            return f"{event.form} {event.to_rung}: {event.reason}"
        case e.CheckPassed() | e.CheckFailed():
            return f"{event.type.replace('.', ' ')}: {event.command}"
        case e.ApprovalAsked():
            return f"waits for somebody's yes: {event.tool}"
        case _:
            return ""


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _failed(words: str) -> CallToolResult:
    return CallToolResult(content=[_text(words)], is_error=True)


def _as_result(result: Result) -> CallToolResult:
    """The end of a run; anything but ``finished`` is an error, so that nobody takes it for done."""
    checks = [
        {"command": each.command, "passed": each.passed, "exit_code": each.exit_code}
        for each in result.checks
    ]
    facts: dict[str, Any] = {
        "session_id": result.session_id,
        "status": result.status,
        "output": result.output,
        "checks": checks,
        "cost_usd": round(result.cost_usd, 6),
        "turns": result.turns,
        "exit_code": result.exit_code,
    }
    if result.data is not None:
        facts["data"] = json.loads(_json(result.data))
    marks = "".join(
        f"; check {'✓' if each['passed'] else '✗'} {each['command']}" for each in checks
    )
    last = f"[{result.status}; session {result.session_id}; ${result.cost_usd:.4f}{marks}]"
    words = f"{result.output.strip()}\n\n{last}".strip()
    return CallToolResult(content=[_text(words)], structured_content=facts, is_error=not result.ok)


def _json(value: Any) -> str:
    from pydantic_core import to_json

    return to_json(value, fallback=str).decode()
