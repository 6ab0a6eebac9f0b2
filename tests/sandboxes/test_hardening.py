"""Each flag of a container, tested by what it prevents; and what still works in spite of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import docker
import pytest

from agentkit.errors import UsageError
from agentkit.sandbox import ExecResult
from agentkit.sandboxes import Docker
from agentkit.sandboxes.docker import DockerSandbox

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

PROBE = (Path(__file__).parent / "probe.py").read_bytes()


async def sh(sandbox: DockerSandbox, command: str, timeout: float = 60) -> str:
    result = await sandbox.exec(command, timeout=timeout)
    return result.output.data.decode("utf-8", "replace").strip()


async def run(sandbox: DockerSandbox, command: str) -> ExecResult:
    return await (await sandbox.shell()).run(command, timeout=90)


def inspect(sandbox: DockerSandbox) -> dict[str, Any]:
    client: Any = docker.from_env()
    try:
        return client.api.inspect_container(sandbox.ref["container"])
    finally:
        client.close()


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What the probe found as root without capabilities, as root to install, and as a user."""
    folder = tmp_path_factory.mktemp("probe")
    folder.chmod(0o755)
    (folder / "probe.py").write_bytes(PROBE)

    async def examine(provider: Docker) -> dict[str, str]:
        sandbox = await provider.open("hardening")
        try:
            return json.loads(await sh(sandbox, "python3 probe.py"))
        finally:
            await sandbox.close()

    async def all_of_them() -> dict[str, dict[str, str]]:
        return {
            "root": await examine(Docker(workspace=folder, user="0:0")),
            "install": await examine(Docker(workspace=folder, user="0:0", profile="install")),
            "user": await examine(Docker(workspace=folder, user="1000:1000", read_only=True)),
        }

    return anyio.run(all_of_them)


ALWAYS = [
    "mknod",
    "chroot",
    "raw_socket",
    "packet_socket",
    "vsock",
    "cipher_socket",
    "mount",
    "user_namespace",
    "clone_namespace",
    "io_uring",
    "bpf",
    "keyctl",
    "userfaultfd",
    "perf",
    "no_randomization",
    "write_sysctl",
    "read_kcore",
    "kernel_log",
    "set_clock",
    "cgroup_write",
    "docker_socket",
]


@pytest.mark.parametrize("what", ALWAYS)
@pytest.mark.parametrize("who", ["root", "install", "user"])
def test_what_no_sandbox_may_do(probes: dict[str, dict[str, str]], who: str, what: str) -> None:
    assert probes[who][what] != "allowed"


@pytest.mark.parametrize("what", ["become_other", "chown_to_other"])
def test_what_only_the_install_profile_may_do(probes: dict[str, dict[str, str]], what: str) -> None:
    assert probes["root"][what] == "EPERM"
    assert probes["user"][what] == "EPERM"
    assert probes["install"][what] == "allowed"


def test_what_still_works(probes: dict[str, dict[str, str]]) -> None:
    for who in probes:
        assert probes[who]["no_new_privs"] == "1"
        assert probes[who]["seccomp"] == "2"
        # A debugger of what is one's own, and that is all in here; the first process, which
        # ends the sandbox without its owner, takes no signal.
        for what in ("ptrace_own_child", "kill_first", "thread_and_process", "plain_socket"):
            assert probes[who][what] == "allowed", (who, what)
    assert int(probes["root"]["caps"], 16) == 0
    assert int(probes["user"]["caps"], 16) == 0
    # CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID.
    assert int(probes["install"]["caps"], 16) == 0b1110_1011


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


async def test_a_setuid_program_gives_nothing(workspace: Path) -> None:
    sandbox = await Docker(workspace=workspace, user="1000:1000").open("hardening")
    try:
        assert "4" in await sh(sandbox, "stat -c %a /bin/su")
        assert (await sandbox.exec("echo | su -c id")).exit_code != 0
        assert await sh(sandbox, "id -u; cat /etc/shadow 2>&1 | head -c 40") == (
            "1000\ncat: /etc/shadow: Permission denied"
        )
    finally:
        await sandbox.close()


async def test_limits_of_memory_and_processes(workspace: Path) -> None:
    sandbox = await Docker(workspace=workspace, memory="128m", pids=40).open("hardening")
    try:
        eaten = await run(sandbox, "python3 -c 'x = bytearray(1 << 30); print(len(x))'")
        assert (eaten.ended, eaten.exit_code) == ("oom", 137)
        assert (await run(sandbox, "echo alive")).output.data == b"alive\n"
        spawn = "import subprocess as s\nfor _ in range(60): s.Popen(['sleep', '5'])"
        many = await run(sandbox, f'python3 -c "{spawn}"')
        assert b"BlockingIOError" in many.output.data
        assert (await run(sandbox, "echo alive")).output.data == b"alive\n"
    finally:
        await sandbox.close()


