"""The web page: a few fixed files of this package, the same for everybody.

They hold nothing secret and need no token; all that they show is fetched, with the token, by the
browser. No file is read at a request, so no path can be asked for. The policy lets nothing run or
load but these files, and no text become markup (``trusted-types``).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_MEDIA = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def _load() -> Mapping[str, tuple[bytes, dict[str, str]]]:
    """By path: the file, and the headers that go with it."""
    found: dict[str, tuple[bytes, dict[str, str]]] = {}
    for each in files("agentkit.serve").joinpath("assets").iterdir():
        media = _MEDIA.get(each.name.rpartition(".")[2])
        if media is not None:
            content = each.read_bytes()
            tag = f'"{sha256(content).hexdigest()[:32]}"'
            path = "/" if each.name == "index.html" else f"/page/{each.name}"
            found[path] = content, {**_HEADERS, "Content-Type": media, "ETag": tag}
    return MappingProxyType(found)


FILES = _load()


async def asset(request: Request) -> Response:
    """One of the files, or 304 where the browser has it."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    content, headers = FILES[path]
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers)
