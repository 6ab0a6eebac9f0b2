"""What is asked of every request before a route sees it: host, origin, token.

A browser on the same machine is the danger of a local server: any page can send requests to it,
and by rebinding a name can even read the answers. ``Host`` must be a name that the service goes by,
``Origin``, where there is one, the service's own or a known one, and the token is always needed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from agentkit.errors import UsageError
from agentkit.serve.problems import Problem, as_response
from agentkit.serve.token import Authenticate

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
OPEN = "/healthz"
"""Needs no token: it says nothing but that the service lives."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


class Guard:
    """Asks the three questions, and notes the tenant in ``scope["agentkit.tenant"]``.

    Args:
        open_paths: paths that need no token, beside ``OPEN``: the files of the page.
        hosts: names, without port, that the service goes by beside this machine's own.
        origins: other sites (``https://app.example.com``) whose pages may use it.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticate: Authenticate,
        *,
        open_paths: Collection[str] = (),
        hosts: Sequence[str] = (),
        origins: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._open = {OPEN, *open_paths}
        self._hosts = {each.lower() for each in (*LOOPBACK, *hosts)}
        self._origins = {each.lower().rstrip("/") for each in origins}
        for each in self._hosts:
            found = _HOST.fullmatch(each)
            if found is None or found[2]:
                raise UsageError(
                    f"{each!r} is no host name", hint="Give it without scheme and port"
                )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        try:
            scope["agentkit.tenant"] = await self._admit(scope)
        except Problem as problem:
            await as_response(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> str:
        """The tenant.

        Raises:
            Problem: the request may not come in.
        """
        host = self._host(Headers(scope=scope))
        self._check_origin(Headers(scope=scope), host)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path in self._open:
            return ""
        tenant = await self._authenticate(Request(scope))
        if tenant is None:
            raise Problem(
                401,
                "a valid bearer token is needed",
                hint="Send the header `Authorization: Bearer TOKEN`",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return tenant

    def _host(self, headers: Headers) -> str:
        given = headers.getlist("host")
        found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            raise Problem(400, "the request needs one valid Host header")
        if found[1].lower() not in self._hosts:
            raise Problem(
                421,
                "the service does not go by the name in the Host header",
                hint="Its operator may allow more names",
            )
        return given[0].lower()

    def _check_origin(self, headers: Headers, host: str) -> None:
        for origin in headers.getlist("origin"):
            own = urlsplit(origin.lower())
            same = own.scheme in ("http", "https") and own.netloc == host
            if not same and origin.lower() not in self._origins:
                raise Problem(403, "pages of this origin may not use the service")
