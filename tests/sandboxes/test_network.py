"""What a sandbox can reach under each policy, tried from inside by every way out that we know."""

from __future__ import annotations

import http.server
import ipaddress
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from agentkit import Agent
from agentkit.events import ToolFinished
from agentkit.log import read
from agentkit.sandboxes import Docker
from agentkit.sandboxes._egress import PORTS
from agentkit.sandboxes.docker import DockerSandbox
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.tools import preset

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


async def sh(sandbox: DockerSandbox, command: str, timeout: float = 60) -> tuple[int, str]:
    result = await sandbox.exec(command, timeout=timeout)
    return result.exit_code, result.output.data.decode("utf-8", "replace")


class Site(http.server.BaseHTTPRequestHandler):
    """A host service; /away sends the visitor elsewhere."""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://forbidden.example/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = f"site {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    """A service of this machine that listens on all its addresses; its port."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Site)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
async def listed(workspace: Path, site: int) -> AsyncIterator[DockerSandbox]:
    """A sandbox that may reach the site, under its loopback address, and nothing else."""
    provider = Docker(workspace=workspace, network=f"allow:127.0.0.1:{site},*.allowed.example")
    sandbox = await provider.open("network-test")
    yield sandbox
    await sandbox.close()


CONNECT = """python3 - <<'END'
import socket
for family, address in [{targets}]:
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        try:
            s.connect(address)
            print("REACHED", address)
        except OSError as error:
            print("no", address, error)
END"""


async def test_none_has_no_way_out(workspace: Path, site: int) -> None:
    sandbox = await Docker(workspace=workspace).open("network-test")
    try:
        _, names = await sh(sandbox, "ls /sys/class/net")
        assert names.split() == ["lo"]
        targets = f'(socket.AF_INET, ("172.17.0.1", {site})), (socket.AF_INET, ("1.1.1.1", 443))'
        _, told = await sh(sandbox, CONNECT.format(targets=targets))
        assert "REACHED" not in told
        assert (await sh(sandbox, "env | grep -i _proxy || printf 'env: no proxy'"))[
            1
        ] == "env: no proxy"
        assert sandbox.notices() == []
    finally:
        await sandbox.close()


async def test_an_allowed_host_answers_and_others_are_named(
    listed: DockerSandbox, site: int
) -> None:
    # curl would go to an address of "no proxy" directly; the site has only the proxy's loopback.
    get = f"curl -sS -m 10 --noproxy '' http://127.0.0.1:{site}"
    assert await sh(listed, f"{get}/") == (0, f"site 127.0.0.1:{site}")
    # Through a tunnel, too.
    assert await sh(listed, f"{get}/ --proxytunnel") == (0, f"site 127.0.0.1:{site}")
    # A lie about the host changes nothing.
    assert await sh(listed, f"{get}/ -H 'Host: forbidden.example'") == (
        0,
        f"site 127.0.0.1:{site}",
    )
    # A redirect leads nowhere.
    code, told = await sh(listed, f"{get}/away -L")
    assert "forbidden.example:80 was refused" in told
    code, told = await sh(listed, "curl -sS -m 10 https://forbidden.example/ 2>&1")
    assert code != 0
    assert "403" in told
    notices = listed.notices()
    assert notices[0] == "forbidden.example:80 was refused: it is not on the sandbox's allow-list"
    assert any(note.startswith("forbidden.example:443 was refused") for note in notices)
    assert "127.0.0.1" in notices[-1]
    assert "*.allowed.example" in notices[-1]
    assert listed.notices() == []


async def test_the_model_reads_which_host_was_refused(workspace: Path) -> None:
    def call(command: str) -> Reply:
        return Reply(calls=[Call("bash", {"command": command})])

    script = [call("curl -sS -m 10 https://forbidden.example/"), call("true"), Reply("Done.")]
    store, kind = MemoryStore(), preset("minimal")
    with FakeDeepSeek(script) as server:
        agent = Agent(
            "networker",
            kind.instructions,
            kind.tools(),
            Docker(workspace=workspace, network="allow:some.example"),
            base_url=server.base_url,
            api_key="k",
            store=store,
        )
        result = await agent.run("Look at the page.")
    finished = [each for each in read(store, result.session_id) if isinstance(each, ToolFinished)]
    refused, fine = (each.content for each in finished)
    assert "[forbidden.example:443 was refused: it is not on the sandbox's allow-list]" in refused
    assert "[This sandbox may reach only: some.example." in refused
    assert "refused" not in fine


