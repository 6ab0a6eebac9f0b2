"""Which hosts a sandbox may reach: the list as the user wrote it, and what may never be reached."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from agentkit.errors import UsageError

__all__ = ["Address", "AllowList", "host_name", "parse_allow"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WEB_PORTS = frozenset({80, 443})
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of the list."""

    text: str
    ports: frozenset[int] | None
    """None is any port."""
    name: str = ""
    """A host's name; with a leading dot, every name below it."""
    network: Network | None = None

    def has_port(self, port: int) -> bool:
        return self.ports is None or port in self.ports

    def has_name(self, name: str) -> bool:
        if self.name.startswith("."):
            return name.endswith(self.name)
        return bool(self.name) and name == self.name


@dataclass(frozen=True, slots=True)
class AllowList:
    """What ``allow:HOST,…`` means.

    A name allows ports 80 and 443, ``name:8443`` that port, ``name:*`` every port; ``*.name``
    means every name below it, at any depth, and not the name itself. An address, or a network
    such as ``10.1.0.0/16``, may be reached itself, and allowed names may resolve to it even
    though it is private.
    """

    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        return ", ".join(rule.text for rule in self.rules)

    def permits(self, host: str, port: int) -> bool:
        """Whether the list names this host (a name, or an address in its usual form)."""
        address = _address(host)
        if address is not None:
            return self._covers(address, port)
        return any(rule.has_name(host) and rule.has_port(port) for rule in self.rules)

    def refusal(self, address: Address, port: int) -> str:
        """What kind of address this is, where an allowed name may not lead to it; else ""."""
        address = _unwrapped(address)
        if address.is_link_local or address.is_multicast or address.is_unspecified:
            return "a link-local or metadata address, which is never reachable"
        if self._covers(address, port):
            return ""
        if address.is_loopback:
            return "this machine itself"
        if not address.is_global or address.is_reserved:
            return "a private address"
        return "an address of this machine" if _own(address) else ""

    def _covers(self, address: Address, port: int) -> bool:
        return any(
            rule.network is not None and address in rule.network and rule.has_port(port)
            for rule in self.rules
        )


def parse_allow(text: str) -> AllowList:
    """Read the list behind ``allow:``.

    Raises:
        UsageError: it is empty, or an entry is neither a host nor an address.
    """
    entries = [entry.strip() for entry in text.split(",")]
    rules = tuple(_rule(entry) for entry in entries if entry)
    if not rules:
        raise UsageError(
            "allow: names no host", hint="For instance allow:example.org,*.example.net,10.0.0.5:80"
        )
    return AllowList(rules)


def host_name(text: str) -> str:
    """A host in the one form that is compared: lower case, ASCII, without the last dot.

    Raises:
        ValueError: it is no host's name and no address.
    """
    bare = text.strip().removesuffix(".").lower()
    if (address := _address(bare.strip("[]"))) is not None:
        return str(address)
    if not bare.isascii():
        bare = bare.encode("idna").decode("ascii")
    labels = bare.split(".")
    if len(bare) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{text!r} is no host's name")
    return bare


def _rule(entry: str) -> Rule:
    hint = "Write a host, *.host, host:port, host:*, an address, or a network such as 10.1.0.0/16"
    if "//" in entry:
        raise UsageError(f"allow: takes hosts, not addresses of pages: {entry!r}", hint=hint)
    if entry == "*" or entry.startswith("*:"):
        raise UsageError("allow:* is every host", hint="If that is meant, say --network open")
    host, ports = _split_port(entry, hint)
    try:
        return Rule(entry, ports, network=ipaddress.ip_network(host.strip("[]"), strict=False))
    except ValueError:
        pass
    wild = host.startswith(("*.", "."))
    try:
        name = host_name(host.removeprefix("*").removeprefix(".") if wild else host)
    except (ValueError, UnicodeError) as error:
        raise UsageError(f"allow: cannot take {entry!r}: {error}", hint=hint) from error
    return Rule(entry, ports, name=f".{name}" if wild else name)


def _split_port(entry: str, hint: str) -> tuple[str, frozenset[int] | None]:
    host, colon, port = entry.rpartition(":")
    if not colon or "]" in port or (":" in host and not host.endswith("]")):
        return entry, WEB_PORTS
    if port == "*":
        return host, None
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"allow: {entry!r} has no port that exists", hint=hint)
    return host, frozenset({int(port)})


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, by any of the ways to write one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _own(address: Address) -> bool:
    """Whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
