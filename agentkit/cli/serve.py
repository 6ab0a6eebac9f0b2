"""``agentkit serve``."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentkit.cli.hosting import LogLevel, agent_for, settings_for
from agentkit.cli.options import Options, takes_options
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.serve import Opening, Service
    from agentkit.stores import Store

GRACE = 10
"""Seconds that open connections have to end when the server is told to."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@takes_options
def serve(
    given: Options,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="0 takes a free one.", min=0, max=65535)
    ] = 8321,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name that it goes by; repeatable."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", metavar="URL", help="A site that may use it; repeatable."),
    ] = None,
    log_level: LogLevel = "",
) -> None:
    """Serve sessions over HTTP, on loopback, with a bearer token that is kept in the home folder.

    New sessions get the options given here. SIGTERM or Ctrl-C parks what is under way; the next
    start goes on with it. `docs/serve.md` has the routes.
    """
    from agentkit import logs
    from agentkit.cli.build import open_store, settle_for_sessions
    from agentkit.serve import kept_token, router

    settings = settle_for_sessions(given)
    store = open_store(settings.home)
    token, fresh = kept_token(store.folder)
    service = router(
        partial(_agent, given, store),
        store=store,
        token=token,
        hosts=[*(allow_host or ()), *_own_name(host)],
        origins=allow_origin or (),
    )
    logs.configure(level=log_level, secrets={"serve token": token})
    try:
        _listen(service, store, host, port, token, fresh=fresh)
    finally:
        store.close()


def _own_name(host: str) -> list[str]:
    if host in (*_LOOPBACK, "0.0.0.0", "::"):
        return []
    return [f"[{host}]" if ":" in host else host]


def _agent(given: Options, store: Store, opening: Opening) -> Agent:
    settings = settings_for(given, opening.started)
    return agent_for(settings, store, opening.session_id, _aside)


def _aside(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _listen(
    service: Service, store: Store, host: str, port: int, token: str, *, fresh: bool
) -> None:
    try:
        import uvicorn
    except ImportError as error:
        raise UsageError(
            "the HTTP service needs uvicorn, which is not installed",
            hint="pip install 'agentkit-deepseek[serve]'",
        ) from error
    from agentkit.serve.connections import BACKLOG, BoundedProtocol, make_room

    config = uvicorn.Config(
        service,
        http=BoundedProtocol.of(make_room()),
        backlog=BACKLOG,
        host=host,
        port=port,
        log_config=None,  # its own lines go where ours go
        log_level=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        lifespan="on",
    )
    sock = _bound(config)
    address = f"[{host}]" if ":" in host else host
    if fresh:
        print(f"token      {token}\n           (shown this once)", flush=True)
    print(f"token in   {store.folder / 'serve-token'}", flush=True)
    if host not in _LOOPBACK:
        _aside(
            f"agentkit: {host} can be reached from other machines, and the token travels"
            " unencrypted: put a TLS proxy in front"
        )
    url = f"http://{address}:{sock.getsockname()[1]}"
    _warm_up()
    print(f"serving    {url}", flush=True)
    print(f"page       {_page(url, token, fresh=fresh)}", flush=True)
    uvicorn.Server(config).run(sockets=[sock])


def _page(url: str, token: str, *, fresh: bool) -> str:
    """The link to the page.

    What comes behind ``#`` is never sent to a server, so no log of one keeps the token. A log of
    our own output would: without a terminal it is told once, as the token itself is.
    """
    if fresh or sys.stdout.isatty():
        return f"{url}/#token={token}"
    return f"{url}/ (asks for the token)"


def _warm_up() -> None:
    """Import what sessions need, and take it out of what is searched for garbage.

    A search through all modules stops the event loop for 60 ms, again and again.
    """
    import gc

    import agentkit.models.endpoint
    from agentkit.models._openai import load_openai

    assert agentkit.models.endpoint
    load_openai()
    gc.collect()
    gc.freeze()


def _bound(config: Any) -> Any:
    """The socket; uvicorn's own way ends the process where the port is taken."""
    import socket

    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.host, config.port))
        sock.listen(config.backlog)
    except OSError as error:
        sock.close()
        raise UsageError(
            f"cannot listen on {config.host}:{config.port}: {error.strerror or error}",
            hint="Choose another --port; 0 takes a free one",
        ) from error
    return sock