async def test_read_only_leaves_the_workspace_and_memory(workspace: Path) -> None:
    sandbox = await Docker(workspace=workspace, read_only=True).open("hardening")
    try:
        for place in ("/etc/x", "/usr/bin/x", "/root/x", "/x", "/var/lib/x"):
            assert "Read-only" in await sh(sandbox, f"touch {place} 2>&1")
        assert await sh(sandbox, "touch /tmp/x /workspace/x && echo fine") == "fine"
        await sandbox.write_file("/workspace/made", b"by us")
        assert (workspace / "made").read_bytes() == b"by us"
    finally:
        await sandbox.close()


async def test_read_only_with_a_copy_and_a_fork(workspace: Path) -> None:
    (workspace / "a").write_text("1\n")
    provider = Docker(workspace=workspace, read_only=True, workspace_mode="copy")
    sandbox = await provider.open("hardening")
    try:
        assert "Read-only" in await sh(sandbox, "touch /etc/x 2>&1")
        await sh(sandbox, "echo 2 >a")
        fork = await sandbox.fork("child")
        try:
            assert await sh(fork, "cat a") == "2"
            await sh(fork, "echo 3 >a")
            assert await sandbox.merge(fork) == ["a"]
        finally:
            await fork.close()
        assert b"-1\n+3\n" in await sandbox.changes()
    finally:
        await sandbox.close()


async def test_files_belong_to_the_workspaces_owner(workspace: Path) -> None:
    if os.geteuid() == 0:
        os.chown(workspace, 4711, 4712)
    facts = await anyio.Path(workspace).stat()
    sandbox = await Docker(workspace=workspace).open("hardening")
    try:
        await sh(sandbox, "mkdir d && echo x >d/f")
        await sandbox.write_file("deep/er/g", b"y")
        for name in ("d", "d/f", "deep", "deep/er", "deep/er/g"):
            made = await anyio.Path(workspace / name).stat()
            assert (made.st_uid, made.st_gid) == (facts.st_uid, facts.st_gid), name
        assert await sh(sandbox, "git init -q . && git status --short | wc -l") == "2"
    finally:
        await sandbox.close()


async def test_the_workspace_is_the_only_host_path(workspace: Path) -> None:
    sandbox = await Docker(workspace=workspace).open("hardening")
    try:
        facts = inspect(sandbox)
        assert [each["Source"] for each in facts["Mounts"]] == [str(workspace)]
        assert not facts["HostConfig"]["Privileged"]
        assert facts["HostConfig"]["IpcMode"] != "host"
        assert not facts["HostConfig"]["PidMode"]
    finally:
        await sandbox.close()


async def test_no_secret_of_this_machine_goes_in(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-a-secret-that-must-stay-here"
    monkeypatch.setenv("DEEPSEEK_API_KEY", secret)
    monkeypatch.setenv("SOME_TOKEN", secret)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{secret}@proxy.invalid:1")
    sandbox = await Docker(workspace=workspace, network="allow:some.example").open("hardening")
    try:
        assert secret not in json.dumps(inspect(sandbox))
        shell = await sh(sandbox, "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
        assert "PATH=" in shell
        assert secret not in shell
        assert secret not in json.dumps(dict(sandbox.ref)) + sandbox.description
    finally:
        await sandbox.close()


async def test_a_large_file_and_many_files_end_at_the_disk_limit(workspace: Path) -> None:
    sandbox = await Docker(workspace=workspace, disk="48m", user="0:0").open("hardening")
    try:
        single = await run(sandbox, "head -c 200000000 /dev/zero >/root/one; echo $?")
        assert single.output.data.split()[-1] == b"153", single
        assert int(await sh(sandbox, "stat -c %s /root/one")) <= 48 << 20
        step = "i=$((i+1)); head -c 4000000 /dev/zero >/root/many/$i; sleep 0.02"
        many = f"mkdir /root/many; i=0; while :; do {step}; done"
        filled = await run(sandbox, many)
        assert (filled.ended, filled.exit_code) == ("disk", 137), filled
        told = sandbox.notices()
        assert "disk is full: it has written" in told[0]
        assert "its limit is 48 MB" in told[0]
        # What helps is still possible.
        assert (
            await run(sandbox, "rm -r /root/many /root/one; echo gone")
        ).output.data == b"gone\n"
        assert (await run(sandbox, "sleep 3.5; echo fine")).output.data == b"fine\n"
        assert sandbox.notices() == []
    finally:
        await sandbox.close()


@pytest.mark.parametrize("size", ["", "x", "-1", "10 apples", "g"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(UsageError, match="no size"):
        Docker(disk=size)
