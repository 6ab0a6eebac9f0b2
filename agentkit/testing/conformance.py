"""What every sandbox must do: subclass ``SandboxConformance`` in pytest and name a provider.

    class TestMySandbox(SandboxConformance):
        @pytest.fixture
        def provider(self, tmp_path):
            return MySandbox(workspace=tmp_path)

Each test opens what it needs through the provider and looks at the sandbox from the outside. What
a backend does not promise (``Capabilities``) is not asked of it, but must be refused with a typed
error. Tests are coroutines: run them with anyio's pytest plugin in its automatic mode.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import pytest

from agentkit.errors import FileError, SandboxError, SandboxGone
from agentkit.sandbox import Sandbox, SandboxProvider, Shell

__all__ = ["SandboxConformance"]


@asynccontextmanager
async def _file_after(event: anyio.Event, sandbox: Sandbox, path: str) -> AsyncGenerator[None]:
    """For a command inside that goes on when the file is there: it is written once the event is."""

    async def write() -> None:
        await event.wait()
        await sandbox.write_file(path, b"")

    async with anyio.create_task_group() as group:
        group.start_soon(write)
        yield


class SandboxConformance:
    """Inherit from it; every ``test_`` method is one rule of the protocol."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def provider(self) -> SandboxProvider:
        """Return the provider to test."""
        raise NotImplementedError("override this fixture")

    @pytest.fixture
    async def sandbox(self, provider: SandboxProvider) -> AsyncIterator[Sandbox]:
        sandbox = await provider.open("conformance")
        yield sandbox
        with anyio.fail_after(60):
            await sandbox.close()

    @pytest.fixture
    async def shell(self, sandbox: Sandbox) -> Shell:
        return await sandbox.shell()

    # Shells.

    async def test_a_shell_keeps_its_state(self, shell: Shell) -> None:
        await shell.run("mkdir -p d && cd d; export A='1 2'; f() { echo f; }")
        result = await shell.run('echo "$A"; f; pwd')
        lines = result.output.data.decode().splitlines()
        assert lines[:2] == ["1 2", "f"]
        assert lines[2].endswith("/d")
        assert result.cwd == shell.cwd == lines[2]

    async def test_exit_codes_are_exact(self, shell: Shell) -> None:
        for code in (0, 1, 7, 126, 127, 130, 255):
            assert (await shell.run(f"(exit {code})")).exit_code == code

    async def test_exit_gives_a_new_shell_with_the_old_state(self, shell: Shell) -> None:
        await shell.run("cd /tmp; export A=kept")
        result = await shell.run("exit 3")
        assert (result.exit_code, result.shell_restarted) == (3, True)
        assert (await shell.run('echo "$A:$PWD"')).output.data == b"kept:/tmp\n"

    async def test_streams_keep_their_order(self, shell: Shell) -> None:
        result = await shell.run("echo 1; echo 2 >&2; echo 3; echo 4 >&2")
        assert result.output.data == b"1\n2\n3\n4\n"

    async def test_input_is_empty(self, shell: Shell) -> None:
        assert (await shell.run("cat; echo end", timeout=10)).output.data == b"end\n"

    async def test_at_the_limit_the_command_dies_and_the_shell_lives(self, shell: Shell) -> None:
        # A moment apart: where a shell runs its tools without exec, its jobs are told by their age.
        await shell.run("export A=1; sleep 1000 & echo $! >pid; sleep 0.1")
        result = await shell.run("echo begun; sleep 1000 & sleep 1000", timeout=1)
        assert (result.exit_code, result.ended) == (124, "timeout")
        assert result.output.data == b"begun\n"
        probe = await shell.run("echo $A; kill -0 $(cat pid) && echo lives; kill $(cat pid)")
        assert probe.output.data == b"1\nlives\n"

    async def test_silence_has_a_limit_of_its_own(self, shell: Shell, sandbox: Sandbox) -> None:
        limit, spoke_long_enough = 1.0, anyio.Event()
        began = anyio.current_time()

        def heard(data: bytes) -> None:
            if anyio.current_time() - began > 1.2 * limit:
                spoke_long_enough.set()

        async with _file_after(spoke_long_enough, sandbox, "silence"):
            command = "while [ ! -e silence ]; do echo x; sleep 0.02; done; sleep 1000"
            result = await shell.run(command, timeout=60, idle_timeout=limit, on_output=heard)
            assert result.ended == "idle"
            assert spoke_long_enough.is_set()

    async def test_limits_do_not_run_while_the_caller_is_held_up(
        self, shell: Shell, tmp_path: Path
    ) -> None:
        """What a command has said by then counts, though it is read too late."""

        def held_up(data: bytes) -> None:
            time.sleep(0 if b"2" in data else 2.5)

        command = "echo 1; sleep 0.1; echo 2; exit 3"
        for limits in ((2, None), (60, 2)):
            result = await shell.run(
                command, timeout=limits[0], idle_timeout=limits[1], on_output=held_up
            )
            assert (result.ended, result.exit_code) == ("exit", 3)
            assert result.output.data == b"1\n2\n"

    async def test_a_limit_of_zero_and_of_a_day(self, shell: Shell) -> None:
        assert (await shell.run("sleep 1000", timeout=0)).ended == "timeout"
        assert (await shell.run("echo ok", timeout=86_400)).output.data == b"ok\n"
        with pytest.raises(ValueError, match="timeout"):
            await shell.run("true", timeout=-1)

    async def test_a_flood_is_stopped_and_counted(self, shell: Shell) -> None:
        result = await shell.run("yes", flood_limit=4 << 20, keep=1000, timeout=60)
        assert result.ended == "flood"
        assert result.output.total > 4 << 20
        assert len(result.output.data) == 1000
        assert (await shell.run("echo ok")).output.data == b"ok\n"

    async def test_output_is_streamed(self, shell: Shell, sandbox: Sandbox) -> None:
        pieces: list[bytes] = []
        heard = anyio.Event()

        def take(data: bytes) -> None:
            pieces.append(data)
            heard.set()

        async with _file_after(heard, sandbox, "go"):
            command = "echo a; while [ ! -e go ]; do sleep 0.01; done; echo b"
            assert (await shell.run(command, timeout=60, on_output=take)).ended == "exit"
        assert pieces == [b"a\n", b"b\n"]

    async def test_a_nul_is_refused(self, shell: Shell, sandbox: Sandbox) -> None:
        for call in (shell.run, sandbox.exec, sandbox.start_job, sandbox.open_pty):
            with pytest.raises(ValueError, match="NUL"):
                await call("echo a\0b")

    async def test_what_no_shell_can_be_told_is_refused(
        self, shell: Shell, sandbox: Sandbox
    ) -> None:
        for call in (sandbox.exec, sandbox.start_job, sandbox.open_pty):
            for name in ("", "A B", "A;echo taken for a command", "1A", "A\n"):
                with pytest.raises(ValueError, match="variable's name"):
                    await call("echo", env={name: "1"})
        for call in (shell.run, sandbox.exec, sandbox.start_job, sandbox.open_pty):
            with pytest.raises(ValueError, match="half a character"):
                await call("echo \ud83d")
        for call in (shell.run, sandbox.exec):
            with pytest.raises(ValueError, match="0 or more bytes"):
                await call("echo", keep=-1)
        with pytest.raises(FileError, match="not a path"):
            await sandbox.read_file("\ud83d")
        # No option of the shell's.
        for call in (shell.run, sandbox.exec):
            assert (await call("-x")).exit_code == 127

    async def test_a_megabyte_command_runs(self, shell: Shell) -> None:
        result = await shell.run(f": '{'x' * 1_000_000}'; echo ok", timeout=60)
        assert result.output.data == b"ok\n"

    async def test_bytes_are_bytes(self, shell: Shell) -> None:
        assert (await shell.run(r"printf '\377\0\033'")).output.data == b"\xff\0\x1b"
        assert (await shell.run("printf %s '\udcff'")).output.data == b"\xff"

    async def test_shells_run_in_parallel(self, sandbox: Sandbox) -> None:
        one, two = await sandbox.shell("one"), await sandbox.shell("two")
        await one.run("X=1")
        async with anyio.create_task_group() as group:
            group.start_soon(one.run, "while [ ! -e go ]; do sleep 0.01; done")
            assert (await two.run("echo ${X:-unset}; : >go")).output.data == b"unset\n"
        with pytest.raises(ValueError, match="name"):
            await sandbox.shell("a b")

    async def test_a_cancelled_command_is_killed(self, shell: Shell) -> None:
        with anyio.CancelScope() as scope:
            await shell.run(
                "echo $$; while [ ! -e go ]; do sleep 0.01; done; : >late",
                on_output=lambda _: scope.cancel(),
            )
        assert scope.cancelled_caught
        assert (await shell.run(": >go; sleep 0.5; ls late")).exit_code != 0

    # Exec.

    async def test_exec_is_apart_from_shells(self, sandbox: Sandbox, shell: Shell) -> None:
        await shell.run("export A=1; cd /")
        result = await sandbox.exec("echo ${A:-unset}; pwd; echo $B", env={"B": "b 'c'"})
        assert result.output.data.decode() == f"unset\n{sandbox.workdir}\nb 'c'\n"
        assert (await sandbox.exec("pwd", cwd="/tmp")).output.data == b"/tmp\n"

    async def test_exec_takes_input_and_splits_streams(self, sandbox: Sandbox) -> None:
        data = bytes(range(256)) * 4096
        result = await sandbox.exec("cat; echo no >&2; exit 4", stdin=data, split=True)
        assert result.output.data == data
        assert result.stderr is not None
        assert (result.stderr.data, result.exit_code) == (b"no\n", 4)

    async def test_exec_has_idle_and_flood_limits(self, sandbox: Sandbox) -> None:
        assert (await sandbox.exec("sleep 1000", idle_timeout=0.3)).ended == "idle"
        assert (await sandbox.exec("yes", flood_limit=1 << 20)).ended == "flood"

    # Files.

    async def test_files_come_back_as_they_were(self, sandbox: Sandbox) -> None:
        names = [
            "plain",
            "with space",
            "new\nline",
            "qu'ote\"",
            "\udcff\udcfe",
            "-dash",
            "dir/sub/f",
        ]
        for name in names:
            data = os.urandom(1000) + name.encode("utf-8", "surrogateescape")
            await sandbox.write_file(name, data)
            assert await sandbox.read_file(name) == data
        large = os.urandom(3 << 20)
        await sandbox.write_file("large", large, mode=0o750)
        assert await sandbox.read_file("large") == large
        found = await sandbox.stat("large")
        assert found is not None
        assert (found.kind, found.size, found.mode) == ("file", len(large), 0o750)
        assert await sandbox.stat("not there") is None
        assert set(await sandbox.list_dir(".")) >= {"plain", "new\nline", "\udcff\udcfe", "dir/"}

    async def test_wrong_paths_have_reasons(self, sandbox: Sandbox, tmp_path: Path) -> None:
        await sandbox.write_file("dir/f", b"x")
        for path, reason in (("nowhere", "missing"), ("dir", "directory"), ("a\0b", "other")):
            with pytest.raises(FileError) as caught:
                await sandbox.read_file(path)
            assert caught.value.reason == reason
        await sandbox.exec("mkfifo pipe; ln -s pipe to-pipe")
        for path, reason in (("dir", "directory"), ("pipe", "other"), ("to-pipe", "other")):
            for size in (0, 100_000):
                with pytest.raises(FileError) as caught:
                    await sandbox.write_file(path, bytes(size))
                assert caught.value.reason == reason
        (tmp_path / "source").write_bytes(b"x")
        for path in ("dir", "pipe"):
            with pytest.raises(FileError):
                await sandbox.upload(tmp_path / "source", path)
        assert (await sandbox.exec("test -p pipe && test -L to-pipe")).ok

    async def test_five_sparse_gigabytes(self, sandbox: Sandbox) -> None:
        size = 5 << 30
        made = await sandbox.exec(f"dd if=/dev/null of=sparse bs=1 seek={size} 2>/dev/null")
        assert made.ok
        with pytest.raises(FileError) as caught:
            await sandbox.read_file("sparse", max_bytes=1 << 20)
        assert caught.value.reason == "too-large"
        assert f"{size:,}" in str(caught.value)
        assert await sandbox.read_part("sparse", size - 10, 100) == bytes(10)
        assert await sandbox.read_part("sparse", size + 10, 100) == b""

    async def test_a_link_is_followed_inside_only(self, sandbox: Sandbox) -> None:
        await sandbox.exec("echo target >t; ln -s t link; ln -s /nowhere broken")
        assert await sandbox.read_file("link") == b"target\n"
        await sandbox.write_file("link", b"new")
        assert (await sandbox.exec("readlink link; cat t")).output.data == b"t\nnew"
        with pytest.raises(FileError):
            await sandbox.read_file("broken")

    async def test_trees_travel_both_ways(self, sandbox: Sandbox, tmp_path: Path) -> None:
        source = tmp_path / "transfer" / "source"
        (source / "deep" / "er").mkdir(parents=True)
        (source / "deep" / "er" / "run.sh").write_bytes(b"#!/bin/sh\n")
        (source / "deep" / "er" / "run.sh").chmod(0o755)
        (source / "large").write_bytes(os.urandom(5 << 20))
        (source / "link").symlink_to("/etc/passwd")
        await sandbox.upload(source, "up")
        await sandbox.upload(source / "large", "one")
        assert await sandbox.read_file("one") == (source / "large").read_bytes()
        back = tmp_path / "transfer" / "back"
        if not (await sandbox.exec("command -v tar")).ok:
            with pytest.raises(FileError, match="tar"):
                await sandbox.download("up", back)
            return
        await sandbox.download("up", back)
        assert (back / "large").read_bytes() == (source / "large").read_bytes()
        assert os.access(back / "deep" / "er" / "run.sh", os.X_OK)
        assert os.readlink(back / "link") == "/etc/passwd"
        with pytest.raises(FileError, match="exists already"):
            await sandbox.download("up", back)
        with pytest.raises(FileError, match="File exists"):
            await sandbox.upload(source, "one")

    async def test_search_finds_lines(self, sandbox: Sandbox) -> None:
        await sandbox.write_file("src/a.py", b"one\nneedle 1\n")
        await sandbox.write_file("src/b.txt", b"Needle 2\n")
        found = await sandbox.search("needle [0-9]", "src")
        assert [(each.path, each.line, each.text) for each in found.found] == [
            (f"{sandbox.workdir}/src/a.py", 2, b"needle 1")
        ]
        assert len((await sandbox.search("needle", "src", ignore_case=True)).found) == 2
        assert len((await sandbox.search("eedle", "src", glob="*.txt")).found) == 1
        assert (await sandbox.search("e", "src", limit=1)).truncated
        with pytest.raises(FileError):
            await sandbox.search("x", "nowhere")

    # Jobs.

    async def test_a_job_runs_by_itself(self, sandbox: Sandbox) -> None:
        if not sandbox.capabilities.jobs:
            pytest.skip("not promised")
        job = await sandbox.start_job("echo begun; read x; echo got $x; exit 3", name="talk")
        assert (await job.info()).running
        await job.write(b"words\n")
        with anyio.fail_after(20):
            assert await job.wait() == 3
        output = await job.poll()
        assert output.data == b"begun\ngot words\n"
        assert (await job.poll(output.next)).data == b""
        assert [each.name for each in await sandbox.jobs()] == ["talk"]
        assert (await (await sandbox.job("talk")).info()).exit_code == 3
        with pytest.raises(SandboxError, match="no job"):
            await sandbox.job("other")

    async def test_a_job_s_output_is_bounded(self, sandbox: Sandbox) -> None:
        if not sandbox.capabilities.jobs:
            pytest.skip("not promised")
        job = await sandbox.start_job("yes 0123456789 | head -c 20000000; echo end")
        with anyio.fail_after(60):
            assert await job.wait() == 0
        output = await job.poll(max_bytes=1 << 24)
        assert output.info.total == 20_000_004
        assert output.data.endswith(b"end\n")
        assert 1 << 19 < len(output.data) < 4 << 20
        assert output.start + len(output.data) == output.info.total

    async def test_a_job_is_killed_with_all_it_started(self, sandbox: Sandbox) -> None:
        if not sandbox.capabilities.jobs:
            pytest.skip("not promised")
        command = "trap '' TERM; setsid sleep 1000 & echo $! >pid; while :; do sleep 1; done"
        job = await sandbox.start_job(command, name="stubborn")
        with pytest.raises(ValueError, match="is running"):
            await sandbox.start_job("true", name="stubborn")
        with anyio.fail_after(20):
            while await sandbox.stat("pid") is None:
                await anyio.lowlevel.checkpoint()  # each look is a round trip
        with anyio.fail_after(20):
            assert await job.kill(grace=0.2) is not None
        assert not (await job.info()).running
        # Not by kill -0: an ended process may wait for somebody to collect it.
        alive = "grep -qs '^State:[[:space:]]*[RSDT]' /proc/$(cat pid)/status"
        assert not (await sandbox.exec(alive)).ok

    # Terminals.

    async def test_a_terminal(self, sandbox: Sandbox) -> None:
        if not sandbox.capabilities.pty:
            pytest.skip("not promised")
        pty = await sandbox.open_pty("sh", rows=30, columns=100)
        await pty.send(b"[ -t 0 ] && echo is-a-$((6 * 7))\r")
        seen = b""
        with anyio.fail_after(20):
            while b"is-a-42" not in seen:
                seen += await pty.read()
                assert pty.exit_code is None, seen
            await pty.resize(10, 40)
            await pty.send(b"exit 5\r")
            while pty.exit_code is None:
                await pty.read()
        assert pty.exit_code == 5
        with pytest.raises(SandboxError, match="ended"):
            await pty.send(b"x")
        await pty.close()
        await pty.close()
        with pytest.raises(ValueError, match="rows"):
            await sandbox.open_pty("sh", rows=0)

    # Ends.

    async def test_a_closed_sandbox_says_so(self, sandbox: Sandbox) -> None:
        await sandbox.close()
        await sandbox.close()
        with pytest.raises(SandboxGone):
            await sandbox.exec("true")
        with pytest.raises(SandboxGone):
            await sandbox.read_file("x")

    async def test_closing_ends_what_is_under_way(self, sandbox: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(bytes(8 << 20))
        shell, begun = await sandbox.shell(), [anyio.Event() for _ in range(4)]

        async def terminal() -> None:
            pty = await sandbox.open_pty("echo begun; cat")
            while pty.exit_code is None:
                if await pty.read():
                    begun[2].set()

        async def uploads() -> None:
            while True:
                await sandbox.upload(tmp_path / "source", "up")
                begun[3].set()

        async def until_it_ends(call: Callable[[], Awaitable[object]]) -> None:
            with suppress(SandboxError):
                await call()

        command = "echo begun; sleep 1000"
        calls = [
            partial(shell.run, command, on_output=lambda _: begun[0].set()),
            partial(sandbox.exec, command, on_output=lambda _: begun[1].set()),
            *([terminal] if sandbox.capabilities.pty else []),
            uploads,
        ]
        if not sandbox.capabilities.pty:
            begun[2].set()
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for call in calls:
                    group.start_soon(until_it_ends, call)
                for each in begun:
                    await each.wait()
                await sandbox.close()

    async def test_what_cannot_be_done_is_refused(self, sandbox: Sandbox) -> None:
        if not sandbox.capabilities.snapshot:
            with pytest.raises(SandboxError):
                await sandbox.snapshot()
        if not sandbox.capabilities.fork:
            with pytest.raises(SandboxError):
                await sandbox.fork("other")

    async def test_a_reference_opens_it_again(self, provider: SandboxProvider) -> None:
        first = await provider.open("conformance")
        try:
            if not first.capabilities.reopen:
                with pytest.raises(SandboxGone):
                    await provider.reopen(first.ref)
                return
            again = await provider.reopen(dict(first.ref))
            await again.write_file("here", b"1")
            assert await first.read_file("here") == b"1"
            await again.close()
        finally:
            await first.close()
