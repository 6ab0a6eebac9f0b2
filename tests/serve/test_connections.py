"""Connections are bounded: how many there are, and how long one may say nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import anyio
import uvicorn

from agentkit.serve.connections import BoundedProtocol


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers at once, or on /slow in pieces that take longer than a silent connection lives."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        for _ in range(5):
            await send({"type": "http.response.body", "body": b"piece ", "more_body": True})
            await anyio.sleep(0.1)
    await send({"type": "http.response.body", "body": b"end"})


@contextmanager
def serving(most: int, silence: float = 60.0) -> Generator[Callable[[], socket.socket]]:
    """A real server; the function opens a connection to it."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=BoundedProtocol.of(most, silence), lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    with ExitStack() as opened:

        def connect() -> socket.socket:
            made = socket.create_connection(listening.getsockname(), timeout=30)
            return opened.enter_context(made)

        try:
            yield connect
        finally:
            server.should_exit = True
            thread.join(30)
            listening.close()


def ask(connection: socket.socket, path: str = "/") -> str:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    return rest(connection)


def rest(connection: socket.socket) -> str:
    """What comes until the server ends the connection."""
    return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_one_too_many_is_refused_until_another_has_gone() -> None:
    with serving(most=3) as connect:
        kept = [connect() for _ in range(3)]
        head, _, body = rest(connect()).partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 503 ")
        assert json.loads(body)["status"] == 503
        kept[0].close()
        give_up = time.monotonic() + 30
        answer = ""
        while not answer.startswith("HTTP/1.1 200 "):
            assert time.monotonic() < give_up, answer
            with suppress(ConnectionError):  # refused before we asked
                answer = ask(connect())
        assert ask(kept[1]).startswith("HTTP/1.1 200 ")


def test_who_sends_no_request_or_half_of_one_is_let_go() -> None:
    with serving(most=9, silence=0.2) as connect:
        silent, half = connect(), connect()
        half.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert rest(silent) == ""
        assert rest(half) == ""


def test_an_answer_may_take_longer() -> None:
    with serving(most=9, silence=0.2) as connect:
        assert ask(connect(), "/slow").count("piece") == 5


def test_half_of_the_files_are_left_to_sessions() -> None:
    code = "from agentkit.serve.connections import make_room; print(make_room())"
    command = f"ulimit -n 1000; exec {sys.executable} -c '{code}'"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "372\n"
