"""One session that an editor has open: prompts in, updates and questions out."""

from __future__ import annotations

import json
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, cast

import anyio
from acp import RequestError
from acp.interfaces import Client
from acp.schema import PermissionOption, PromptResponse, StopReason
from anyio import to_thread
from anyio.abc import TaskGroup, TaskStatus

from agentkit import logs
from agentkit.acp.opening import Places
from agentkit.acp.problems import INVALID_REQUEST, as_request_error
from agentkit.acp.updates import Updates
from agentkit.agent import Agent
from agentkit.approvals.asking import wait_for_session
from agentkit.errors import AgentkitError, AlreadyAnswered, ContentRefused, NotAsked
from agentkit.events import ApprovalAsked, Event, ModelResponded, SessionFinished
from agentkit.log import read
from agentkit.session import Session

log = logs.get(__name__)


def _options(always: str) -> list[PermissionOption]:
    return [
        PermissionOption(option_id="allow", name="Allow", kind="allow_once"),
        PermissionOption(option_id="always", name=always, kind="allow_always"),
        PermissionOption(option_id="reject", name="Reject", kind="reject_once"),
    ]


@dataclass(slots=True)
class _Turn:
    """A prompt at work."""

    cancelled: bool = False
    filtered: bool = False
    """The provider's filter stopped the last answer."""
    asking: anyio.CancelScope | None = None
    """Questions that are asked before the run."""


