"""A line in the log for each request, under an id that its answer carries too."""

from __future__ import annotations

import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from agentkit import logs
from agentkit.serve.guard import OPEN

HEADER = "x-request-id"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = logs.get("agentkit.serve.access")


class Access:
    """Logs method, path, status and time; never a header, a query or a body.

    A proxy's ``X-Request-Id`` is kept. The id is bound to all that is logged meanwhile, also by a
    run that the request starts and that outlives it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(8)
        started, status = time.monotonic(), 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, note)
            finally:
                path = scope["path"].removeprefix(scope.get("root_path", ""))
                tell = log.debug if path == OPEN else log.info
                tell(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status or None,  # None: it broke off before an answer
                    seconds=round(time.monotonic() - started, 4),
                    tenant=scope.get("agentkit.tenant"),
                )
