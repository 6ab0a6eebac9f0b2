"""Who may ask: bearer tokens, and where the one of this machine is kept."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from pathlib import Path

from starlette.requests import Request

from agentkit.errors import UsageError

FILE = "serve-token"
SHORTEST = 16
"""Characters that a token has at least."""
OWNER = ""
"""The tenant of a service with one token: it sees every session of the store."""

Authenticate = Callable[[Request], Awaitable[str | None]]
"""Gives the tenant that a request speaks for, None for nobody."""


def kept_token(folder: Path) -> tuple[str, bool]:
    """The token that is kept in a folder, made at first, and whether it is new.

    Raises:
        UsageError: it cannot be kept or read, or others can read it.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _read(path), False
        with os.fdopen(handle, "w", encoding="ascii") as file:
            token = secrets.token_urlsafe(32)
            file.write(token + "\n")
    except OSError as error:
        raise UsageError(
            f"the token file {path} cannot be used: {error.strerror}",
            hint="Name another home folder, or give a token",
        ) from error
    return token, True


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise UsageError(
            f"others on this machine can read the token in {path}",
            hint=f"Delete it, so that a new one is made; or: chmod 600 {path}",
        )
    token = path.read_bytes().decode("ascii", "replace").strip()
    _check(token, f"the token in {path}")
    return token


def _check(token: str, what: str) -> None:
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{what} is no token: it needs {SHORTEST} or more printable ASCII characters",
            hint='python -c "import secrets; print(secrets.token_urlsafe(32))" makes a good one',
        )


def by_token(tokens: str | Mapping[str, str]) -> Authenticate:
    """Authentication by ``Authorization: Bearer``.

    Args:
        tokens: the only token, whose bearer sees every session; or tokens with their tenants,
            who see their own sessions only.

    Raises:
        UsageError: a token is too short, or a tenant has no name.
    """
    table = {tokens: OWNER} if isinstance(tokens, str) else dict(tokens)
    if not table:
        raise UsageError("there is no token, so nobody could use the service")
    for token, tenant in table.items():
        _check(token, f"the token of tenant {tenant!r}" if tenant else "the service's token")
        if not tenant and not isinstance(tokens, str):
            raise UsageError("a tenant has no name", hint="Give each token's tenant a name")
    digests = [(sha256(token.encode()).digest(), tenant) for token, tenant in table.items()]

    async def authenticate(request: Request) -> str | None:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        offered = sha256(given.strip().encode()).digest()
        found: str | None = None
        for digest, tenant in digests:  # all of them, whichever fits: time tells nothing
            if hmac.compare_digest(digest, offered):
                found = tenant
        return found if kind.lower() == "bearer" else None

    return authenticate
