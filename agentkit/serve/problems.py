"""Errors as HTTP tells them: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agentkit import logs
from agentkit.errors import (
    AgentkitError,
    NotAsked,
    SessionError,
    SessionInUse,
    StoreError,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"
log = logs.get("agentkit.serve")


class Problem(HTTPException):
    """Raised anywhere below a route; becomes the answer.

    Args:
        detail: what happened, in words for the caller. Never a path of this machine.
        hint: what to do next.
    """

    def __init__(
        self, status: int, detail: str, *, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.hint = hint


def as_response(problem: HTTPException) -> Response:
    """The answer that says it."""
    status = problem.status_code
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": problem.detail,
    }
    if isinstance(problem, Problem) and problem.hint:
        body["hint"] = problem.hint
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return Response(text, status, headers=problem.headers, media_type=MEDIA_TYPE)


def of_error(error: AgentkitError) -> Problem:
    """An error of ours as a problem; what may name this machine's paths is only logged."""
    if isinstance(error, SessionInUse):
        return Problem(
            409, "another process works on this session", hint="Wait for its end, or ask it there"
        )
    if isinstance(error, NotAsked):
        return Problem(404, error.what, hint=error.hint)
    if isinstance(error, SessionError):
        return Problem(409, error.what, hint=error.hint)
    if type(error) is UsageError:
        return Problem(422, error.what, hint=error.hint)
    log.error("request.failed", error=str(error), kind=type(error).__name__)
    if isinstance(error, StoreError):
        return Problem(503, "the session store cannot be used", headers={"Retry-After": "5"})
    return Problem(500, f"{type(error).__name__}; the server's log says more")


async def on_http(_request: Request, error: Exception) -> Response:
    """For Starlette: its own refusals and ours."""
    assert isinstance(error, HTTPException)
    return as_response(error)


async def on_agentkit(_request: Request, error: Exception) -> Response:
    """For Starlette: an error of the framework."""
    assert isinstance(error, AgentkitError)
    return as_response(of_error(error))


async def on_gone(_request: Request, _error: Exception) -> Response:
    """For Starlette: the client left in the middle of its request; nobody reads this."""
    return as_response(Problem(400, "the request was cut off"))


async def on_any(_request: Request, error: Exception) -> Response:
    """For Starlette: what nobody thought of; it is logged by whoever runs the server."""
    return as_response(Problem(500, f"an unexpected error: {type(error).__name__}"))
