"""Ask a model at an address, over the ``openai`` package, with bytes in and an ``Answer`` out."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

import anyio

from agentkit.errors import (
    ConcurrencyLimited,
    ModelError,
    ServerFault,
    Stalled,
    StreamCut,
    Unreachable,
    UsageError,
)
from agentkit.models import _client, faults
from agentkit.models._openai import load_openai
from agentkit.models.concurrency import limiter
from agentkit.models.stream import Assembler, Events, completion
from agentkit.models.types import Answer, Delta, DeltaCallback

_T = TypeVar("_T")

DEEPSEEK = "https://api.deepseek.com"

_JSON = {"Content-Type": "application/json", "Accept-Encoding": "identity"}

_PIECE = 128 << 10
"""Bytes of a body that go to the socket at once. Python 3.11's asyncio copies what it could not
send of a write twice, which for a body of 4 MB is a third of the request's cost."""

_PAUSE = 0.025
"""Seconds to let deltas gather once we have caught up with a stream. Waking up for each of 250
deltas a second costs 140 µs; in bunches it is 23 (perf.md, 2026-11), and nobody sees it."""

_CAUGHT_UP = 0.002
"""Seconds of waiting for a chunk that tell a trickle from chunks that were there already."""

_SILENCE = 900.0
"""Seconds of nothing but keep-alives after which an answer counts as stalled. DeepSeek closes
after 600 s without a start (api-docs, 2026-11), so this is for streams that stop in the middle."""

_WHOLE = 7_200.0
"""Seconds that an answer in one piece may take altogether: keep-alives come until it is there, so
nothing tells earlier that it never will be. 384K tokens take that long at 53 a second."""

_FAREWELL = 1.0
"""Seconds that a provider may take to close an answer after its terminator."""


