"""The routes. Each takes the service's supervisor and a request that was let in."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import anyio
from anyio import to_thread
from pydantic import BaseModel, ValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from agentkit.approvals.record import questions
from agentkit.events import ApprovalAsked, SessionFinished, SessionStarted
from agentkit.exports import export
from agentkit.log import read
from agentkit.serve import ag_ui, bodies
from agentkit.serve.accounts import Accounts
from agentkit.serve.agents import Opening, metadata_of, tenant_of
from agentkit.serve.changes import changes
from agentkit.serve.feeds import Feed, Until, follow
from agentkit.serve.job import Job
from agentkit.serve.problems import Problem
from agentkit.serve.queue import Capacity
from agentkit.serve.supervisor import Supervisor
from agentkit.serve.wishes import Wish
from agentkit.session import new_id
from agentkit.stores import SessionInfo

B = TypeVar("B", bound=BaseModel)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PING = 15
"""Seconds between two signs of life in a quiet stream."""
SEND_TIMEOUT = 30.0
"""Seconds after which a client that does not read loses its connection."""
DRAIN = 10.0
"""Seconds for which the rest of a body that is too large is read and thrown away."""
PAGE = 50
"""Sessions of a page, where the caller does not say."""
NO_STORE = {"Cache-Control": "no-store"}
MEDIA = {"jsonl": "application/jsonl", "atif": "application/json", "html": "text/html"}


class Routes:
    """What the service answers with."""

    def __init__(self, supervisor: Supervisor, capacity: Capacity) -> None:
        self._supervisor = supervisor
        self._store = supervisor.store
        self._capacity = capacity
        self._accounts = Accounts(supervisor.store)
        self._known: dict[str, SessionStarted] = {}
        self._streams: dict[str, int] = {}

    async def healthz(self, _request: Request) -> Response:
        if not self._supervisor.is_open:
            raise Problem(503, "the service is ending", headers={"Retry-After": "5"})
        return _json(bodies.Health(status="ok"))

    async def create(self, request: Request) -> Response:
        body = await self._body(request, bodies.NewSession)
        opening = Opening(new_id(), _tenant(request), body.metadata)
        if body.checks and not body.message.strip():
            raise Problem(422, "checks without a message have nothing to check")
        job = Job(opening, body.message.strip() and body.message, tuple(body.checks))
        await self._supervisor.submit(job)
        info = await to_thread.run_sync(self._store.info, opening.session_id)
        if info is None:
            raise Problem(503, "the session store lost the session")
        place = f"{request.scope.get('root_path', '')}/sessions/{info.id}"
        return _json(self._view(info, opening.metadata), 201, {"Location": place})

    async def sessions(self, request: Request) -> Response:
        limit = _number(request, "limit", PAGE, 1, 200)
        updated, _, last = request.query_params.get("cursor", "").partition("|")
        tenant, found = _tenant(request), list[bodies.SessionView]()
        infos = await to_thread.run_sync(self._store.sessions)
        more: SessionInfo | None = None
        for info in infos:
            if updated and (info.updated, info.id) >= (updated, last):
                continue
            started = await self._started(info.id)
            if started is None or not _sees(tenant, started):
                continue
            if len(found) == limit:
                break
            found.append(self._view(info, metadata_of(started)))
            more = info
        else:
            more = None
        cursor = f"{more.updated}|{more.id}" if more else None
        return _json(bodies.Sessions(sessions=found, next=cursor))

    async def session(self, request: Request) -> Response:
        started, info = await self._find(request)
        view = self._view(info, metadata_of(started))
        if view.state == "idle" and info.status != "open":
            last = await to_thread.run_sync(read, self._store, info.id, info.events - 1)
            if last and isinstance(last[-1], SessionFinished):
                view.output, view.data = last[-1].output, last[-1].data
        if info.id not in self._supervisor.jobs and info.status in ("open", "waiting", "cancelled"):
            waiting = await to_thread.run_sync(questions, self._store, info.id)
            view.questions = [_question(each) for each in waiting]
        return _json(view)

    async def message(self, request: Request) -> Response:
        started, info = await self._find(request)
        body = await self._body(request, bodies.NewMessage)
        job = Job(
            _opening(info, started), body.message.strip() and body.message, tuple(body.checks)
        )
        await self._supervisor.submit(job)
        return _json(bodies.Taken(session_id=info.id, state=self._state(info)), 202)

    async def events(self, request: Request) -> Response:
        _, info = await self._find(request)
        after = _after(request, info)
        until = request.query_params.get("until", "")
        if until not in ("", "now", "finished"):
            raise Problem(422, "`until` may be `now` or `finished`")
        deltas = _yes(request, "deltas")
        if request.method == "HEAD":  # an answer without a body has no end to wait for
            return Response(media_type="text/event-stream")
        style = request.query_params.get("format", "agentkit")
        if style == "ag-ui":
            watched = ag_ui.observe(self._supervisor, info.id, until, deltas)
            return self._stream(_tenant(request), watched)
        if style != "agentkit":
            raise Problem(422, "`format` may be `agentkit` or `ag-ui`")
        return self._stream(_tenant(request), self._frames(info.id, after, until, deltas))

    async def ag_ui(self, request: Request) -> Response:
        body = await self._body(request, bodies.AgUiInput)
        tenant = _tenant(request)
        self._require_room(tenant)
        started = await self._started(body.thread_id)
        if started is not None and not _sees(tenant, started):
            raise Problem(404, "there is no such session")
        made = metadata_of(started) if started is not None else {"protocol": "ag-ui"}
        opening = Opening(body.thread_id, tenant_of(started) if started else tenant, made, started)
        talk = await ag_ui.begin(self._supervisor, body, opening)
        return self._stream(tenant, ag_ui.follow_run(self._supervisor, talk))

    def _require_room(self, tenant: str) -> None:
        if self._streams.get(tenant, 0) >= self._capacity.tenant_streams:
            raise Problem(429, "too many open event streams", headers={"Retry-After": "10"})

    def _stream(self, tenant: str, frames: AsyncGenerator[ServerSentEvent]) -> Response:
        self._require_room(tenant)
        return EventSourceResponse(
            self._counted(tenant, frames),
            ping=PING,
            sep="\n",
            send_timeout=SEND_TIMEOUT,
            headers={"Vary": "*"},
        )

    async def _counted(
        self, tenant: str, frames: AsyncGenerator[ServerSentEvent]
    ) -> AsyncGenerator[ServerSentEvent]:
        self._streams[tenant] = self._streams.get(tenant, 0) + 1
        try:
            async with aclosing(frames):
                async for each in frames:
                    yield each
        finally:
            self._streams[tenant] -= 1

    async def _frames(
        self, session_id: str, after: int, until: Until, deltas: bool
    ) -> AsyncGenerator[ServerSentEvent]:
        """The stream's frames. Only stored events carry an id."""
        yield ServerSentEvent(comment="events", retry=1000, sep="\n")
        with self._supervisor.hub.feed(session_id) as feed:
            async for each in self._follow(feed, session_id, after, until, deltas):
                yield each

    async def _follow(
        self, feed: Feed, session_id: str, after: int, until: Until, deltas: bool
    ) -> AsyncGenerator[ServerSentEvent]:
        found = follow(
            self._store,
            feed,
            session_id,
            after,
            until=until,
            deltas=deltas,
            busy=lambda: session_id in self._supervisor.jobs,
        )
        async for frame in found:
            number = str(frame.seq) if frame.seq is not None else None
            yield ServerSentEvent(frame.data, event=frame.type, id=number, sep="\n")

    async def steer(self, request: Request) -> Response:
        _, info = await self._find(request)
        body = await self._body(request, bodies.Steer)
        return await self._tell(info, Wish("steer", {"text": body.text}), 202)

    async def cancel(self, request: Request) -> Response:
        _, info = await self._find(request)
        await self._body(request, bodies.Nothing)
        return await self._tell(info, Wish("cancel"), 202)

    async def approve(self, request: Request) -> Response:
        started, info = await self._find(request)
        body = await self._body(request, bodies.Answer)
        call_id = request.path_params["call"]
        if info.id in self._supervisor.jobs or info.owner:
            data = {"call": call_id, "allow": body.allow, "reason": body.reason}
            return await self._tell(info, Wish("answer", data), 200)
        await self._supervisor.answer(_opening(info, started), call_id, body.allow, body.reason)
        return _json(bodies.Taken(session_id=info.id, state=self._state(info)))

    async def _tell(self, info: SessionInfo, wish: Wish, status: int) -> Response:
        state = await self._supervisor.tell(info, wish)
        return _json(bodies.Taken(session_id=info.id, state=state), status)

    async def fork(self, request: Request) -> Response:
        started, info = await self._find(request)
        body = await self._body(request, bodies.Fork)
        async with self._supervisor.alone(_opening(info, started)) as session:
            made = await session.fork(turn=body.turn)
        view = bodies.Branched(
            session_id=made.session_id, parent=made.parent, turn=made.turn, files=0
        )
        return _json(view, 201)

    async def undo(self, request: Request) -> Response:
        started, info = await self._find(request)
        body = await self._body(request, bodies.Undo)
        async with self._supervisor.alone(_opening(info, started)) as session:
            undone = await session.undo(to_turn=body.to_turn, files=body.files)
        view = bodies.Branched(
            session_id=undone.session_id,
            parent=undone.parent,
            turn=undone.turn,
            files=undone.restored.changed if undone.restored else 0,
        )
        return _json(view, 201)

    async def export(self, request: Request) -> Response:
        _, info = await self._find(request)
        kind = request.query_params.get("format", "jsonl")
        if kind not in MEDIA:
            raise Problem(422, f"there is no such format; choose {', '.join(MEDIA)}")
        content = await to_thread.run_sync(lambda: export(read(self._store, info.id), kind))
        headers = {
            "Content-Disposition": f'attachment; filename="{info.id}.{kind}"',
            # The page holds what a model and its tools said: nothing in it may run here.
            "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(content, media_type=MEDIA[kind], headers=headers)

    async def account(self, request: Request) -> Response:
        started, info = await self._find(request)
        requests = _yes(request, "requests")
        content = await self._accounts.json(info.id, started, requests=requests)
        return Response(content, headers=NO_STORE, media_type="application/json")

    async def changes(self, request: Request) -> Response:
        _, info = await self._find(request)
        turn = _number(request, "turn", 0, 1, 10**9) if "turn" in request.query_params else 0
        return _json(await to_thread.run_sync(changes, self._store, info.id, turn))

    # What they share.

    async def _body(self, request: Request, kind: type[B]) -> B:
        """The body, read up to the limit and checked.

        Raises:
            Problem: too large, no JSON, or not of this kind.
        """
        most = self._capacity.body
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise await _too_large(request, most)
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > most:
                del data
                raise await _too_large(request, most)
        if not data.strip():
            data = bytearray(b"{}")
        elif _media(request) != "application/json":
            raise Problem(415, "the body must be JSON", hint="Content-Type: application/json")
        try:
            return kind.model_validate_json(bytes(data))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(each) for each in first["loc"])
            if first["type"] == "json_invalid":
                raise Problem(400, f"the body is not valid JSON: {first['msg']}") from error
            raise Problem(422, f"{where or 'body'}: {first['msg']}") from error

    async def _find(self, request: Request) -> tuple[SessionStarted, SessionInfo]:
        """The session that the path names, if the caller may see it.

        Raises:
            Problem: 404, also for other tenants' sessions.
        """
        session_id = request.path_params["session_id"]
        if _ID.fullmatch(session_id):
            started = await self._started(session_id)
            info = await to_thread.run_sync(self._store.info, session_id)
            if started is not None and info is not None and _sees(_tenant(request), started):
                return started, info
        raise Problem(404, "there is no such session")

    async def _started(self, session_id: str) -> SessionStarted | None:
        """The session's first event; it never changes, so it is read once."""
        if session_id not in self._known:
            events = await to_thread.run_sync(read, self._store, session_id, 0, 1)
            if not events or not isinstance(events[0], SessionStarted):
                return None
            if len(self._known) >= 10_000:
                self._known.pop(next(iter(self._known)))
            self._known[session_id] = events[0]
        return self._known[session_id]

    def _state(self, info: SessionInfo) -> bodies.State:
        job = self._supervisor.jobs.get(info.id)
        if job is not None:
            return job.state
        return "elsewhere" if info.owner else "idle"

    def _view(self, info: SessionInfo, metadata: Any) -> bodies.SessionView:
        job = self._supervisor.jobs.get(info.id)
        return bodies.SessionView(
            id=info.id,
            created=info.created,
            updated=info.updated,
            title=info.title,
            status=info.status,
            state=self._state(info),
            events=info.events,
            cost_usd=info.cost_usd,
            questions=[_question(each) for each in job.questions] if job else [],
            metadata=dict(metadata),
        )


