"""The way out of a sandbox with an allow-list: an HTTP and CONNECT proxy in our own process.

It has a thread and an event loop of its own, so that it works whatever the caller's loop does. A
name is resolved here, each address is checked, and the connection goes to the checked address: a
name that resolves to something else a moment later (DNS rebinding) gains nothing. Within a tunnel
the first TLS message must ask for an allowed name, since many sites share one address.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from dataclasses import dataclass

from agentkit.sandboxes._allow import AllowList, host_name
from agentkit.sandboxes._hello import NotTLS, server_name
from agentkit.sandboxes._http import BadRequest, Head, Request, copy_body, read_head, read_request
from agentkit.sandboxes._upstream import Upstream, upstream_for

__all__ = ["EgressProxy", "Refusal"]

_CONNECT_LIMIT = 20.0
_HEAD_LIMIT = 60.0
_IDLE_LIMIT = 900.0
_CHUNK = 1 << 16
_MOST_CONNECTIONS = 256
_MOST_REFUSALS = 50


@dataclass(frozen=True, slots=True)
class Refusal:
    """A host that was asked for and not reached, and why."""

    host: str
    port: int
    reason: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port} was refused: {self.reason}"


class _Refused(Exception):
    def __init__(self, host: str, port: int, reason: str, status: int = 403) -> None:
        # It is printed, and stands in a status line: nothing of the asker's own choice but ASCII.
        shown = "".join(char for char in host if 0x20 < ord(char) < 0x7F)[:100]
        self.refusal = Refusal(shown, port, reason)
        self.status = status
        super().__init__(str(self.refusal))


class EgressProxy:
    """One sandbox's proxy.

    Args:
        address: where to listen: the gateway of the sandboxes' network.
        port: 0 for any that is free.
    """

    def __init__(self, allow: AllowList, address: str, port: int = 0) -> None:
        self.allow = allow
        self.client = ""
        """The sandbox's own address, once it has one; nobody else is served."""
        self._listener = _listen(address, port)
        self.address: str = address
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._refused: dict[Refusal, None] = {}
        self._lock = threading.Lock()
        self._open = 0
        self._thread = threading.Thread(target=self._run, name="agentkit-egress", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def take_refusals(self) -> list[Refusal]:
        """What was refused since this was last asked, each once."""
        with self._lock:
            refused, self._refused = list(self._refused), {}
        return refused

    def stop(self) -> None:
        """Close every connection and the thread. Safe to call twice."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._listener, limit=_CHUNK)
        )
        try:
            loop.run_forever()
        finally:
            server.close()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._open += 1
        try:
            peer = writer.get_extra_info("peername")
            if peer and peer[0] == self.client and self._open <= _MOST_CONNECTIONS:
                await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            # The other side left, or says what is no HTTP: there is nobody to tell.
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_LIMIT):
                request = await read_request(reader)
            target = await self._target(request)
            if request.method == "CONNECT":
                await self._tunnel(request, target, reader, writer)
            else:
                await self._forward(request, target, reader, writer)
        except BadRequest as error:
            await _say(writer, 400, "Bad request", str(error))
        except _Refused as refused:
            await self._refuse(refused, writer)

    async def _refuse(self, refused: _Refused, writer: StreamWriter) -> None:
        self._note(refused.refusal)
        words = f"{refused.refusal.host}:{refused.refusal.port} refused by the sandbox"
        await _say(
            writer, refused.status, words, f"agentkit: {refused.refusal}.\n{self.how_to_allow}\n"
        )

    @property
    def how_to_allow(self) -> str:
        return f"This sandbox may reach only: {self.allow}. Its user can add hosts to the list."

    def _note(self, refusal: Refusal) -> None:
        with self._lock:
            if len(self._refused) < _MOST_REFUSALS:
                self._refused[refusal] = None

    async def _target(self, request: Request) -> Upstream:
        """The checked way to the host that is asked for."""
        try:
            host = host_name(request.host)
        except (ValueError, UnicodeError) as error:
            raise _Refused(request.host, request.port, "it is no host's name") from error
        port = request.port
        if not self.allow.permits(host, port):
            raise _Refused(host, port, self._why_not(host))
        upstream = upstream_for("https" if request.method == "CONNECT" else "http", host, port)
        try:
            async with asyncio.timeout(_CONNECT_LIMIT):
                found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as error:
            if upstream.proxy:
                # The network's own proxy resolves names that this machine cannot.
                return upstream
            raise _Refused(host, port, "its name cannot be resolved", 502) from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        reasons = {
            each: self.allow.refusal(ipaddress.ip_address(each.partition("%")[0]), port)
            for each in addresses
        }
        good = tuple(each for each in addresses if not reasons[each])
        if not good:
            first = addresses[0]
            reason = f"it resolves to {first}, {reasons[first]}"
            if "never" not in reason:
                reason += f" (its user can allow that by adding {first} to the list)"
            raise _Refused(host, port, reason)
        return upstream.to(good)

    def _why_not(self, host: str) -> str:
        if any(rule.has_name(host) for rule in self.allow.rules):
            return "the list allows this host, but not this port"
        return "it is not on the sandbox's allow-list"

    async def _tunnel(
        self, request: Request, target: Upstream, reader: StreamReader, writer: StreamWriter
    ) -> None:
        there, back = await self._connect(request, target)
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            answers = asyncio.create_task(_pipe(there, writer))
            try:
                await self._check_hello(request, reader, back)
                await _pipe(reader, back)
                await answers
            finally:
                answers.cancel()
        finally:
            back.close()

    async def _check_hello(
        self, request: Request, reader: StreamReader, back: StreamWriter
    ) -> None:
        """Let the client's first bytes pass, if they ask for nothing but an allowed name.

        Raises:
            ConnectionError: they ask for another name.
        """
        data = b""
        while True:
            piece = await _piece(reader)
            data += piece
            try:
                name = server_name(data) if piece else ""
            except NotTLS:
                name = "" if data[:1] != b"\x16" else "(unreadable)"
            if name is not None:
                break
        if name and not self._may_ask(name, request):
            shown = "".join(char for char in name if 0x20 < ord(char) < 0x7F)[:100]
            reason = f"a tunnel to {request.host} asked for it, and it is not on the allow-list"
            self._note(Refusal(shown, request.port, reason))
            raise ConnectionError(shown)
        back.write(data)
        await back.drain()

    def _may_ask(self, name: str, request: Request) -> bool:
        with suppress(ValueError, UnicodeError):
            host = host_name(request.host)
            # Whoever allowed an address allowed whatever answers there.
            return _is_address(host) or self.allow.permits(host_name(name), request.port)
        return False

    async def _forward(
        self, request: Request, target: Upstream, reader: StreamReader, writer: StreamWriter
    ) -> None:
        there, back = await self._connect(request, target)
        try:
            back.write(request.head_for(target.plain_target(request), target.authorization))
            async with asyncio.timeout(_IDLE_LIMIT):
                await copy_body(reader, back, request.body)
                head = await read_head(there)
            writer.write(_closing(head))
            await writer.drain()
            await _pipe(there, writer)
        finally:
            back.close()

    async def _connect(
        self, request: Request, target: Upstream
    ) -> tuple[StreamReader, StreamWriter]:
        try:
            async with asyncio.timeout(_CONNECT_LIMIT):
                return await target.connect(tunnel=request.method == "CONNECT")
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            why = f"no connection ({error or 'no answer'})"
            raise _Refused(request.host, request.port, why, 502) from error


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _closing(head: Head) -> bytes:
    """The answer's head, for a connection that serves one request."""
    kept = [(name, value) for name, value in head.fields if name.lower() not in _HOP]
    lines = [head.first, *(f"{name}: {value}" for name, value in kept), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "proxy-authenticate"})


async def _piece(reader: StreamReader) -> bytes:
    async with asyncio.timeout(_IDLE_LIMIT):
        return await reader.read(_CHUNK)


async def _pipe(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await _piece(reader):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        with suppress(OSError):
            writer.write_eof()


async def _say(writer: StreamWriter, status: int, reason: str, body: str) -> None:
    data = body.encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode("latin-1", "replace") + data)
    await writer.drain()