class Endpoint:
    """An address and a key. Cheap to make; the connections are shared within an event loop.

    Works under asyncio and trio. The key appears in no error and no ``repr``.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._api_key = api_key

    def __repr__(self) -> str:
        return f"Endpoint({self.base_url!r})"

    async def ask(
        self,
        body: bytes,
        *,
        stream: bool,
        on_delta: DeltaCallback | None = None,
        idle_timeout: float = 300.0,
        path: str = "/chat/completions",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a body as it is and give the whole answer, or raise; nothing is tried twice.

        Where the provider has stated how many requests it allows at once, it first waits its
        turn (``agentkit.models.concurrency``).

        Args:
            body: as ``wire.body`` makes it; its tail must say the same about ``stream``.
            on_delta: shown pieces, joined per read; only with ``stream``.
            idle_timeout: seconds without a byte; keep-alives count as a sign of life.
            path: under the base URL; ``/beta/…`` is looked up beside DeepSeek's ``/v1``.
            headers: more of them, for instance a trace's context.

        Raises:
            ModelError: one of its kinds, see ``agentkit.errors``.
        """
        limits = limiter(self.base_url, self._api_key)
        try:
            async with limits.slot():
                return await self._ask(body, stream, on_delta, idle_timeout, path, headers)
        except ConcurrencyLimited as error:
            limits.lower(error.concurrency)
            raise

    async def _ask(
        self,
        body: bytes,
        stream: bool,
        on_delta: DeltaCallback | None,
        idle: float,
        path: str,
        headers: Mapping[str, str] | None,
    ) -> Answer:
        if not stream:
            with self._within(_WHOLE):
                response = await self._post(path, body, idle, headers, stream=stream)
            return self._whole(response.content, response.headers)
        response = await self._post(path, body, idle, headers, stream=stream)
        try:
            # Small servers do not stream, whatever they are asked for.
            if "json" in response.headers.get("content-type", ""):
                with self._in_mid_answer(idle, faults.request_id(response.headers)):
                    with self._within(_WHOLE):
                        data = await response.aread()
                    return self._whole(data, response.headers)
            return await self._read(response, on_delta, idle)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def models(self) -> list[str]:
        """The names that the provider says it serves (``GET /models``)."""
        data = await self._get("/models")
        try:
            return [str(entry["id"]) for entry in data["data"]]
        except (LookupError, TypeError) as error:
            raise ServerFault("the list of models is not one") from error

    async def balance(self) -> dict[str, Any]:
        """The account's money (``GET /user/balance``).

        ``is_available`` and ``balance_infos``, with amounts as strings (api-docs, 2026-11).
        Other providers raise ``RequestInvalid``.
        """
        data = await self._get("/user/balance")
        if not isinstance(data, dict):
            raise ServerFault("the balance is not an object")
        return cast("dict[str, Any]", data)

    async def aclose(self) -> None:
        """Leave the shared client of this event loop; the last one out closes it."""
        await _client.release(self.base_url, self._api_key, self)

    async def _post(
        self, path: str, body: bytes, idle: float, more: Mapping[str, str] | None, *, stream: bool
    ) -> Any:
        if path.startswith("/beta/"):
            path = self.base_url.removesuffix("/v1") + path
        async with self._translated(_model_in(body)) as client:
            import httpx2  # the client's making has loaded it, outside of the event loop

            return await client.post(
                path,
                cast_to=httpx2.Response,
                content=_pieces(body) if len(body) > _PIECE else body,
                options={
                    "headers": {**_JSON, "Content-Length": str(len(body)), **(more or {})},
                    "timeout": _client.timeout(idle),
                },
                stream=stream,
                stream_cls=load_openai().AsyncStream if stream else None,
            )

    async def _get(self, path: str) -> Any:
        async with self._translated() as client:
            import httpx2

            response = await client.get(
                path, cast_to=httpx2.Response, options={"timeout": _client.timeout(30)}
            )
        try:
            return json.loads(response.content)
        except ValueError as error:
            raise ServerFault(f"{path} did not answer with JSON") from error

    def _whole(self, data: bytes, headers: Mapping[str, str]) -> Answer:
        """An answer that came in one piece, be it a body or a stream of events."""
        request_id = faults.request_id(headers)
        if not data.lstrip().startswith(b"data:"):
            return self._named(completion, data, request_id)
        assembler = Assembler(request_id)
        self._named(_deltas, Events(), assembler, data + b"\n")
        return assembler.answer()

    async def _read(self, response: Any, on_delta: DeltaCallback | None, idle: float) -> Answer:
        request_id = faults.request_id(response.headers)
        events, assembler = Events(), Assembler(request_id)
        try:
            with self._in_mid_answer(idle, request_id):
                await self._follow(response, events, assembler, on_delta)
        except (Stalled, StreamCut):
            if not assembler.done:  # after the terminator nothing is missing
                raise
        self._named(_deltas, events, assembler, b"\n")  # a last line without its end
        return assembler.answer()

    async def _follow(
        self, response: Any, events: Events, assembler: Assembler, on_delta: DeltaCallback | None
    ) -> None:
        """Read a stream to its end: only there is the connection free again."""
        packed = "content-encoding" in response.headers  # although we ask for none
        chunks = response.aiter_bytes() if packed else response.aiter_raw()
        with anyio.fail_after(_SILENCE) as scope:
            asked = anyio.current_time()
            async for chunk in chunks:
                if assembler.done:
                    continue
                waited = anyio.current_time() - asked
                deltas = self._named(_deltas, events, assembler, chunk)
                if deltas and on_delta:
                    _show(deltas, on_delta)
                if deltas or assembler.done:
                    rest = _FAREWELL if assembler.done else _SILENCE
                    scope.deadline = anyio.current_time() + rest
                if deltas and not assembler.done and waited > _CAUGHT_UP:
                    await anyio.sleep(_PAUSE)
                asked = anyio.current_time()

    @contextmanager
    def _within(self, seconds: float) -> Generator[None, None, None]:
        with anyio.CancelScope(deadline=anyio.current_time() + seconds) as scope:
            yield
        if scope.cancelled_caught:
            raise Stalled(f"{self.base_url} sent only keep-alives for {seconds:g} s")

    @contextmanager
    def _in_mid_answer(self, idle: float, request_id: str) -> Generator[None, None, None]:
        """What the transport raises after the answer began, as our errors."""
        import httpx2

        try:
            yield
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise self._stalled(idle, request_id) from error
        except httpx2.TransportError as error:
            what = f"the connection broke in mid-answer ({type(error).__name__})"
            raise StreamCut(what, request_id=request_id) from error

    @asynccontextmanager
    async def _translated(self, model: str = "") -> AsyncGenerator[Any, None]:
        """The client, with the package's errors turned into ours."""
        client = await _client.acquire(self.base_url, self._api_key, self)
        openai = load_openai()
        try:
            yield client
        except openai.APIStatusError as error:
            response = error.response
            text = self._without_key(response.text)
            raise faults.classify(
                response.status_code, text, response.headers, model=model
            ) from None
        except openai.APITimeoutError as error:
            cause = type(error.__cause__).__name__
            if cause == "ReadTimeout":
                raise self._stalled(None, "") from None
            raise self._unreachable(cause) from None
        except openai.APIConnectionError as error:
            cause = f"{type(error.__cause__).__name__}: {error.__cause__}"
            if re.search("without sending complete|not completed", cause):  # httpx2, aiohttp
                raise StreamCut("the connection broke in mid-answer") from None
            raise self._unreachable(cause) from None

    def _named(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Call a parser; what it quotes of the provider's text must not hold the key."""
        try:
            return function(*arguments)
        except ModelError as error:
            error.what = self._without_key(error.what)
            raise

    def _without_key(self, text: str) -> str:
        return text.replace(self._api_key, "***") if len(self._api_key) > 3 else text

    def _unreachable(self, cause: str) -> Unreachable:
        return Unreachable(
            f"no answer from {self.base_url} ({self._without_key(cause)})",
            hint="Check the network and the base URL",
        )

    def _stalled(self, idle: float | None, request_id: str) -> Stalled:
        span = f" for {idle:g} s" if idle else " past the idle limit"
        return Stalled(f"{self.base_url} was silent{span}", request_id=request_id)


def connect(base_url: str = "", api_key: str = "") -> Endpoint:
    """An endpoint; without an address, DeepSeek's own.

    Raises:
        UsageError: the address is not an http(s) one, or the key cannot be sent in a header.
    """
    url = base_url or DEEPSEEK
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"the base URL {url!r} does not start with http:// or https://")
    key = api_key.strip()
    if not key.isascii() or not key.isprintable():
        raise UsageError("the API key holds characters that no key has", hint="Copy it again")
    return Endpoint(url, key)


def _deltas(events: Events, assembler: Assembler, chunk: bytes) -> list[Delta]:
    return [delta for payload in events.feed(chunk) for delta in assembler.feed(payload)]


def _show(deltas: list[Delta], on_delta: DeltaCallback) -> None:
    """Join neighbours of one kind: one call per read and kind is enough for a display."""
    kind, texts = deltas[0].kind, [deltas[0].text]
    for delta in deltas[1:]:
        if delta.kind != kind:
            on_delta(Delta(kind, "".join(texts)))
            kind, texts = delta.kind, []
        texts.append(delta.text)
    on_delta(Delta(kind, "".join(texts)))


async def _pieces(body: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]


def _model_in(body: bytes) -> str:
    """The model's name, which ``wire.head`` puts first, for the hint about retired names."""
    start = body[:200].decode("utf-8", "replace")
    return start.partition('"model":"')[2].partition('"')[0]
