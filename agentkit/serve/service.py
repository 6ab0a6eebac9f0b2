"""The service: an ASGI app of its own, or mounted into yours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agentkit.agent import Agent
from agentkit.errors import AgentkitError, UsageError
from agentkit.serve import problems
from agentkit.serve.access import Access
from agentkit.serve.agents import Factory
from agentkit.serve.guard import Guard
from agentkit.serve.openapi import OPERATIONS, document
from agentkit.serve.page import FILES, asset
from agentkit.serve.queue import Capacity
from agentkit.serve.routes import Routes
from agentkit.serve.supervisor import Supervisor
from agentkit.serve.token import Authenticate, by_token, kept_token
from agentkit.stores import Store, open_store


class Service:
    """What ``router`` gives: an ASGI app.

    Run it with any ASGI server, or mount it: ``app.mount("/agents", service)``. A mounted app gets
    no lifespan of its own, so hand ``service.lifespan`` to the host app: with it, what an earlier
    process left undone is taken up at start, and runs are parked at the end. Without it the
    service starts at its first request, and its runs end with the process, as in a crash.
    """

    def __init__(self, supervisor: Supervisor, app: Starlette, door: ASGIApp) -> None:
        self.supervisor = supervisor
        self._app = app
        self._door = door
        self._own: asyncio.Task[None] | None = None
        self._ready: anyio.Event | None = None
        """Set once the start without a lifespan is over."""

    @asynccontextmanager
    async def lifespan(self, _app: Any = None) -> AsyncGenerator[None]:
        """The service at work; ``FastAPI(lifespan=service.lifespan)``, or within your own."""
        async with self.supervisor.running():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if self._ready is None and not self.supervisor.was_started:
            self._ready = self._start()
        if self._ready is not None:  # others may come while the first one's start is under way
            await self._ready.wait()
        await self._door(scope, receive, send)

    def _start(self) -> anyio.Event:
        """Start without a lifespan; only asyncio has tasks that belong to nobody."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                "the service has not been started", hint="Hand service.lifespan to the host app"
            ) from None
        ready = anyio.Event()

        async def run() -> None:
            try:
                async with self.supervisor.running():
                    ready.set()
                    await anyio.sleep_forever()
            finally:
                ready.set()  # a start that failed holds up nobody: requests say that it is closed

        self._own = loop.create_task(run())
        return ready

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return document()


def router(
    agent: Agent | Factory,
    *,
    store: Store | None = None,
    token: str | Mapping[str, str] | None = None,
    authenticate: Authenticate | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    capacity: Capacity | None = None,
    page: bool = True,
) -> Service:
    """An HTTP service for an agent.

    Args:
        agent: the agent of all sessions, or a function (sync or async) that makes one from an
            ``Opening``.
        store: where sessions live; None is the agent's own, else what ``open_store`` finds.
        token: the bearer token, or tokens with their tenants, who see only their own sessions.
            None makes one at first and keeps it in the store's folder, in ``serve-token``.
        authenticate: in place of tokens: gives the tenant of a request, None for nobody. "" is
            the owner, who sees all.
        hosts: names that the service goes by, beside localhost: another ``Host`` is refused.
        origins: other sites whose pages may use it.
        page: serve the web page at the service's root too.

    Raises:
        UsageError: an argument cannot be.
    """
    if token is not None and authenticate is not None:
        raise UsageError("a token and an authenticate function", hint="Give one of the two")
    own = agent.store if isinstance(agent, Agent) else None
    place = store or own or open_store()
    if authenticate is None:
        authenticate = by_token(token if token is not None else kept_token(place.folder)[0])
    limits = capacity or Capacity()
    supervisor = Supervisor(agent, place, limits)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        async with supervisor.running():
            yield

    shown = tuple(FILES) if page else ()
    app = _app(Routes(supervisor, limits), shown, lifespan)
    guard = Guard(app, authenticate, open_paths=shown, hosts=hosts, origins=origins)
    return Service(supervisor, app, Access(guard))


Endpoint = Callable[[Request], Awaitable[Response]]


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    """One route for a path, so that a refusal of other methods names all that there are."""

    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return endpoint


def _app(routes: Routes, page: Sequence[str], lifespan: Any) -> Starlette:
    async def openapi(_request: Request) -> Response:
        return JSONResponse(document())

    paths: dict[str, dict[str, Endpoint]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = getattr(routes, each.name)
    table = [Route(path, _by_method(found), methods=[*found]) for path, found in paths.items()]
    table += [Route(path, asset, methods=["GET"]) for path in page]
    return Starlette(
        routes=[*table, Route("/openapi.json", openapi, methods=["GET"])],
        lifespan=lifespan,
        exception_handlers={
            HTTPException: problems.on_http,
            AgentkitError: problems.on_agentkit,
            ClientDisconnect: problems.on_gone,
            Exception: problems.on_any,
        },
    )
