"""Errors as JSON-RPC tells them: a code, and words for the person at the editor."""

from __future__ import annotations

from acp import RequestError

from agentkit.errors import AgentkitError, AuthenticationFailed, SessionError, UsageError
from agentkit.errors import WorkspaceError as FolderError

INVALID_REQUEST, INVALID_PARAMS, INTERNAL = -32600, -32602, -32603
AUTH_REQUIRED, NOT_FOUND = -32000, -32002


def as_request_error(error: AgentkitError) -> RequestError:
    """The error with all of its words."""
    data = {"error": type(error).__name__, "tried": error.tried, "hint": error.hint}
    return RequestError(_code(error), str(error), {k: v for k, v in data.items() if v})


def _code(error: AgentkitError) -> int:
    if isinstance(error, AuthenticationFailed):
        return AUTH_REQUIRED
    if isinstance(error, SessionError):
        return INVALID_REQUEST
    if isinstance(error, UsageError | FolderError):
        return INVALID_PARAMS
    return INTERNAL


def no_session(session_id: str) -> RequestError:
    """The session is not open on this connection, or does not exist at all."""
    return RequestError(NOT_FOUND, f"there is no session {session_id!r} here", None)