class LiveSession:
    """A session of one connection. Its sandbox lives from the first prompt until ``close``.

    Args:
        agent: makes the session; where it has no ``approve`` hook, the editor is asked.
        resume: the session is in the store.
    """

    def __init__(self, session_id: str, agent: Agent, client: Client, *, resume: bool) -> None:
        self.id = session_id
        self.places = Places.of(agent)
        self._asks = agent.hooks.approve is None
        if self._asks:
            agent = replace(agent, hooks=replace(agent.hooks, approve=wait_for_session))
        self._agent = agent
        self._client = client
        self._resume = resume
        self._updates = Updates(self.places)
        self._session: Session | None = None
        self._closing = anyio.Event()
        self._closed = anyio.Event()
        self._turn: _Turn | None = None
        self._always: set[str] = set()

    async def open(self, tasks: TaskGroup) -> Session:
        """The session, opened if it is not yet; ``tasks`` keeps it open.

        Raises:
            SessionError, StoreError, UsageError: it cannot be opened.
        """
        session = self._session
        if session is None:
            self._closed = anyio.Event()  # an earlier try that failed has set it
            session = self._session = cast("Session", await tasks.start(self._hold))
        return session

    async def close(self) -> None:
        """Stop what runs, and wait until the sandbox is gone."""
        self.cancel()
        self._closing.set()
        if self._session is not None:
            await self._closed.wait()

    async def _hold(self, *, task_status: TaskStatus[Session]) -> None:
        """Entered and left in one task, as its task group wants it."""
        try:
            async with self._agent.session(self.id, resume=self._resume) as session:
                task_status.started(session)
                await self._closing.wait()
        except AgentkitError as error:
            if self._session is None:
                raise
            log.warning("session.not_closed", session=self.id, error=str(error))
        finally:
            self._closed.set()

    async def replay(self, session: Session) -> None:
        """Tell the editor all that the log holds.

        Raises:
            RequestError: the session is at work.
        """
        self._require_idle()
        self._updates = Updates(self.places, past=True)
        for event in await to_thread.run_sync(read, session.store, self.id):
            await self._show(event)
        self._updates.past = False

    def cancel(self) -> None:
        """Stop the prompt that is at work, if any."""
        if self._turn is not None:
            self._turn.cancelled = True
            if self._session is not None:
                self._session.cancel()
            if self._turn.asking is not None:
                self._turn.asking.cancel()

    async def prompt(self, text: str, tasks: TaskGroup) -> PromptResponse:
        """Work on a prompt to its end.

        Raises:
            RequestError: it could not be worked on, in words.
        """
        self._require_idle()
        turn = self._turn = _Turn()
        try:
            session = await self.open(tasks)
            await self._ask_before(session, turn)
            if not turn.cancelled:
                await self._work(session, text, turn)
        except AgentkitError as error:
            if turn.cancelled:
                return PromptResponse(stop_reason="cancelled")
            if isinstance(error, ContentRefused):
                return PromptResponse(stop_reason="refusal")
            raise as_request_error(error) from error
        finally:
            self._turn = None
        if turn.cancelled:
            return PromptResponse(stop_reason="cancelled")
        return _response(session, turn)

    def _require_idle(self) -> None:
        if self._turn is not None:
            words = "the session is at work: cancel it, or wait for its end"
            raise RequestError(INVALID_REQUEST, words, None)

    async def _work(self, session: Session, text: str, turn: _Turn) -> None:
        """Show the run; questions are asked beside it, and are over when it is."""
        failed: AgentkitError | None = None
        async with anyio.create_task_group() as questions:
            try:
                async with aclosing(session.stream(text)) as events:
                    async for event in events:
                        if turn.cancelled:  # it came before there was anything to stop
                            session.cancel()
                        await self._show(event)
                        if isinstance(event, ApprovalAsked) and self._asks:
                            questions.start_soon(self._ask, session, event)
                        elif isinstance(event, ModelResponded):
                            turn.filtered = event.finish_reason == "content_filter"
            except AgentkitError as error:  # raised in here, a group would wrap it
                failed = error
            questions.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _show(self, event: Event) -> None:
        for update in self._updates.of(event):
            await self._client.session_update(self.id, update)

    # Questions.

    async def _ask_before(self, session: Session, turn: _Turn) -> None:
        """Ask what an earlier run, perhaps in another process, has left open.

        Without an answer the prompt would take its place, and the calls would be refused.
        """
        async with anyio.create_task_group() as questions:
            turn.asking = questions.cancel_scope
            for event in session.questions if self._asks else ():
                for update in self._updates.of(event):
                    await self._client.session_update(self.id, update)
                questions.start_soon(self._ask, session, event)
        turn.asking = None

    async def _ask(self, session: Session, event: ApprovalAsked) -> None:
        """Put a question to the person at the editor; somebody elsewhere may be quicker."""
        allowed, reason = True, ""
        if self._kind(event) not in self._always:
            allowed, reason = await self._permission(event)
        with suppress(AlreadyAnswered, NotAsked):
            await session.approve(event.call_id, allowed, reason)

    async def _permission(self, event: ApprovalAsked) -> tuple[bool, str]:
        """The answer, and the reason of a no."""
        call = self._updates.question(event)
        what = "tool" if self._kind(event) == event.tool else "exact call"
        options = _options(f"Always allow this {what}")
        try:
            response = await self._client.request_permission(self.id, call, options)
        except RequestError as error:
            return False, f"the editor could not ask: {error}"
        except ConnectionError:
            return False, "the editor has gone, so nobody could be asked"
        chosen = response.outcome
        if chosen.outcome == "cancelled":
            return False, "the question was closed without an answer"
        if chosen.option_id == "always":
            self._always.add(self._kind(event))
        return chosen.option_id in ("always", "allow"), ""

    def _kind(self, event: ApprovalAsked) -> str:
        """What an "always" is for: a tool; where it runs commands, or is not known, this call."""
        known = self._agent.table.get(event.tool)
        if known is not None and known.script is None:
            return event.tool
        if known is None and any(
            event.tool.startswith(f"{each.name}__") for each in self._agent.mcp
        ):
            return event.tool
        arguments = json.dumps(dict(event.arguments), sort_keys=True, default=str)
        return f"{event.tool}: {arguments}"


def _response(session: Session, turn: _Turn) -> PromptResponse:
    end = session.state.finished
    assert end is not None  # the stream came to its end
    refused = end.status == "failed" and turn.filtered
    reason: StopReason = "refusal" if refused else _stop_reason(end)
    return PromptResponse(stop_reason=reason, field_meta=_meta(end))


def _stop_reason(end: SessionFinished) -> StopReason:
    """How the run ended, in the protocol's five words.

    A run that gave up, or whose checks fail, has ended its turn; what is not achieved stands in
    its last message, and in ``_meta``.
    """
    if end.status == "cancelled":
        return "cancelled"
    if end.status == "limit":
        # The error says which; the protocol has no word for money and time.
        return "max_tokens" if end.output.startswith("the tokens limit") else "max_turn_requests"
    return "end_turn"


def _meta(end: SessionFinished) -> dict[str, Any]:
    """What the five words cannot say."""
    told = {
        "status": end.status,
        "error": end.error,
        "costUsd": round(end.cost_usd, 6) if end.priced else None,
        "checks": [{"command": each.command, "passed": each.passed} for each in end.checks],
    }
    return {"agentkit": {key: value for key, value in told.items() if value not in ("", [], None)}}
