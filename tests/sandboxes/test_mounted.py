"""A mounted workspace's files, past the container: never others than the sandbox would see."""

from __future__ import annotations

import os
import secrets
import stat
import struct
import subprocess
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
from agentkit.sandboxes.images import ensure_base_image

pytestmark = [pytest.mark.docker, pytest.mark.timeout(120)]

ENGINE: Any = docker
PRIVATE = ((0x01, 6), (0x04, 0), (0x20, 0))
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


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def unmount(path: Path, *, check: bool = True) -> None:
    subprocess.run(["umount", path], check=check, capture_output=not check)


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
    await inside(sandbox, f"mkdir d; echo mine >d/f; ln -s {tmp_path} l")
    seen = {await sandbox.read_file("d/f")}
    job = await sandbox.start_job("while :; do mv d x; mv l d; mv d l; mv x d; done")
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


async def test_what_this_machine_mounts_later_is_not_the_sandboxs(
    sandbox: DockerSandbox, folder: Path, tmp_path: Path
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can mount")
    await sandbox.write_file("data/f", b"within")
    other = tmp_path / "other"
    other.mkdir()
    (other / "f").write_bytes(b"of this machine")
    (tmp_path / "file").write_bytes(b"of this machine")
    await sandbox.write_file("g", b"within")
    mount("--bind", other, folder / "data")
    mount("--bind", tmp_path / "file", folder / "g")
    try:
        assert await sandbox.read_file("data/f") == b"within"
        assert await sandbox.read_file("g") == b"within"
        await sandbox.write_file("data/new", b"x")
        await sandbox.write_file("g", b"new")
        assert await inside(sandbox, "cat data/new g") == "xnew"
        assert os.listdir(other) == ["f"]
        assert (tmp_path / "file").read_bytes() == b"of this machine"
    finally:
        unmount(folder / "data")
        # The kernel has let go of it when the file was replaced inside.
        unmount(folder / "g", check=False)


async def test_a_volume_of_the_images_is_what_the_sandbox_sees(folder: Path) -> None:
    client = ENGINE.from_env()
    base = ensure_base_image(client, progress=print)
    made = client.containers.create(base)
    made.commit("agentkit-test-volume", "1", changes="VOLUME /workspace/cache")
    made.remove()
    try:
        sandbox = await Docker(workspace=folder, image="agentkit-test-volume:1").open("mounted")
        try:
            # Whoever may write there: what is written is seen inside, or nothing is.
            try:
                await sandbox.write_file("cache/f", b"x")
            except FileError as error:
                assert error.reason == "denied"  # noqa: PT017
            else:
                assert await inside(sandbox, "cat cache/f") == "x"
            assert not os.listdir(folder / "cache")
        finally:
            await sandbox.close()
    finally:
        client.images.remove("agentkit-test-volume:1")
        client.close()


async def test_a_reopened_sandbox_has_the_mounts_that_it_has(folder: Path) -> None:
    sandbox = await Docker(workspace=folder, tmpfs={"/workspace/./tmp": "1m"}).open("mounted")
    await sandbox.detach()
    sandbox = await Docker(workspace=folder).reopen(sandbox.ref)
    try:
        await sandbox.write_file("tmp/f", b"in memory")
        assert await inside(sandbox, "cat tmp/f") == "in memory"
        assert not os.listdir(folder / "tmp")
    finally:
        await sandbox.close()


async def test_a_container_that_somebody_restarts_has_the_folder_of_now(
    sandbox: DockerSandbox, folder: Path, tmp_path: Path
) -> None:
    await sandbox.write_file("f", b"old")
    os.rename(folder, tmp_path / "moved")
    os.mkdir(folder)
    client = ENGINE.from_env()
    client.api.restart(sandbox.ref["container"], timeout=0)
    client.close()
    assert await inside(sandbox, "ls") == ""
    await sandbox.write_file("g", b"new")
    assert os.listdir(folder) == ["g"]
    with pytest.raises(FileError):
        await sandbox.read_file("f")


async def test_rights_that_the_kernel_would_not_give_are_not_given(folder: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root works in other users' folders")
    os.chown(folder, 4321, 4322)
    (folder / "shared").mkdir()
    os.chown(folder / "shared", 4321, 4323)
    os.chmod(folder / "shared", 0o2755)
    sandbox = await Docker(workspace=folder).open("mounted")
    try:
        await sandbox.write_file("shared/f", b"x", mode=0o2755)
        assert not os.stat(folder / "shared/f").st_mode & stat.S_ISGID
        await sandbox.write_file("shared/f", b"y")
        assert not os.stat(folder / "shared/f").st_mode & stat.S_ISGID
    finally:
        await sandbox.close()


async def test_a_folders_default_rights_hold(sandbox: DockerSandbox, folder: Path) -> None:
    (folder / "private").mkdir()
    # Version 2; then kind, rights and (no) number of owner, group and others.
    entries = b"".join(struct.pack("<HHI", kind, bits, 0xFFFFFFFF) for kind, bits in PRIVATE)
    acl = struct.pack("<I", 2) + entries
    try:
        os.setxattr(folder / "private", "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"the disk knows no access control lists ({error})")
    await sandbox.write_file("private/f", b"x")
    assert stat.S_IMODE(os.stat(folder / "private/f").st_mode) == 0o600


async def test_a_program_that_waits_for_a_reader_waits_on(sandbox: DockerSandbox) -> None:
    await inside(sandbox, "mkfifo pipe")
    job = await sandbox.start_job("echo told >pipe; echo status $?")
    with pytest.raises(FileError):
        await sandbox.read_file("pipe")
    assert await inside(sandbox, "cat pipe") == "told\n"
    await job.wait()
    assert b"status 0" in (await job.poll(0)).data


async def test_any_limit_may_be_named(sandbox: DockerSandbox) -> None:
    await sandbox.write_file("f", b"x")
    assert await sandbox.read_file("f", max_bytes=(1 << 62)) == b"x"


async def test_a_file_beyond_the_disk_is_refused_as_inside(folder: Path) -> None:
    sandbox = await Docker(workspace=folder, disk="1m").open("mounted")
    try:
        with pytest.raises(FileError):
            await sandbox.write_file("f", b"x" * (2 << 20))
    finally:
        await sandbox.close()


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
    mounts = "21 1 0:1 / / rw - ext4 x rw\n22 21 0:1 /x /workspace rw - ext4 x rw\n"
    control: Any = _Said(" ".join(words) + "\n" + mounts)
    found = await find_mounted(control, folder, "/workspace", 1 << 20)
    assert isinstance(found, MountedFiles) is ours
