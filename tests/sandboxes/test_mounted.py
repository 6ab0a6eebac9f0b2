"""A mounted workspace's files, past the container: never others than the sandbox would see."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import docker
import pytest

from agentkit.errors import FileError, SandboxGone
from agentkit.sandboxes import Docker
from agentkit.sandboxes._files import Files
from agentkit.sandboxes._mounted import MountedFiles, find_mounted
from agentkit.sandboxes.docker import DockerSandbox

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

ENGINE: Any = docker
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "workspace"
    made.mkdir()
    return made


@pytest.fixture
async def sandbox(folder: Path) -> AsyncIterator[DockerSandbox]:
    sandbox = await Docker(workspace=folder).open("mounted")
    yield sandbox
    await sandbox.close()


async def inside(sandbox: DockerSandbox, command: str) -> str:
    result = await sandbox.exec(command)
    assert result.exit_code == 0, result
    return result.output.data.decode()


async def test_files_are_read_and_written_without_the_container(
    sandbox: DockerSandbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sandbox.write_file("first", b"by the container or not")

    async def refuse(*_: object) -> None:
        raise AssertionError("through the container")

    monkeypatch.setattr(Files, "write", refuse)
    monkeypatch.setattr(Files, "read", refuse)
    (folder / "deep").mkdir()
    data = os.urandom(200_000)
    await sandbox.write_file("deep/a", data)
    assert await sandbox.read_file("/workspace/deep/a") == data
    assert (folder / "deep/a").read_bytes() == data
    assert await inside(sandbox, "stat -c '%a %u' deep/a; id -u") == (
        f"644 {os.getuid()}\n{os.getuid()}\n"
    )
    assert os.listdir(folder / "deep") == ["a"]


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o444, 0o4750])
async def test_the_mode_of_the_file_before_is_kept(
    sandbox: DockerSandbox, folder: Path, mode: int
) -> None:
    (folder / "f").write_text("old")
    (folder / "f").chmod(mode)
    await sandbox.write_file("f", b"new")
    assert (folder / "f").read_bytes() == b"new"
    assert stat.S_IMODE((folder / "f").stat().st_mode) == mode
    await sandbox.write_file("f", b"newer", mode=0o700)
    assert stat.S_IMODE((folder / "f").stat().st_mode) == 0o700


async def test_links_are_followed_where_the_sandbox_follows_them(
    sandbox: DockerSandbox, folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of this machine")
    there = f"/tmp/{secrets.token_hex(8)}"
    own = await inside(
        sandbox,
        f"ln -s {secret} file; ln -s {tmp_path} out; ln -s /etc etc; ln -s {there} new; ln -s a b;"
        " echo within >a; cat /etc/hostname",
    )
    for path in ("file", "out/secret"):
        with pytest.raises(FileError) as caught:
            await sandbox.read_file(path)
        assert caught.value.reason == "missing"
    assert (await sandbox.read_file("etc/hostname")).decode() == own
    assert await sandbox.read_file("b") == b"within\n"
    await sandbox.write_file("new", b"there")
    assert await inside(sandbox, f"cat {there}; test -L new && echo link") == "therelink\n"
    assert not os.access(there, os.F_OK)
    await sandbox.write_file("b", b"changed")
    assert (folder / "a").read_bytes() == b"changed"
    assert (folder / "b").is_symlink()
    with pytest.raises(FileError):
        await sandbox.write_file("out/new", b"x", mode=0o600)
    assert sorted(os.listdir(tmp_path)) == ["secret", "workspace"]


async def test_a_folder_that_is_swapped_for_a_link_leads_nowhere(
    sandbox: DockerSandbox, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"of this machine")
    swap = f"mkdir d l; echo mine >d/f; rmdir l; ln -s {tmp_path} l; while :; do mv d x; mv l d;"
    swap += " mv d l; mv x d; done"
    job = await sandbox.start_job(swap)
    seen: set[bytes] = set()
    for _ in range(500):
        try:
            seen.add(await sandbox.read_file("d/f"))
        except FileError:
            seen.add(b"")
        try:
            await sandbox.write_file("d/new", b"of the sandbox")
        except FileError:
            continue
    await job.kill()
    assert seen - {b""} == {b"mine\n"}
    assert not (tmp_path / "new").exists()


async def test_what_is_no_file_or_not_allowed_is_said_by_the_sandbox(
    sandbox: DockerSandbox, folder: Path
) -> None:
    await inside(sandbox, "mkfifo pipe; mkdir d shut; echo x >shut/f; echo x >f; chmod 0 f shut")
    for path, kind in (("pipe", "other"), ("d", "directory"), ("f", "denied"), ("none", "missing")):
        with pytest.raises(FileError) as caught:
            await sandbox.read_file(path)
        assert caught.value.reason == kind
    with pytest.raises(FileError):
        await sandbox.read_file("shut/f")
    for path in ("d", "shut/new"):
        with pytest.raises(FileError):
            await sandbox.write_file(path, b"x")
    (folder / "large").write_bytes(b"x" * 100)
    with pytest.raises(FileError) as caught:
        await sandbox.read_file("large", max_bytes=99)
    assert caught.value.reason == "too-large"
    assert await sandbox.read_file("large", max_bytes=100) == b"x" * 100
    await sandbox.write_file("made/on/the/way", b"x")
    assert (folder / "made/on/the/way").read_bytes() == b"x"
    (folder / "shut").chmod(0o700)


async def test_what_another_user_owns_is_not_for_us(sandbox: DockerSandbox, folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    (folder / "theirs").write_text("secret")
    (folder / "theirs").chmod(0o600)
    os.chown(folder / "theirs", 4321, 4321)
    with pytest.raises(FileError) as caught:
        await sandbox.read_file("theirs")
    assert caught.value.reason == "denied"


async def test_a_workspace_of_another_user_stays_theirs(folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root works in other users' folders")
    os.chown(folder, 4321, 4322)
    (folder / "shared").mkdir()
    os.chown(folder / "shared", 4321, 4323)
    (folder / "shared").chmod(0o2755)
    sandbox = await Docker(workspace=folder).open("mounted")
    try:
        await sandbox.write_file("f", b"x")
        await sandbox.write_file("shared/f", b"x")
        assert await inside(sandbox, "touch shared/g; stat -c %u:%g f shared/f shared/g") == (
            "4321:4322\n4321:4323\n4321:4323\n"
        )
    finally:
        await sandbox.close()


async def test_another_user_than_the_workspaces_works_through_the_container(folder: Path) -> None:
    os.chmod(folder, 0o777)
    (folder / "mine").write_text("secret")
    (folder / "mine").chmod(0o600)
    sandbox = await Docker(workspace=folder, user="4321:4321").open("mounted")
    try:
        with pytest.raises(FileError) as caught:
            await sandbox.read_file("mine")
        assert caught.value.reason == "denied"
        await sandbox.write_file("theirs", b"x")
        assert (folder / "theirs").stat().st_uid == 4321
    finally:
        await sandbox.close()


async def test_memory_mounted_over_a_part_of_it_is_what_the_sandbox_sees(folder: Path) -> None:
    sandbox = await Docker(workspace=folder, tmpfs={"/workspace/cache": "1m"}).open("mounted")
    try:
        await sandbox.write_file("cache/f", b"in memory")
        assert await inside(sandbox, "cat cache/f") == "in memory"
        assert await sandbox.read_file("cache/f") == b"in memory"
        assert not (folder / "cache/f").exists()
    finally:
        await sandbox.close()


async def test_the_folder_is_the_one_that_was_mounted(
    sandbox: DockerSandbox, folder: Path, tmp_path: Path
) -> None:
    await sandbox.write_file("f", b"mounted")
    os.rename(folder, tmp_path / "moved")
    os.mkdir(folder)
    (folder / "f").write_text("another")
    assert await sandbox.read_file("f") == b"mounted"
    assert await inside(sandbox, "cat f") == "mounted"


async def test_a_container_that_is_gone_is_said(sandbox: DockerSandbox) -> None:
    await sandbox.write_file("f", b"x")
    client = ENGINE.from_env()
    client.api.remove_container(sandbox.ref["container"], force=True)
    client.close()
    with pytest.raises(SandboxGone):
        await sandbox.read_file("f")
    with pytest.raises(SandboxGone):
        await sandbox.write_file("f", b"y")


class _Said:
    """A control shell that answers as one on another machine, or as another user, would."""

    def __init__(self, reply: str) -> None:
        self.reply = reply

    async def request(self, body: str) -> tuple[int, bytes]:
        return 0, self.reply.encode()


@pytest.mark.parametrize(
    ("change", "ours"),
    [({}, True), ({0: "0b" * 18}, False), ({2: "2"}, False), ({4: "77"}, False), ({5: ""}, False)],
)
async def test_only_the_same_folder_on_the_same_kernel_counts(
    folder: Path, change: dict[int, str], ours: bool
) -> None:
    facts = os.stat(folder)
    words = [BOOT, str(facts.st_dev), str(facts.st_ino), "0", "0", "644"]
    for index, word in change.items():
        words[index] = word
    control: Any = _Said(" ".join(words))
    found = await find_mounted(control, folder, "/workspace", ())
    assert isinstance(found, MountedFiles) is ours
