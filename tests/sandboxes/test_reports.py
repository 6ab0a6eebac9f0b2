"""What a shell keeps to itself and what it reports: nothing that changed is missed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentkit.sandbox import ExecResult
from agentkit.sandboxes import Docker
from agentkit.sandboxes._requests import is_plain
from agentkit.sandboxes.docker import DockerSandbox

SIGNALS = 'python3 -c "import os; os.kill(os.getppid(), 10)"'


@pytest.mark.parametrize(
    "command",
    [
        "ls",
        "/bin/true",
        "ls -la src/a.py",
        "git log --oneline -5 | head -3",
        "pytest -q tests/a.py::test_b -k 'a and b'",
        SIGNALS,
        'grep -rn "def run" agentkit && make CC=gcc; ./x.sh 2>&1 | tail -5 || python3 -c "1 + 1"',
        "truest; cdrom",
    ],
)
def test_plain_lines(command: str) -> None:
    assert is_plain(command)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "cd src",
        ". env.sh",
        "./x.sh; cd src",
        "ls|cd src",
        "a && export X=1",
        "a || exit",
        "FOO=1 make",
        "X=1",
        "echo ${X:=1}",
        'ls "${X:=1}"',
        "ls `x`",
        "ls\ncd src",
        "sleep 9 &",
        "a & b",
        "ls > file",
        "exec 3< file",
        "(ls)",
        "{ ls; }",
        "! ls",
        "[ x ]",
        "if ls; then cd x; fi",
        "'cd' src",
        "c\\d src",
        '"cd" src',
        "ls #",
        "f() { cd x; }",
        "a " * 3000,
    ],
)
def test_lines_that_are_looked_at(command: str) -> None:
    assert not is_plain(command)


def test_no_word_of_bash_itself_is_plain() -> None:
    bash = shutil.which("bash")
    assert bash, "needs bash on this machine"
    told = subprocess.run(
        [bash, "-c", "compgen -b -k"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(told) > 60
    assert [word for word in told if is_plain(f"{word} x") or is_plain(word)] == []


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[DockerSandbox]:
    sandbox = await Docker(workspace=tmp_path).open("reports")
    yield sandbox
    await sandbox.close()


async def say(sandbox: DockerSandbox, *commands: str) -> ExecResult:
    shell = await sandbox.shell()
    results = [await shell.run(command) for command in commands]
    return results[-1]


DIES = "exit 3"
KEPT = 'echo "${KEPT-lost} $PWD"'

# After each of these, what they exported and where they went is known when the shell dies.
CHANGES = {
    "between programs": ["/bin/true", "export KEPT=yes; cd /tmp", "/bin/true", "ls /"],
    "twice the same": ["export KEPT=no", "export KEPT=yes", "cd /tmp", "export KEPT=yes"],
    "back and forth": ["export KEPT=yes; cd /tmp", "export KEPT=no", "export KEPT=yes"],
    "by a function named as a program": [
        "ls() { export KEPT=yes; cd /tmp; }",
        "ls",
    ],
    "by a trap": ["trap 'export KEPT=yes; cd /tmp' USR1", SIGNALS],
    "by an alias": ["shopt -s expand_aliases; alias ls='export KEPT=yes; cd /tmp; :'", "ls -l"],
    "its file removed": ["rm -rf /dev/shm/.agentkit-*", "export KEPT=yes; cd /tmp", "ls /"],
    "its file a folder": [
        "for f in /dev/shm/.agentkit-*/state.*; do rm $f; mkdir $f; done",
        "export KEPT=yes; cd /tmp",
        "/bin/true",
    ],
    "its file not to be written": ["umask 777; cd /tmp", "export KEPT=no", "export KEPT=yes"],
    "memory full": [
        "head -c 1G /dev/zero >/dev/shm/full",
        "export KEPT=yes; cd /tmp; export LONG=$(head -c 9000 /dev/zero | tr '\\0' x)",
        "/bin/true",
    ],
    "all read-only": [
        "export KEPT=yes; cd /tmp",
        "for v in $(compgen -v); do readonly $v; done 2>/dev/null",
        "/bin/true",
    ],
    "a hundred kilobytes": [
        "export KEPT=no LONG=$(head -c 100000 /dev/zero | tr '\\0' x)",
        "export KEPT=yes; cd /tmp",
        "/bin/true",
    ],
    "every variable exported": [
        "set -a; export KEPT=yes; cd /tmp",
        *(f"V{number}=1" for number in range(14)),
        "test $(export -p | wc -c) -lt 9000 || KEPT=grown",
        "/bin/true",
    ],
    "case ignored": ["shopt -s nocasematch; export KEPT=YES; cd /tmp", "export KEPT=yes"],
    "a builtin less": ["enable -n alias; export KEPT=yes; cd /tmp", "/bin/true"],
    "its file a pipe": [
        "for f in /dev/shm/.agentkit-*/state.*; do rm $f; mkfifo $f; done",
        "export KEPT=yes; cd /tmp",
    ],
    "no file may grow": ["ulimit -f 0", "export KEPT=yes; cd /tmp", "/bin/true"],
    "set -eu": ["set -eu; export KEPT=yes", "cd /tmp", "/bin/true"],
}


@pytest.mark.docker
@pytest.mark.timeout(60)
@pytest.mark.parametrize("commands", CHANGES.values(), ids=list(CHANGES))
async def test_what_changed_outlives_the_shell(sandbox: DockerSandbox, commands: list[str]) -> None:
    before = await say(sandbox, *commands)
    assert before.ended == "exit"
    assert before.cwd == "/tmp"
    died = await say(sandbox, DIES)
    assert died.shell_restarted
    after = await say(sandbox, KEPT)
    assert after.output.data == b"yes /tmp\n", after


@pytest.mark.docker
@pytest.mark.timeout(60)
async def test_the_status_before_a_plain_line_is_its_own(sandbox: DockerSandbox) -> None:
    assert (await say(sandbox, "grep x /dev/null")).exit_code == 1
    assert (await say(sandbox, "echo $?")).output.data == b"1\n"
    assert (await say(sandbox, "false", "/bin/true")).exit_code == 0
    assert (await say(sandbox, "ls /nowhere")).exit_code == 2
    assert (await say(sandbox, "nowhere")).exit_code == 127
    assert (await say(sandbox, "/bin/true | grep x")).exit_code == 1


@pytest.mark.docker
@pytest.mark.timeout(60)
async def test_a_limit_on_files_ends_no_shell(sandbox: DockerSandbox) -> None:
    """Its state would be a file of more bytes than that."""
    for command in ("ulimit -f 1; export LONG=$(printf %2000d 0); echo ok", "echo ok", "ls / >&2"):
        told = await say(sandbox, command)
        assert (told.exit_code, told.shell_restarted) == (0, False), command
    assert (await say(sandbox, "echo ${#LONG}")).output.data == b"2000\n"


@pytest.mark.docker
@pytest.mark.timeout(60)
async def test_what_a_trap_prints_at_a_commands_end_is_not_its_output(
    sandbox: DockerSandbox,
) -> None:
    told = await say(sandbox, "trap 'echo dbg' DEBUG", "export KEPT=yes", "cd /tmp")
    assert told.output.data == b"dbg\n"
    await say(sandbox, "trap - DEBUG", DIES)
    assert (await say(sandbox, KEPT)).output.data == b"yes /tmp\n"
