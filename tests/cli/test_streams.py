"""Standard streams that are closed, full, or read by somebody who goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agentkit.stores.sqlite import SQLiteStore

from .conftest import Cli, environment
from .plain_server import PlainServer
from .test_run import STEPS, local

RUN = ("run", "Mend it")


def shell(line: str, home: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which ``"$@"`` is the command."""
    return subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, "-m", "agentkit", *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=90,
        check=False,
        env=environment({"AGENTKIT_HOME": str(home)}),
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_run_with_closed_streams_does_its_work(
    own_home: Path, workspace: Path, closed: str, form: list[str]
) -> None:
    with PlainServer(STEPS) as server:
        arguments = [*RUN, *local(workspace, server), *form]
        done = shell(f'"$@" {closed}', own_home, arguments)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "return a + b" in (workspace / "calc.py").read_text()
    assert [each.status for each in SQLiteStore(own_home).sessions()] == ["finished"]


def test_a_task_from_a_closed_input_is_empty(own_home: Path) -> None:
    done = shell('"$@" <&-', own_home, ["run", "-", "--base-url", "http://localhost:1"])
    assert done.returncode == 2
    assert b"the task is empty" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_disk_behind_the_output_is_one_line(
    own_home: Path, workspace: Path, form: list[str]
) -> None:
    with PlainServer(STEPS) as server:
        arguments = [*RUN, *local(workspace, server), *form]
        done = shell('"$@" >/dev/full', own_home, arguments)
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    assert "cannot be written: No space left on device" in lines[0]
    assert not (own_home / "reports").exists()


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("lines", [0, 1, 8])
def test_a_reader_that_goes_ends_the_run_as_a_pipe_does(
    own_home: Path, workspace: Path, form: list[str], lines: int
) -> None:
    with PlainServer(STEPS) as server:
        arguments = [*RUN, *local(workspace, server), *form]
        done = shell(f'"$@" | head -{lines} >&2; exit ${{PIPESTATUS[0]}}', own_home, arguments)
    assert b"unexpected error" not in done.stderr
    assert not (own_home / "reports").exists()
    assert done.returncode in (0, 141)  # all may have been written before the reader went


def test_no_command_takes_an_empty_id_for_the_only_session(
    cli: Cli, own_home: Path, workspace: Path
) -> None:
    with PlainServer(STEPS) as server:
        assert cli(*RUN, *local(workspace, server)).code == 0
    for command in (["sessions", "delete", ""], ["sessions", "show", ""], ["resume", ""]):
        ran = cli(*command)
        assert ran.code == 2
        assert "the session's id is empty" in ran.err
    assert len(SQLiteStore(own_home).sessions()) == 1
