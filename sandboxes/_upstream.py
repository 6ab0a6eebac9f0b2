"""How our proxy reaches a host: directly, or through the proxy that this machine itself uses."""

from __future__ import annotations

import asyncio
import base64
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from agentkit.sandboxes._http import Request, read_head

__all__ = ["Upstream", "upstream_for"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """A checked way to one host."""

    host: str
    port: int
    addresses: tuple[str, ...] = ()
    """The addresses that may be connected to."""
    proxy: tuple[str, int] | None = None
    authorization: str = ""

    def to(self, addresses: tuple[str, ...]) -> Upstream:
        return replace(self, addresses=addresses)

    def plain_target(self, request: Request) -> str:
        """What stands in the first line of a plain request."""
        if self.proxy is None:
            return request.target
        return f"http://{request.authority}{request.target}"

    async def connect(self, *, tunnel: bool) -> tuple[StreamReader, StreamWriter]:
        """Connect to a checked address, or to the machine's own proxy.

        Raises:
            OSError: none answers.
        """
        if self.proxy is None:
            return await _first_that_answers(self.addresses, self.port)
        reader, writer = await asyncio.open_connection(*self.proxy)
        if tunnel:
            try:
                await self._ask(reader, writer)
            except BaseException:
                writer.close()
                raise
        return reader, writer

    async def _ask(self, reader: StreamReader, writer: StreamWriter) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authorization = (
            f"Proxy-Authorization: {self.authorization}\r\n" if self.authorization else ""
        )
        line = f"{host}:{self.port}"
        writer.write(f"CONNECT {line} HTTP/1.1\r\nHost: {line}\r\n{authorization}\r\n".encode())
        await writer.drain()
        head = await read_head(reader)
        if head.first.split(" ")[1:2] != ["200"]:
            raise ConnectionError(f"this machine's proxy answers: {head.first}")


def upstream_for(scheme: str, host: str, port: int) -> Upstream:
    """Look up HTTP_PROXY, HTTPS_PROXY and NO_PROXY of this process, which only it ever sees."""
    direct = Upstream(host, port)
    address = getproxies_environment().get(scheme)
    if not address or proxy_bypass(f"{host}:{port}"):
        return direct
    parts = urlsplit(address if "//" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        return direct
    word = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        word = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return replace(direct, proxy=(parts.hostname, parts.port or 80), authorization=word)


async def _first_that_answers(
    addresses: tuple[str, ...], port: int
) -> tuple[StreamReader, StreamWriter]:
    problem: OSError = ConnectionError("it has no address")
    for address in addresses:
        try:
            return await asyncio.open_connection(address, port)
        except OSError as error:
            problem = error
    raise problem
