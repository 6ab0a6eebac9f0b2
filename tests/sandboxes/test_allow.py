"""The allow-list as users write it, the addresses that are never reached, and the proxy's HTTP."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from agentkit.errors import UsageError
from agentkit.sandboxes._allow import host_name, parse_allow
from agentkit.sandboxes._hello import NotTLS, server_name
from agentkit.sandboxes._proxy import EgressProxy
from agentkit.sandboxes.docker import Docker

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    ("entry", "host", "port", "permitted"),
    [
        ("example.org", "example.org", 443, True),
        ("example.org", "example.org", 80, True),
        ("example.org", "example.org", 22, False),
        ("example.org", "sub.example.org", 443, False),
        ("example.org", "notexample.org", 443, False),
        ("Example.ORG.", "example.org", 443, True),
        ("example.org:8443", "example.org", 8443, True),
        ("example.org:8443", "example.org", 443, False),
        ("example.org:*", "example.org", 22, True),
        ("*.example.org", "a.example.org", 443, True),
        ("*.example.org", "a.b.example.org", 443, True),
        ("*.example.org", "example.org", 443, False),
        ("*.example.org", "evilexample.org", 443, False),
        (".example.org:*", "a.example.org", 9, True),
        ("bücher.example", "xn--bcher-kva.example", 443, True),
        ("10.0.0.5", "10.0.0.5", 443, True),
        ("10.0.0.0/8:5432", "10.9.9.9", 5432, True),
        ("10.0.0.0/8", "11.0.0.1", 443, False),
        ("[2001:db8::1]:8080", "2001:db8::1", 8080, True),
        ("2001:db8::/32", "2001:db8::7", 443, True),
    ],
)
def test_what_an_entry_permits(entry: str, host: str, port: int, permitted: bool) -> None:
    assert parse_allow(f" {entry} ,").permits(host, port) is permitted


@pytest.mark.parametrize(
    "text", ["", ",", "*", "*:443", "https://example.org", "a b", "-a.org", "x:0", "x:99999", "x:y"]
)
def test_an_entry_that_is_none_is_refused_with_words(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Docker(network=f"allow:{text}")
    assert caught.value.hint


@pytest.mark.parametrize("policy", ["", "all", "allow", "None", "deny:x"])
def test_an_unknown_policy_is_refused(policy: str) -> None:
    with pytest.raises(UsageError, match="not known"):
        Docker(network=policy)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.17.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:0:0:0:0:f5ff:fffe",
    ],
)
def test_addresses_that_a_name_may_not_lead_to(address: str) -> None:
    names = parse_allow("example.org:*")
    assert names.refusal(ipaddress.ip_address(address), 443)


def test_public_addresses_and_those_that_were_named() -> None:
    for public in ("1.1.1.1", "2606:4700::1111"):
        assert parse_allow("x.org").refusal(ipaddress.ip_address(public), 443) == ""
    named = parse_allow("x.org,10.0.0.0/8,127.0.0.1:8000")
    assert named.refusal(ipaddress.ip_address("10.1.2.3"), 443) == ""
    assert named.refusal(ipaddress.ip_address("127.0.0.1"), 8000) == ""
    assert named.refusal(ipaddress.ip_address("127.0.0.1"), 8001)
    # Whoever allows everything in figures still does not allow a cloud's secrets.
    every = parse_allow("0.0.0.0/0:*")
    assert "never" in every.refusal(ipaddress.ip_address("169.254.169.254"), 80)


@pytest.mark.parametrize("text", ["", "a..b", "a b", "a\0b", "-x", "x" * 64, "a/b", "é" * 70])
def test_what_is_no_host(text: str) -> None:
    with pytest.raises((ValueError, UnicodeError)):
        host_name(text)


def hello(name: str | None) -> bytes:
    """The first bytes of a real TLS client."""
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    if name is None:
        context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def test_the_server_name_of_a_hello_also_in_pieces() -> None:
    data = hello("some.example.org")
    assert server_name(data) == "some.example.org"
    for cut in range(len(data)):
        assert server_name(data[:cut]) is None
    # The same message in records of 50 bytes each.
    body = data[5:]
    pieces = [body[start : start + 50] for start in range(0, len(body), 50)]
    records = b"".join(b"\x16\x03\x01" + len(each).to_bytes(2, "big") + each for each in pieces)
    assert server_name(records) == "some.example.org"
    assert server_name(hello(None)) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\x03\x03ab",
    ],
)
def test_what_is_no_hello(data: bytes) -> None:
    with pytest.raises(NotTLS):
        server_name(data)


# The proxy itself, with a client on this machine.


@asynccontextmanager
async def running(allow: str) -> AsyncGenerator[EgressProxy]:
    proxy = EgressProxy(parse_allow(allow), "127.0.0.1")
    proxy.client = "127.0.0.1"
    try:
        yield proxy
    finally:
        await asyncio.to_thread(proxy.stop)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncGenerator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def ask(proxy: EgressProxy, data: bytes, limit: float = 10) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    answer = b""
    with suppress(ConnectionResetError):
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), limit)
    writer.close()
    return answer


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the request itself, as long as one arrives."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            size = int(line.partition(b":")[2])
    body = await reader.readexactly(size)
    if b"chunked" in head.lower():
        body = await reader.readuntil(b"0\r\n\r\n")
    answer = head + body
    writer.write(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n" % len(answer)
    )
    writer.write(answer)
    await writer.drain()
    # A second request on this connection would be answered, too.
    with suppress(TimeoutError):
        writer.write(await asyncio.wait_for(reader.read(100), 0.3))


async def test_a_plain_request_goes_to_the_host_that_was_checked() -> None:
    async with serving(echo) as port, running(f"127.0.0.1:{port}") as proxy:
        url = f"http://127.0.0.1:{port}/path?q=1"
        answer = await ask(
            proxy,
            f"POST {url} HTTP/1.1\r\nHost: other.example\r\nProxy-Authorization: Basic x\r\n"
            "Connection: X-Hop\r\nX-Hop: y\r\nUpgrade: websocket\r\nX-Kept: z\r\n"
            "Content-Length: 4\r\n\r\nbody"
            "GET http://127.0.0.1/ HTTP/1.1\r\nHost: other.example\r\n\r\n".encode(),
        )
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in answer
        assert b"keep-alive" not in answer
        assert f"POST /path?q=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode() in answer
        assert answer.count(b"other.example") == 0, "nothing after the body is passed on"
        for dropped in (b"X-Hop", b"Upgrade", b"Basic"):
            assert dropped not in answer
        assert b"X-Kept: z" in answer
        assert answer.endswith(b"body")


async def test_a_chunked_body_passes_and_no_more() -> None:
    async with serving(echo) as port, running(f"127.0.0.1:{port}") as proxy:
        answer = await ask(
            proxy,
            f"PUT http://127.0.0.1:{port}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\nGET / HTTP/1.1\r\n\r\n".encode(),
        )
        assert answer.endswith(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET ftp://127.0.0.1/ HTTP/1.1\r\n\r\n",
        "GET http:///x HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1 HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1:0 HTTP/1.1\r\n\r\n",
        "CONNECT 127.0.0.1:99999 HTTP/1.1\r\n\r\n",
        "POST http://127.0.0.1/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "PUT http://h/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        "POST http://127.0.0.1/ HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "GET http://127.0.0.1/ HTTP/1.1\r\nBad Name : x\r\n\r\n",
        "GET http://127.0.0.1/ HTTP/1.1\r\nX: a\rHost: b\r\n\r\n",
        "nonsense\r\n\r\n",
    ],
)
async def test_what_is_no_proper_request_is_refused(request_text: str) -> None:
    async with running("127.0.0.1") as proxy:
        assert (await ask(proxy, request_text.encode())).startswith(b"HTTP/1.1 400 ")


async def test_a_host_that_is_not_on_the_list_is_named() -> None:
    answer = b""
    async with running("*.example.org,10.0.0.5") as proxy:
        for _ in range(2):
            answer = await ask(proxy, b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 403 evil.example:443 refused by the sandbox")
        assert b"may reach only: *.example.org, 10.0.0.5" in answer
        answer = await ask(proxy, b"CONNECT a.example.org:25 HTTP/1.1\r\n\r\n")
        assert b"not this port" in answer
        assert [(each.host, each.port) for each in proxy.take_refusals()] == [
            ("evil.example", 443),
            ("a.example.org", 25),
        ]
        assert proxy.take_refusals() == []


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "0x7f.1", "2130706433", "[::1]", "0"]
)
async def test_this_machine_is_not_reached_by_any_spelling(host: str) -> None:
    async with serving(echo) as port, running("localhost:*,0x7f.1:*,2130706433:*,0:*") as proxy:
        answer = await ask(proxy, f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
        assert answer.split()[1] in (b"403", b"502"), answer


async def test_a_name_that_changes_its_address_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system's resolver answers with an allowed address first and a private one after."""
    real, asked = socket.getaddrinfo, list[str]()

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "rebind.example":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async with serving(echo) as port:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        async with running(f"rebind.example:*,127.0.0.1:{port}") as proxy:
            get = f"GET http://rebind.example:{port}/ HTTP/1.1\r\n\r\n".encode()
            assert b"200 OK" in await ask(proxy, get)
            assert len(asked) == 1, "the checked address is what is connected to"
            assert b"it resolves to 127.0.0.2, this machine itself" in await ask(proxy, get)