async def test_odd_ports_and_names_that_do_not_resolve(listed: DockerSandbox, site: int) -> None:
    for url, reason in (
        (f"https://127.0.0.1:{site + 1}", "not on the sandbox's allow-list"),
        ("https://a.allowed.example:25", "not this port"),
        ("https://no-such-host.allowed.example", "cannot be resolved"),
        ("https://localhost", "not on the sandbox's allow-list"),
        ("https://169.254.169.254", "not on the sandbox's allow-list"),
    ):
        code, _ = await sh(listed, f"curl -sS -m 10 --noproxy '' -k {url}")
        assert code != 0
        assert reason in "\n".join(listed.notices()), url


async def test_ways_around_the_proxy(listed: DockerSandbox, site: int) -> None:
    assert listed.egress
    gateway = listed.egress.proxy.address
    # Every address of this machine, with a service that listens on all of them.
    own = await anyio.run_process(["hostname", "-I"], check=False)
    addresses = {gateway, "172.17.0.1", *own.stdout.decode().split()}
    closed_off = not listed.egress.exposed
    if not closed_off:
        assert site in listed.egress.exposed, "what cannot be closed off must be reported"
        addresses.discard(gateway)
    targets = [
        f"(socket.AF_INET{'6' if ':' in each else ''}, ('{each}', {site}))" for each in addresses
    ]
    targets += [
        "(socket.AF_INET, ('1.1.1.1', 443))",
        "(socket.AF_INET, ('8.8.8.8', 53))",
        "(socket.AF_INET6, ('2606:4700:4700::1111', 443))",
        "(socket.AF_INET, ('169.254.169.254', 80))",
    ]
    _, told = await sh(listed, CONNECT.format(targets=", ".join(targets)))
    assert "REACHED" not in told
    assert told.count("no (") == len(targets), told
    # No address of the sixth version but loopback.
    _, six = await sh(listed, "cat /proc/net/if_inet6")
    assert [line.split()[-1] for line in six.splitlines()] in ([], ["lo"])


ASK = """python3 - <<'END'
import socket
question = b"\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0\\7example\\3com\\0\\0\\1\\0\\1"
for server in {servers}:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1.5)
        try:
            s.sendto(question, (server, 53))
            print("ANSWER" if s.recv(512)[7] else "nothing", server)
        except OSError as error:
            print("no", server, error)
END"""


async def test_names_are_not_resolved_inside(listed: DockerSandbox) -> None:
    assert listed.egress
    servers = ["127.0.0.11", "8.8.8.8", listed.egress.proxy.address, *_resolvers()]
    _, told = await sh(listed, ASK.format(servers=servers))
    assert "ANSWER" not in told
    assert len(told.splitlines()) == len(servers)
    code, _ = await sh(listed, "getent hosts example.com")
    assert code != 0


def _resolvers() -> list[str]:
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("nameserver") and "." in line]


async def test_sandboxes_do_not_reach_each_other(
    listed: DockerSandbox, site: int, workspace: Path
) -> None:
    other = await Docker(workspace=workspace, network="allow:127.0.0.1:1").open("network-other")
    try:
        assert other.egress
        assert listed.egress
        address = other.egress.proxy.client
        assert address != listed.egress.proxy.client
        await (await other.shell()).run("python3 -m http.server 8000 >/dev/null 2>&1 &")
        wait = "until curl -s --noproxy '*' localhost:8000; do sleep 0.1; done"
        assert (await sh(other, wait, 20))[0] == 0
        code, told = await sh(listed, f"curl -sS -m 2 --noproxy '*' http://{address}:8000/ 2>&1")
        assert code != 0, told
        # Nor may one use the other's way out.
        theirs = f"curl -sS -m 3 --noproxy '' -x {listed.egress.proxy.url}"
        code, told = await sh(other, f"{theirs} http://127.0.0.1:{site}/ 2>&1")
        assert code != 0, told
        assert f"site 127.0.0.1:{site}" not in told
    finally:
        await other.close()


