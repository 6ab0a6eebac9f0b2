"""One connection to an editor: the agent's side of the protocol."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import anyio
from acp import RequestError, run_agent
from acp.interfaces import Client
from acp.meta import PROTOCOL_VERSION
from acp.schema import (
    AgentCapabilities,
    AuthenticateResponse,
    AuthMethodAgent,
    ClientCapabilities,
    CloseSessionResponse,
    Implementation,
    InitializeResponse,
    ListSessionsResponse,
    LoadSessionResponse,
    McpCapabilities,
    NewSessionResponse,
    PromptCapabilities,
    PromptResponse,
    ResumeSessionResponse,
    SessionCapabilities,
    SessionCloseCapabilities,
    SessionInfo,
    SessionListCapabilities,
    SessionResumeCapabilities,
)
from anyio import to_thread
from anyio.abc import TaskGroup

from agentkit import logs
from agentkit.acp.live import LiveSession
from agentkit.acp.opening import Factory, Opening, agent_for, folder_of
from agentkit.acp.problems import AUTH_REQUIRED, INVALID_PARAMS, as_request_error, no_session
from agentkit.acp.prompts import as_text
from agentkit.acp.servers import servers_of
from agentkit.acp.stdio import Stdio
from agentkit.agent import KEY_VARIABLE, Agent, __version__
from agentkit.errors import AgentkitError
from agentkit.events import SessionStarted
from agentkit.log import read
from agentkit.session import new_id
from agentkit.stores import Store, open_store

PAGE = 100
"""Sessions of one answer to ``session/list``."""
_AUTH = "environment"

log = logs.get(__name__)


async def speak(
    source: Agent | Factory,
    *,
    store: Store | None = None,
    stdin: int = 0,
    stdout: int = 1,
    key_variable: str = KEY_VARIABLE,
) -> None:
    """Serve one editor until it closes the connection, or this is cancelled.

    Runs stop then, their sandboxes are removed, and the sessions can be loaded again.

    Args:
        source: the agent, which works in the editor's folder, or what makes one per session.
        store: where sessions live; None is what ``stores.open_store`` finds.
        stdin: file descriptor of what the editor writes.
        stdout: of what it reads. Nothing else may be written there.
        key_variable: named to a person whose key is missing.
    """
    kept = store if store is not None else open_store()
    try:
        async with anyio.create_task_group() as tasks:
            bridge = Bridge(source, kept, tasks, key_variable)
            # The SDK's type names every method that there is; what we do not offer, we do not have.
            agent: Any = bridge
            try:
                transport = Stdio(stdin, stdout, at_end=bridge.cancel_all)
                await run_agent(agent, transport, use_unstable_protocol=True)
            finally:
                with anyio.CancelScope(shield=True):
                    await bridge.close()
    finally:
        if store is None:
            kept.close()


class Bridge:
    """Answers an editor's requests; the SDK calls these methods by their names.

    ``resume`` and ``close`` are behind the SDK's switch for what is unstable, though the protocol
    has them (schema 1.19, SDK 0.12, 2026-11).
    """

    def __init__(
        self, source: Agent | Factory, store: Store, tasks: TaskGroup, key_variable: str
    ) -> None:
        self._source = source
        self._store = store
        self._tasks = tasks
        self._key = key_variable
        self._live: dict[str, LiveSession] = {}
        self._client: Client | None = None

    def on_connect(self, conn: Client) -> None:
        self._client = conn

    def cancel_all(self) -> None:
        """Stop all prompts."""
        for live in self._live.values():
            live.cancel()

    async def close(self) -> None:
        """Stop everything, and wait until the sandboxes are gone."""
        async with anyio.create_task_group() as closing:
            for live in self._live.values():
                closing.start_soon(live.close)
        self._live.clear()

    async def initialize(
        self,
        protocol_version: int,
        client_capabilities: ClientCapabilities | None = None,
        client_info: Implementation | None = None,
        **_meta: Any,
    ) -> InitializeResponse:
        name = client_info.name if client_info is not None else "unknown"
        log.info("editor.connected", editor=name, protocol=protocol_version)
        return InitializeResponse(
            protocol_version=PROTOCOL_VERSION,
            agent_info=Implementation(name="agentkit", title="agentkit", version=__version__),
            agent_capabilities=AgentCapabilities(
                load_session=True,
                prompt_capabilities=PromptCapabilities(
                    image=False, audio=False, embedded_context=True
                ),
                mcp_capabilities=McpCapabilities(http=True, sse=False),
                session_capabilities=SessionCapabilities(
                    list=SessionListCapabilities(),
                    resume=SessionResumeCapabilities(),
                    close=SessionCloseCapabilities(),
                ),
            ),
            auth_methods=[
                AuthMethodAgent(
                    id=_AUTH,
                    name=f"API key in {self._key}",
                    description=f"Set {self._key} in the environment that the editor gives to"
                    " this agent, then start it again.",
                )
            ],
        )

    async def authenticate(self, method_id: str, **_meta: Any) -> AuthenticateResponse:
        if method_id != _AUTH:
            raise RequestError(INVALID_PARAMS, f"there is no method {method_id!r}", None)
        if not os.environ.get(self._key):
            words = f"{self._key} is not set: set it in the agent's environment, and start it again"
            raise RequestError(AUTH_REQUIRED, words, None)
        return AuthenticateResponse()

    async def new_session(
        self,
        cwd: str,
        additional_directories: Sequence[str] | None = None,
        mcp_servers: Sequence[Any] | None = None,
        **_meta: Any,
    ) -> NewSessionResponse:
        session_id = new_id()
        await self._make(session_id, cwd, None, additional_directories, mcp_servers)
        log.info("session.new", session=session_id)
        return NewSessionResponse(session_id=session_id)

    async def load_session(
        self,
        cwd: str,
        session_id: str,
        mcp_servers: Sequence[Any] | None = None,
        additional_directories: Sequence[str] | None = None,
        **_meta: Any,
    ) -> LoadSessionResponse:
        await self._again(session_id, cwd, additional_directories, mcp_servers, replay=True)
        return LoadSessionResponse()

    async def resume_session(
        self,
        cwd: str,
        session_id: str,
        mcp_servers: Sequence[Any] | None = None,
        additional_directories: Sequence[str] | None = None,
        **_meta: Any,
    ) -> ResumeSessionResponse:
        await self._again(session_id, cwd, additional_directories, mcp_servers, replay=False)
        return ResumeSessionResponse()

    async def list_sessions(
        self, cwd: str | None = None, cursor: str | None = None, **_meta: Any
    ) -> ListSessionsResponse:
        found = await to_thread.run_sync(self._listed, cwd)
        start = int(cursor) if cursor and cursor.isdecimal() else 0
        rest = start + PAGE < len(found)
        return ListSessionsResponse(
            sessions=found[start : start + PAGE], next_cursor=str(start + PAGE) if rest else None
        )

    def _listed(self, cwd: str | None) -> list[SessionInfo]:
        """Sessions of that folder, or of all, the last used first. Blocks."""
        folder = os.path.realpath(cwd) if cwd else ""
        return [
            SessionInfo(
                session_id=each.id, cwd=each.workspace, title=each.title, updated_at=each.updated
            )
            for each in self._store.sessions()
            if each.workspace and (not folder or os.path.realpath(each.workspace) == folder)
        ]

    async def close_session(self, session_id: str, **_meta: Any) -> CloseSessionResponse:
        live = self._live.pop(session_id, None)
        if live is None:
            raise no_session(session_id)
        await live.close()
        return CloseSessionResponse()

    async def prompt(self, session_id: str, prompt: Sequence[Any], **_meta: Any) -> PromptResponse:
        live = self._live.get(session_id)
        if live is None:
            raise no_session(session_id)
        text = as_text(prompt, live.places)
        response = await live.prompt(text, self._tasks)
        log.info("prompt.ended", session=session_id, reason=response.stop_reason)
        return response

    async def cancel(self, session_id: str, **_meta: Any) -> None:
        live = self._live.get(session_id)
        if live is not None:
            live.cancel()

    # How sessions come to be.

    async def _again(
        self,
        session_id: str,
        cwd: str,
        more: Sequence[str] | None,
        servers: Sequence[Any] | None,
        *,
        replay: bool,
    ) -> None:
        """Open a stored session, and tell of it if that is wanted."""
        live = self._live.get(session_id)
        try:
            if live is None:
                started = await to_thread.run_sync(self._started, session_id)
                live = await self._make(session_id, cwd, started, more, servers)
            session = await live.open(self._tasks)
        except AgentkitError as error:
            self._live.pop(session_id, None)
            raise as_request_error(error) from error
        if replay:
            await live.replay(session)
        log.info("session.loaded", session=session_id)

    def _started(self, session_id: str) -> SessionStarted:
        """The session's first event. Blocks."""
        events = read(self._store, session_id, upto=1)
        if not events or not isinstance(events[0], SessionStarted):
            raise no_session(session_id)
        return events[0]

    async def _make(
        self,
        session_id: str,
        cwd: str,
        started: SessionStarted | None,
        more: Sequence[str] | None,
        servers: Sequence[Any] | None,
    ) -> LiveSession:
        """Everything decided and checked, nothing started."""
        assert self._client is not None  # the SDK connects before it listens
        if more:
            words = "this agent works in one folder; additionalDirectories cannot be added"
            raise RequestError(INVALID_PARAMS, words, None)
        try:
            opening = Opening(session_id, folder_of(cwd), started)
            agent = await agent_for(self._source, opening, self._store, servers_of(servers))
        except AgentkitError as error:
            raise as_request_error(error) from error
        live = LiveSession(session_id, agent, self._client, resume=started is not None)
        self._live[session_id] = live
        return live
