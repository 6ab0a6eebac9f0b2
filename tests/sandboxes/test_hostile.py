"""What breaks other sandboxes must not break ours: each case on bash, dash and busybox ash.

After every case: the shell answers, directory and exports are kept, the exit code is exact, no
process of the command is left, and what the host keeps in memory is bounded.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import anyio
import docker
import pytest

from agentkit.sandbox import ExecResult
from agentkit.sandboxes import Docker
from agentkit.sandboxes.docker import DockerSandbox
from tests.sandboxes.hostile_cases import INVENTED, Case

pytestmark = [pytest.mark.docker, pytest.mark.timeout(60)]


FAR_TOO_LATE = 20
"""Seconds after a limit by which a busy machine, too, has ended a command. How soon it mostly is,
`make bench-sandbox` measures."""

E = chr(0x1E)
PLANTED = "AK_CMD=zzz; echo RS; printf '\\036%s:0 1\\n' 0123456789abcdef0123456789abcdef"

CASES = [
    # The fifty of the survey (their numbers in the survey's order).
    # 01, the fork bomb, has a test and a sandbox of its own: it goes on in the background.
    Case("02 memory hog", "head -c 2000000000 /dev/zero | tail", code=(137, 1)),
    Case(
        "03 disk full",
        "dd if=/dev/zero of=/small/x bs=1M count=100 2>&1; rm -f /small/x",
        has=b"space",
    ),
    Case("04 exit 3", "exit 3", code=3, out=b"", restarted=True),
    Case("05 exec echo", "exec echo x", out=b"x\n", restarted=True),
    Case("06 function persists", "f() { echo F; }; f", out=b"F\n"),
    Case("07 kill -9 -1", "kill -9 -1; echo on", code=(0, 137)),
    Case("08 cat without input", "cat; read x; echo $?", out=b"1\n"),
    Case("09 background sleep", "sleep 30 &", out=b"", jobs=1),
    Case("10 setsid background", "setsid sleep 30 &", out=b"", jobs=1),
    Case(
        "11 ignores TERM and INT",
        "trap '' TERM INT; while :; do sleep 1; done",
        124,
        timeout=0.5,
        ended="timeout",
    ),
    Case("12 pure shell loop", "while :; do :; done", 124, out=b"", timeout=0.5, ended="timeout"),
    Case("13 list past the limit", "sleep 5; touch /tmp/LATE", 124, timeout=0.5, ended="timeout"),
    Case(
        "14 setsid child past the limit",
        "setsid sleep 60 & sleep 60",
        124,
        timeout=0.5,
        ended="timeout",
    ),
    Case("15 a gigabyte", "head -c 1000000000 /dev/zero", 137, ended="flood"),
    Case("16 yes", "yes", 137, ended="flood"),
    Case("17 invalid UTF-8", r"printf '\377\376\200'", out=b"\xff\xfe\x80"),
    Case(
        "18 ANSI and OSC",
        r"printf '\033[31mred\033]0;title\007'",
        out=b"\x1b[31mred\x1b]0;title\x07",
    ),
    Case("19 NUL in output", r"printf 'a\0b'", out=b"a\0b"),
    Case("20 one 5 MB line", "head -c 5000000 /dev/zero | tr '\\0' x", keep=1 << 16),
    Case("21 200 KB command", "x='" + "y" * 200_000 + "'; echo ${#x}", out=b"200000\n"),
    Case("22 6 KB one-liner", "echo " + "word " * 1200 + "| wc -w", has=b"1200"),
    Case("23 set -e then false", "set -e; false; echo no", code=1, out=b"", restarted=True),
    Case("24 set -u, unset variable", "set -u; echo $NOT_THERE_; echo no", code=(0, 1, 2, 127)),
    Case("25 set -eu pipefail", "set -eu; (set -o pipefail) 2>/dev/null; false", code=(1, 2)),
    Case("26 traps", "trap 'echo bye' EXIT; trap 'echo int' INT; echo set", out=b"set\n"),
    Case(
        "27 sentinel-like text",
        f"cat <<'X'\n{E}abc:0{E}\nSHELLPS1PREFIX UNIQUESTRING $(x) `y`\nX",
        out=f"{E}abc:0{E}\nSHELLPS1PREFIX UNIQUESTRING $(x) `y`\n".encode(),
    ),
    Case(
        "28 PS1, PROMPT_COMMAND",
        "PS1='$(echo gotcha)'; PROMPT_COMMAND='echo x'; PS4='+$(echo y)'; echo ok",
        out=b"ok\n",
    ),
    Case("29 literal tab", "echo 'a\tb'\t; echo c", out=b"a\tb\nc\n"),
    Case("30 kcore", "head -c 1 /proc/kcore", code=(0, 1), out=None),
    Case("31 python REPL, no terminal", "python3", out=b"", needs="python3"),
    Case("32 vi, no terminal", "vi /tmp/v", code=(0, 1, 124, 127), timeout=1, jobs=0, out=None),
    Case(
        "33 getpass",
        "python3 -c 'import getpass; getpass.getpass()'",
        code=1,
        has=b"EOFError",
        needs="python3",
    ),
    Case("34 date -s", "date -s '2020-01-01'", code=(0, 1), out=None),
    Case(
        "35 deleted directory",
        "mkdir /tmp/gone.$$; cd /tmp/gone.$$; rmdir /tmp/gone.$$; cd /tmp",
        kills_state=True,
    ),
    Case(
        "36 full disk, then a heredoc",
        "cat /dev/zero >/small/f 2>/dev/null; wc -c <<X\nabc\nX\nrm -f /small/f",
        has=b"4",
    ),
    Case(
        "37 20,000 files",
        "mkdir /small/m; cd /small/m && seq 20000 | xargs touch; ls | wc -l; cd - >/dev/null;"
        " rm -rf /small/m",
        has=b"20000",
    ),
    Case("38 unterminated quote", "echo 'abc", code=2, out=None),
    Case("38b if without fi", "if true; then echo x", code=2, out=None),
    Case("39 unterminated heredoc", "cat <<X\nabc", has=b"abc"),
    Case("40 exit code 255", "(exit 255)", code=255, out=b""),
    Case("40b segmentation fault", "sh -c 'kill -SEGV $$'", code=139, out=None),
    Case("41 stream order", "echo 1; echo 2 >&2; echo 3; echo 4 >&2", out=b"1\n2\n3\n4\n"),
    Case("42 no line feed at the end", "printf abc", out=b"abc"),
    Case("43 CRLF script", "echo a\r\necho b\r", out=b"a\r\nb\r\n"),
    Case("44 background and wait", "(sleep 0.2; echo late) & wait; echo done", out=b"late\ndone\n"),
    Case("45 background writer", "(sleep 0.1; echo later) & echo now", has=b"now", jobs=-1),
    # Those that the survey left to test.
    Case(
        "46 unset protocol functions",
        "unset -f printf pwd; for f in $(set | sed -n 's/ ().*//p'); do unset -f $f; done; echo ok",
        out=b"ok\n",
    ),
    Case(
        "47 read-only variables",
        "readonly RO=1; export RO; readonly AK_CMD PWD 2>/dev/null; echo ok; exit 4",
        code=4,
        has=b"ok",
    ),
    Case(
        "48 environment of 200 KB",
        "for i in 1 2; do eval \"export BIG$i=$(head -c 100000 /dev/zero | tr '\\0' b)\"; done;"
        " echo ${#BIG2}",
        out=b"100000\n",
    ),
    Case(
        "49 environment over ARG_MAX",
        "export HUGE=$(head -c 3000000 /dev/zero | tr '\\0' b); ls; echo $?; unset HUGE",
        has=b"\n",
    ),
    # Our own.
    Case("50 kill -9 $$", "kill -9 $$", code=137, restarted=True),
    Case("51 kill the process group", "kill 0; sleep 1; echo no", code=(143, 0), restarted=None),
    Case("52 kill the supervisor", "kill -9 $PPID; echo on; sleep 0.3", code=(0, 137), out=None),
    Case("53 stop yourself", "kill -STOP $$; echo no", 124, timeout=0.5, ended="timeout"),
    Case("54 close all descriptors", "exec 0<&- 1>&- 2>&-; echo lost", code=(0, 1, 2), out=None),
    Case("55 exec to a file", "exec >/tmp/log.$$ 2>&1; echo hidden", out=b""),
    Case(
        "56 clobber descriptors 3-9",
        "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; echo ok",
        out=b"ok\n",
    ),
    Case("57 open 8 and 9 for itself", "exec 8>/tmp/e8 9>/tmp/e9; echo ok", out=b"ok\n"),
    Case("58 set -x", "set -x; true; set +x; echo ok", has=b"ok"),
    Case("59 set -v", "set -v; echo ok", has=b"ok"),
    Case(
        "60 set -n", "set -n", code=(0, 124), timeout=0.5, out=None, ended="timeout", restarted=True
    ),
    Case(
        "61 functions named as tools",
        "printf() { :; }; pwd() { :; }; export() { :; } 2>/dev/null; echo ok",
        code=(0, 2),
        out=None,
    ),
    Case(
        "62 aliases named as tools",
        "alias printf=false pwd=false eval=false command=false; echo ok",
        out=b"ok\n",
    ),
    Case("63 IFS and set -f", "IFS=0123456789abcdef; set -f; echo ok", out=b"ok\n"),
    Case("64 PATH emptied", "PATH=; echo ok", out=b"ok\n", kills_state=True),
    Case(
        "65 env -i setsid child",
        "env -i setsid sleep 60 & sleep 60",
        124,
        timeout=0.5,
        ended="timeout",
    ),
    Case(
        "66 double fork daemon",
        "(setsid sh -c 'sleep 61 & sleep 62' &) ; sleep 60",
        124,
        timeout=0.5,
        ended="timeout",
    ),
    Case(
        "67 subshell loop in the background",
        "(while :; do :; done) & sleep 60",
        124,
        timeout=0.5,
        ended="timeout",
    ),
    Case(
        "68 name with spaces and )",
        "cp $(command -v sleep) '/tmp/a) b' 2>/dev/null; '/tmp/a) b' 60; sleep 60",
        (124, 127),
        timeout=0.7,
        ended="timeout",
    ),
    Case(
        "69 nohup", "nohup sleep 60 >/dev/null 2>&1 & sleep 60", 124, timeout=0.5, ended="timeout"
    ),
    Case("70 return and break", "return 5; break; continue", code=(0, 1, 2, 5), out=None),
    Case("71 record forged", PLANTED, has=b"RS\n"),
    Case(
        "72 every argument list dumped",
        "cat /proc/[0-9]*/cmdline >/dev/null 2>&1; set; echo ok",
        has=b"ok",
    ),
    Case(
        "73 background flood",
        "(yes & sleep 0.3; kill $!) ; echo ok",
        code=(0, 137, 143),
        keep=1 << 16,
        ended="exit",
        out=None,
    ),
    Case("74 exit in a trap", "trap 'exit 9' EXIT; exit 1", code=9, restarted=True),
    Case("75 umask 777", "umask 777; echo ok", out=b"ok\n"),
    Case("76 ulimit on processes and files", "ulimit -n 20; echo ok", has=b"ok\n"),
    Case("77 empty command", "", out=b""),
    Case("78 comment only", "# nothing", out=b""),
    Case("79 line feeds only", "\n\n\n", out=b""),
    Case("79b minus at the beginning", "-x 'a b'", code=127, has=b"not found"),
    Case("80 backslash at the end", "echo a\\", has=b"a"),
    Case("81 megabyte command", ": '" + "z" * 1_000_000 + "'; echo ok", out=b"ok\n"),
    Case("82 not UTF-8 command", "printf %s '\udcff\udcfe'", out=b"\xff\xfe"),
    Case("83 signal 15 to PID 1", "kill -TERM 1; kill -9 1; sleep 0.1; echo ok", out=b"ok\n"),
    Case("84 limit of zero", "sleep 10", 124, timeout=0, ended="timeout"),
    Case("85 history and bang", "echo a!b '!!'", out=b"a!b !!\n"),
    Case("86 LC_ALL broken", "export LC_ALL=xx_YY.nope; echo ok; unset LC_ALL", has=b"ok"),
    Case("87 wait for nobody", "wait; wait 99999; echo $?", out=None),
    Case("88 suspend a child", "sleep 60 & kill -STOP $!; wait", 124, timeout=0.5, ended="timeout"),
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=["bash", "dash", "busybox"])
async def sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[DockerSandbox]:
    kind = str(request.param)
    image = request.getfixturevalue("busybox_image") if kind == "busybox" else None
    folder = tmp_path_factory.mktemp(kind, numbered=True)
    provider = Docker(
        workspace=folder,
        image=image,
        shell="bash" if kind == "bash" else "sh",
        memory="512m",
        pids=128,
        tmpfs={"/small": "8m"},
    )
    sandbox = await provider.open("hostile")
    yield sandbox
    await sandbox.close()


async def processes(sandbox: DockerSandbox) -> int:
    """How many processes live in the container, without zombies."""
    return await sandbox._control.count(  # pyright: ignore[reportPrivateUsage]
        "n=0; for d in /proc/[0-9]*; do _stat ${d#/proc/} || continue; set -- $l;"
        " [ $1 = Z ] || n=$((n + 1)); done; echo $n"
    )


async def settled(sandbox: DockerSandbox, allowed: int) -> int:
    """The number of processes, once it is no more than allowed or ten seconds have passed."""
    with anyio.move_on_after(10):
        while await processes(sandbox) > allowed:
            await anyio.lowlevel.checkpoint()  # each look takes a round trip: no busy loop
    return await processes(sandbox)


def check(case: Case, result: ExecResult) -> None:
    codes = (case.code,) if isinstance(case.code, int) else case.code
    assert result.exit_code in codes, result
    if result.exit_code == 124 and case.timeout < 5:
        assert result.ended == "timeout"
    elif case.ended == "flood":
        assert result.ended == "flood"
    if case.out is not None:
        assert result.output.data == case.out
    assert case.has in result.output.data
    assert len(result.output.data) <= case.keep
    if case.restarted is not None:
        assert result.shell_restarted == case.restarted


@pytest.mark.parametrize("case", CASES + INVENTED, ids=lambda case: case.name.replace(" ", "-"))
async def test_hostile(
    case: Case,
    sandbox: DockerSandbox,
    request: pytest.FixtureRequest,
    results: dict[tuple[str, str], str],
) -> None:
    kind = request.node.callspec.params["sandbox"]
    results[case.name, kind] = "FAILED"
    if case.needs and not (await sandbox.exec(f"command -v {case.needs}")).ok:
        results[case.name, kind] = "not in the image"
        return
    name = "c" + case.name.partition(" ")[0].replace("+", "x")
    shell = await sandbox.shell(name)
    await shell.run("cd /tmp; export KEEP='k e'")
    before = await processes(sandbox)
    started = time.monotonic()
    result = await shell.run(case.command, timeout=case.timeout, keep=case.keep)
    took = time.monotonic() - started
    check(case, result)
    if result.ended == "timeout":
        assert took < case.timeout + FAR_TOO_LATE
    probe = await shell.run("echo alive", timeout=20)
    assert b"alive\n" in probe.output.data
    assert probe.exit_code == 0
    if not case.kills_state:
        kept = await shell.run('echo "$KEEP:$PWD"', timeout=10)
        assert kept.output.data.endswith(b"k e:/tmp\n"), (kept, result)
    if case.jobs >= 0:
        assert await settled(sandbox, before + case.jobs) <= before + case.jobs
    restarted = " restarted" if result.shell_restarted else ""
    results[case.name, kind] = f"{result.exit_code} {took * 1000:.0f} ms{restarted}"
    await shell.close()
    await sandbox._control.request(f"_reap {sandbox.ref['id']}.{name}.")  # pyright: ignore[reportPrivateUsage]
    assert not (Path("/tmp") / "LATE").exists()


@pytest.mark.parametrize("kind", ["bash", "dash"])
async def test_a_fork_bomb_is_held_by_the_limit_and_ends_with_its_sandbox(
    kind: Literal["bash", "dash"], tmp_path: Path
) -> None:
    """It is a background job, so it lives on; it cannot pass the limit, and nothing outlives it."""
    shell_kind: Literal["bash", "sh"] = "bash" if kind == "bash" else "sh"
    provider = Docker(workspace=tmp_path, shell=shell_kind, memory="512m", pids=128)
    sandbox = await provider.open("bomb")
    try:
        shell = await sandbox.shell()
        with anyio.fail_after(30):
            await shell.run("b() { b | b & }; b", timeout=2)
        assert await processes(sandbox) <= 128
    finally:
        with anyio.fail_after(60):
            await sandbox.close()
    client = docker.from_env()  # pyright: ignore[reportUnknownMemberType]
    found = client.containers.list(  # pyright: ignore[reportUnknownMemberType]
        all=True, filters={"id": sandbox.ref["container"]}
    )
    client.close()  # pyright: ignore[reportUnknownMemberType]
    assert found == []


@pytest.mark.parametrize("kind", ["bash", "dash"])
async def test_a_fork_bomb_in_the_background_is_ended_by_the_commands_that_follow(
    kind: str, tmp_path: Path
) -> None:
    """With what else its shell had started; what was kept is there, and another shell's server.

    Mostly by the next one. A bomb whose processes were few at that moment takes another.
    """
    provider = Docker(
        workspace=tmp_path,
        shell="bash" if kind == "bash" else "sh",
        memory="512m",
        pids=128,
    )
    sandbox = await provider.open("bomb")
    try:
        shell = await sandbox.shell()
        await shell.run("cd /tmp; export KEEP=kept")
        await (await sandbox.shell("other")).run("sleep 4722 & true")
        before = await processes(sandbox)
        with anyio.fail_after(60):
            await shell.run("b() { b | b & }; b", timeout=2)
            while True:
                after = await shell.run('/bin/true && echo "$KEEP:$PWD"', timeout=20)
                if after.output.data == b"kept:/tmp\n" and await processes(sandbox) <= before:
                    break
        assert await settled(sandbox, before) <= before
        other = await (await sandbox.shell("other")).run("kill -0 $! && echo lives")
        assert other.output.data == b"lives\n", "another shell's server"
    finally:
        with anyio.fail_after(60):
            await sandbox.close()