async def test_a_fork_and_a_reopened_sandbox_have_the_same_way_out(
    listed: DockerSandbox, workspace: Path, site: int
) -> None:
    get = f"curl -sS -m 10 --noproxy '' http://127.0.0.1:{site}/"
    fork = await listed.fork("child")
    try:
        assert await sh(fork, get) == (0, f"site 127.0.0.1:{site}")
        assert (await sh(fork, "curl -sS -m 10 http://forbidden.example/"))[1].count("refused") == 1
    finally:
        await fork.close()
    # As after a crash: nobody listens at the address that the container was told.
    assert listed.egress
    listed.egress.proxy.stop()
    assert (await sh(listed, get))[0] != 0
    again = await Docker(workspace=workspace, network=f"allow:127.0.0.1:{site}").reopen(listed.ref)
    assert again.egress
    try:
        assert await sh(again, get) == (0, f"site 127.0.0.1:{site}")
    finally:
        await again.close()


async def test_a_snapshot_with_a_list_can_be_restored_without(
    listed: DockerSandbox, workspace: Path
) -> None:
    snapshot = await listed.snapshot()
    closed = Docker(workspace=workspace)
    restored = await closed.restore(snapshot, "network-test")
    try:
        _, told = await sh(restored, "env | grep -i '_proxy=.' || echo none")
        assert told == "none\n"
    finally:
        await restored.close()
        await closed.forget(snapshot)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set firewall rules")
async def test_the_firewall_rules_are_made_once(listed: DockerSandbox) -> None:
    rules = (await anyio.run_process(["iptables", "-S"])).stdout.decode()
    ours = [line for line in rules.splitlines() if "agentkit sandboxes" in line]
    assert len(ours) == len(set(ours))
    assert any(f"{PORTS.start}:{PORTS.stop - 1}" in line for line in ours)
    assert listed.egress
    assert listed.egress.exposed == ()


# Package managers, against the real registries, however this machine reaches them.


def allow_for(hosts: list[str]) -> str:
    """The hosts, and their addresses where these are private (a mirror inside the network)."""
    entries = list(dict.fromkeys(hosts))
    for host in tuple(entries):
        for found in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM):
            address = str(found[4][0])
            if not ipaddress.ip_address(address).is_global:
                entries.append(address)
    return "allow:" + ",".join(dict.fromkeys(entries))


INDEX = """
import pip._internal.models.index as index
print(index.PyPI.netloc, index.PyPI.file_storage_domain)
"""


async def test_pip_through_the_list(workspace: Path) -> None:
    probe = await Docker(workspace=workspace).open("network-test")
    try:
        _, told = await sh(probe, f"python3 -c '{INDEX}'")
    finally:
        await probe.close()
    provider = Docker(workspace=workspace, network=allow_for(told.split()))
    sandbox = await provider.open("network-test")
    try:
        install = "pip install --quiet --target lib six && PYTHONPATH=lib python3 -c 'import six'"
        assert await sh(sandbox, install, timeout=250) == (0, "")
    finally:
        await sandbox.close()


async def test_apt_through_the_list(workspace: Path) -> None:
    profile = Docker(workspace=workspace, profile="install", user="0:0")
    probe = await profile.open("network-test")
    sources = "cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null"
    try:
        _, told = await sh(probe, f"{sources} | grep -o 'http[s]*://[^/ ]*' | sort -u")
    finally:
        await probe.close()
    hosts = [url.partition("//")[2] for url in told.split()]
    assert hosts
    sandbox = await Docker(
        workspace=workspace, profile="install", user="0:0", network=allow_for(hosts)
    ).open("network-test")
    try:
        code, told = await sh(sandbox, "apt-get update 2>&1 && apt-get install hello 2>&1", 250)
        assert code == 0, told
        assert await sh(sandbox, "hello") == (0, "Hello, world!\n")
    finally:
        await sandbox.close()
