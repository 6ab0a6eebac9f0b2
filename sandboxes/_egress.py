"""The network of sandboxes with an allow-list: internal, without a way between them, one way out.

All share one network, since an engine has addresses for about thirty. It is "internal": the engine
routes nothing in or out of it. What remains is its gateway, an address of this machine: our proxy
listens there, and so does every service of this machine that listens on all addresses. Those are
closed off with a firewall rule where we may set one, and named where we may not.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit.errors import SandboxError
from agentkit.sandbox import Progress
from agentkit.sandboxes._allow import AllowList
from agentkit.sandboxes._engine import Engine
from agentkit.sandboxes._proxy import EgressProxy
from agentkit.sandboxes._shield import shielded

__all__ = ["NETWORK", "NOWHERE", "PORTS", "Egress", "open_egress", "remove_network"]

NETWORK = "agentkit-egress"
NOWHERE = "0.0.0.0"
"""The name server inside: the sandbox itself, where none listens, so that asking fails at once.
Names are resolved by the proxy; a question to any real server would be a way out by itself."""
PORTS = range(47100, 48100)
"""Where our proxies listen, so that one firewall rule can tell them from everything else."""
_COMMENT = "agentkit sandboxes reach only their proxies"


@dataclass(frozen=True, slots=True)
class Egress:
    """A sandbox's way out, before the sandbox exists."""

    proxy: EgressProxy
    exposed: tuple[int, ...] = ()
    """Ports of services of this machine that the sandbox can reach, and no rule could close."""

    @property
    def environment(self) -> dict[str, str]:
        return proxy_environment(self.proxy.url)


def proxy_environment(url: str) -> dict[str, str]:
    """The variables by which programs find a proxy; programs differ in the case they look for."""
    here = "localhost,127.0.0.1,::1"
    upper = {"HTTP_PROXY": url, "HTTPS_PROXY": url, "ALL_PROXY": url, "NO_PROXY": here}
    return upper | {name.lower(): value for name, value in upper.items()}


async def open_egress(
    engine: Engine, allow: AllowList, progress: Progress, *, port: int = 0
) -> Egress:
    """Have the network, and a proxy listening on its gateway.

    Args:
        port: where an earlier process listened for the same sandbox.

    Raises:
        SandboxError: the engine's network is not on this machine.
    """

    def work() -> Egress:
        facts = _network(engine)
        gateway: str = facts["IPAM"]["Config"][0]["Gateway"]
        proxy = _listen(allow, gateway, port, engine.address)
        return Egress(proxy, () if _close_off(_bridge(facts)) else _exposed(gateway))

    egress = await shielded(lambda: engine.call(work))
    if egress.exposed:
        ports = ", ".join(str(port) for port in egress.exposed)
        progress(
            f"the sandbox can reach services of this machine on port {ports}: they listen on all"
            " addresses, and only root can close them off with a firewall rule"
        )
    return egress


async def remove_network(engine: Engine) -> bool:
    """Remove the network and its rule, unless a sandbox still uses it."""

    def work() -> bool:
        from docker.errors import APIError

        removed = False
        for facts in engine.api.networks(names=[NETWORK]):
            if facts["Name"] != NETWORK:
                continue
            try:
                engine.api.remove_network(facts["Id"])
            except APIError:
                continue
            for rule in _rules(_bridge(facts)):
                _iptables("-D", rule)
            removed = True
        return removed

    return await engine.call(work)


def _bridge(facts: dict[str, Any]) -> str:
    return f"br-{facts['Id'][:12]}"


def _network(engine: Engine) -> dict[str, Any]:
    """Find the network, or make it; two processes that do so at once end up with the same one."""
    from docker.errors import APIError

    if not (found := _find(engine)):
        try:
            engine.api.create_network(
                NETWORK,
                driver="bridge",
                internal=True,
                check_duplicate=True,
                options={"com.docker.network.bridge.enable_icc": "false"},
                labels={"agentkit.network": "egress"},
            )
        except APIError as error:
            if error.status_code != 409:
                raise
        found = _find(engine)
    if not found[0]["Internal"]:
        raise SandboxError(
            f"the network {NETWORK} is not internal: whatever is in it could reach everything",
            tried="somebody else made it",
            hint=f"Remove it (docker network rm {NETWORK}) and try again",
        )
    return found[0]


def _find(engine: Engine) -> list[dict[str, Any]]:
    # The engine's filter takes parts of names, too.
    found = [each for each in engine.api.networks(names=[NETWORK]) if each["Name"] == NETWORK]
    found.sort(key=lambda each: (each["Created"], each["Id"]))
    return [engine.api.inspect_network(found[0]["Id"])] if found else []


def _listen(allow: AllowList, gateway: str, port: int, engine: str) -> EgressProxy:
    # Processes start at different places, so that they seldom try the same port.
    start = os.getpid() % len(PORTS)
    ports = [port] if port else [*PORTS[start:], *PORTS[:start]]
    problem: OSError | None = None
    for each in ports:
        try:
            return EgressProxy(allow, gateway, each)
        except OSError as error:
            problem = error
            if error.errno == 99:  # EADDRNOTAVAIL
                break
    raise SandboxError(
        f"the sandbox's network cannot be reached from here: {problem}",
        tried=f"listening on {gateway}, the gateway of {NETWORK} at {engine}",
        hint=(
            "An allow-list needs an engine that runs on this machine and not rootless or in a VM;"
            " otherwise choose --network none or open"
        ),
    )


def _close_off(bridge: str) -> bool:
    """Let nothing but our proxies' ports through from that bridge; False where we may not."""
    # What is put in front of everything else last stands first.
    return all(_iptables("-C", rule) or _iptables("-I", rule) for rule in _rules(bridge))


def _rules(bridge: str) -> list[list[str]]:
    ports = ["-m", "multiport", "!", "--dports", f"{PORTS.start}:{PORTS.stop - 1}"]
    end = ["-m", "comment", "--comment", _COMMENT, "-j", "REJECT"]
    return [
        ["INPUT", "-i", bridge, "-p", "tcp", *ports, *end],
        ["INPUT", "-i", bridge, "!", "-p", "tcp", *end],
        # The engine drops these; a program that knows no proxy should hear it at once.
        ["FORWARD", "-i", bridge, *end],
    ]


def _iptables(action: str, rule: list[str]) -> bool:
    program = shutil.which("iptables", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if os.geteuid() != 0 or program is None:
        return False
    command = [program, "-w", "5", action, *rule]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _exposed(gateway: str) -> tuple[int, ...]:
    """Ports on which something of this machine listens at the gateway, or at all addresses."""
    ports: set[int] = set()
    for name, any_address in (("tcp", "0" * 8), ("tcp6", "0" * 32)):
        ours = socket.inet_aton(gateway)[::-1].hex().upper()
        for line in _lines(f"/proc/net/{name}"):
            words = line.split()
            address, _, port = words[1].partition(":")
            listening = words[3] == "0A"
            if listening and address in (any_address, ours) and int(port, 16) not in PORTS:
                ports.add(int(port, 16))
    return tuple(sorted(ports))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()[1:]
    except OSError:
        return []