async def test_a_tunnel_must_ask_for_an_allowed_name(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        return real("127.0.0.1" if host == "good.example" else host, port, *args, **kwargs)

    seen: list[bytes] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1 << 16))
        writer.write(b"answer")

    async with serving(server) as port:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        async with running(f"good.example:{port},*.other.example:{port},127.0.0.1:{port}") as proxy:

            async def tunnel(host: str, first: bytes) -> bytes:
                head = f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode()
                return await ask(proxy, head + first)

            fine = (hello("good.example"), hello("a.other.example"), hello(None), b"plain text")
            for first in fine:
                assert (await tunnel("good.example", first)).endswith(b"answer")
            assert seen == list(fine)
            # Two sites at one address: the list names one of them.
            for bad in (hello("evil.example"), b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"):
                assert b"answer" not in await tunnel("good.example", bad)
            assert len(seen) == len(fine) or set(seen[len(fine) :]) == {b""}
            assert [each.host for each in proxy.take_refusals()] == ["evil.example", "(unreadable)"]
            # An address that was named allows whatever answers there.
            assert (await tunnel("127.0.0.1", hello("any.example"))).endswith(b"answer")


async def test_nobody_but_its_sandbox_is_served() -> None:
    async with serving(echo) as port, running(f"127.0.0.1:{port}") as proxy:
        proxy.client = "127.0.0.9"
        assert await ask(proxy, f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n".encode()) == b""


async def test_the_machines_own_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def corporate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head)
        if head.startswith(b"CONNECT"):
            writer.write(b"HTTP/1.1 200 fine\r\n\r\n")
            writer.write(b"tunnelled:" + await reader.read(100))
        else:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nplain")

    async with serving(corporate) as port:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://user:p%40ss@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "direct.invalid")
        async with running("inside.invalid,direct.invalid,127.0.0.1:*") as proxy:
            answer = await ask(proxy, b"CONNECT inside.invalid:443 HTTP/1.1\r\n\r\nhey")
            assert answer.endswith(b"tunnelled:hey")
            assert b"plain" in await ask(proxy, b"GET http://inside.invalid/x HTTP/1.1\r\n\r\n")
            assert b" 502 " in await ask(proxy, b"GET http://direct.invalid/x HTTP/1.1\r\n\r\n")
            assert b" 403 " in await ask(proxy, b"GET http://evil.invalid/x HTTP/1.1\r\n\r\n")
    assert heads[0].startswith(b"CONNECT inside.invalid:443 HTTP/1.1\r\n")
    assert heads[1].startswith(b"GET http://inside.invalid/x HTTP/1.1\r\n")
    assert all(b"Basic dXNlcjpwQHNz" in head for head in heads)
    assert len(heads) == 2