def _question(asked: ApprovalAsked) -> bodies.Question:
    return bodies.Question(
        call=asked.call_id,
        tool=asked.tool,
        arguments=asked.arguments,
        risk=asked.risk,
        reasons=list(asked.reasons),
    )


def _tenant(request: Request) -> str:
    return str(request.scope["agentkit.tenant"])


def _sees(tenant: str, started: SessionStarted) -> bool:
    return not tenant or tenant_of(started) == tenant


def _opening(info: SessionInfo, started: SessionStarted) -> Opening:
    return Opening(info.id, tenant_of(started), metadata_of(started), started)


def _after(request: Request, info: SessionInfo) -> int:
    """The last event that the client has."""
    given = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    if not given.isascii() or not given.isdigit():
        raise Problem(422, "Last-Event-ID must be the number of an event of this session, or 0")
    if len(given) > 20 or int(given) > info.events:
        raise Problem(409, f"the session has {info.events} events", hint="Ask for them from 0 on")
    return int(given)


def _yes(request: Request, name: str) -> bool:
    given = request.query_params.get(name, "true").lower()
    if given not in ("true", "false"):
        raise Problem(422, f"`{name}` may be `true` or `false`")
    return given == "true"


def _number(request: Request, name: str, default: int, least: int, most: int) -> int:
    given = request.query_params.get(name, str(default))
    fits = given.isascii() and given.isdigit() and len(given) < 20
    if not fits or not least <= int(given) <= most:
        raise Problem(422, f"`{name}` must be a number from {least} to {most}")
    return int(given)


def _media(request: Request) -> str:
    """The body's media type, for which case does not count, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _too_large(request: Request, most: int) -> Problem:
    """The refusal, once what still comes was thrown away: who is writing reads no answer."""
    if request.headers.get("expect", "").lower() != "100-continue":
        with anyio.move_on_after(DRAIN), suppress(TimeoutError, ClientDisconnect):
            rest = request.stream()
            more: bytes | None = b""
            while more is not None:
                with anyio.fail_after(1):
                    more = await anext(rest, None)
    return Problem(413, f"the body is larger than {most} bytes", headers={"Connection": "close"})


def _json(
    view: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> JSONResponse:
    content = view.model_dump(mode="json")
    return JSONResponse(content, status, {**NO_STORE, **(headers or {})})
