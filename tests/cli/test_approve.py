"""Approvals from the command line: asked on a terminal, left open, answered later."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply

from .conftest import Cli, command, environment


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._master, inside = pty.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            command(arguments), stdin=inside, stdout=inside, stderr=inside,
            env=environment({"TERM": "xterm", "COLUMNS": "200", "LINES": "50"}),
            start_new_session=True,
        )  # fmt: skip
        os.close(inside)

    def until(self, text: str, seconds: float = 60) -> None:
        """Read until the text is on the screen."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} was never shown:\n{self.seen}"
            self._read(left)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._master, 65_536)
        except OSError:  # the other side is closed
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)

    def say(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    def end(self) -> int:
        while self._read(60):
            if self.process.poll() is not None:
                break
        return self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminals() -> Generator[list[Terminal]]:
    made: list[Terminal] = []
    yield made
    for each in made:
        each.close()


def bash(text: str, id: str = "call_1") -> Reply:
    return Reply(calls=[Call("bash", {"command": text}, id=id)])


def asking(workspace: Path, server: FakeDeepSeek) -> list[str]:
    return [
        "--workspace", str(workspace), "--sandbox", "local", "--preset", "minimal",
        "--base-url", server.base_url, "--session", "mine",
    ]  # fmt: skip


def kinds(home: Path) -> list[str]:
    store = SQLiteStore(home)
    try:
        return [row.type for row in store.read("mine")]
    finally:
        store.close()


def test_without_a_terminal_the_run_waits_and_says_how_to_answer(
    cli: Cli, workspace: Path, own_home: Path
) -> None:
    with FakeDeepSeek([bash("touch made"), "Done."]) as server:
        ran = cli("run", "x", *asking(workspace, server))
        assert ran.code == 6
        text = ran.out + ran.err
        assert "waiting for approval" in text
        assert "agentkit sessions approve mine call_1" in text
        assert "agentkit resume mine" in text
        assert not (workspace / "made").exists()
        listed = cli("sessions", "approve", "mine")
        assert (listed.code, "touch made" in listed.out) == (0, True)
        assert cli("resume", "mine").code == 6  # nobody answered meanwhile
        wrong = cli("sessions", "approve", "mine", "call_9")
        assert (wrong.code, "call_1 (bash)" in wrong.err) == (2, True)
        assert cli("sessions", "approve", "mine", "call_1", "--reason", "x").code == 2
        given = cli("sessions", "approve", "mine", "call_1")
        assert (given.code, "agentkit resume mine" in given.out) == (0, True)
        again = cli("sessions", "approve", "mine", "call_1", "--deny")
        assert (again.code, "approved already" in again.err) == (2, True)
        assert not (workspace / "made").exists()
        ended = cli("resume", "mine")
    assert ended.code == 0, ended.err
    assert (workspace / "made").exists()
    assert kinds(own_home).count("tool.started") == 1


def test_a_denial_is_read_by_the_model(cli: Cli, workspace: Path) -> None:
    with FakeDeepSeek([bash("touch made"), "As you like."]) as server:
        assert cli("run", "x", *asking(workspace, server)).code == 6
        denied = cli("sessions", "approve", "mine", "call_1", "--deny", "--reason", "Use the API.")
        assert denied.code == 0
        assert cli("resume", "mine").code == 0
        said = server.requests[-1].body["messages"]
    assert "The user declined this call: Use the API." in str(said)
    assert not (workspace / "made").exists()


@pytest.mark.parametrize("answered", ["on the terminal", "meanwhile"])
def test_killed_at_the_question(
    cli: Cli, workspace: Path, own_home: Path, terminals: list[Terminal], answered: str
) -> None:
    with FakeDeepSeek([bash("echo ran >>made"), "Done after all."]) as server:
        terminals.append(Terminal(["run", "x", *asking(workspace, server)]))
        terminals[0].until("run it?")
        in_use = cli("sessions", "approve", "mine", "call_1")
        assert (in_use.code, "in use" in in_use.err) == (2, True)
        os.killpg(terminals[0].process.pid, signal.SIGKILL)
        terminals[0].process.wait(30)
        assert kinds(own_home)[-1] == "approval.asked"
        assert not (workspace / "made").exists()
        if answered == "meanwhile":
            assert cli("sessions", "approve", "mine", "call_1").code == 0
        terminals.append(Terminal(["resume", "mine"]))
        if answered == "on the terminal":
            terminals[1].until("run it?")
            assert "echo ran >>made" in terminals[1].seen
            terminals[1].say("y")
        terminals[1].until("Done after all.")
        assert terminals[1].end() == 0
    assert (workspace / "made").read_text() == "ran\n"
    assert "tool.started" in kinds(own_home)
    assert server.violations == []


def test_no_on_the_terminal_has_a_reason(workspace: Path, terminals: list[Terminal]) -> None:
    with FakeDeepSeek([bash("touch made"), "As you like."]) as server:
        terminals.append(Terminal(["run", "x", *asking(workspace, server)]))
        terminals[0].until("run it?")
        terminals[0].say("n")
        terminals[0].until("why not?")
        terminals[0].say("Use the API.")
        terminals[0].until("As you like.")
        terminals[0].end()
        said = server.requests[-1].body["messages"]
    assert "The user declined this call: Use the API." in str(said)
    assert not (workspace / "made").exists()


def test_rules_from_a_file_and_what_the_project_may_not_say(
    cli: Cli, workspace: Path, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('allow = ["touch made*"]\ndeny = ["touch bad*"]\n')
    script = [bash("touch made"), bash("touch bad"), bash("git status; ls"), "Done."]
    with FakeDeepSeek(script) as server:
        ran = cli("run", "x", *asking(workspace, server), "--approve", str(rules))
        assert ran.code == 0, ran.out + ran.err
        assert "approval   ask, rules: 1 allow, 1 deny" in ran.out
    assert (workspace / "made").exists()
    assert not (workspace / "bad").exists()
    (workspace / "agentkit.toml").write_text('[approve]\nallow = ["touch *"]\n')
    with FakeDeepSeek(["Done."]) as server:
        options = [each if each != "mine" else "other" for each in asking(workspace, server)]
        refused = cli("run", "x", *options)
        assert (refused.code, "--approve" in refused.err) == (2, True)
        (workspace / "agentkit.toml").write_text('[approve]\ndeny = ["touch *"]\n')
        assert cli("run", "x", *options).code == 0
        for wrong in ("never", str(tmp_path / "none.toml")):
            assert cli("run", "x", *options, "--approve", wrong).code == 2


def test_a_project_s_checks_run_on_this_machine_only_if_the_user_says_so(
    cli: Cli, workspace: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "escaped"
    (workspace / "agentkit.toml").write_text(f'check = ["touch {mark}"]\n')
    with FakeDeepSeek(["Done."]) as server:
        options = ["--workspace", str(workspace), "--sandbox", "local", "--base-url"]
        options += [server.base_url, "--approve", "read-only"]
        refused = cli("run", "x", *options)
        assert refused.code == 2, refused.err
        assert f"--check 'touch {mark}'" in refused.err
        assert not mark.exists()
        assert cli("run", "x", *options, "--check", "true").code == 0
    assert not mark.exists()


@pytest.mark.docker
def test_what_was_allowed_in_a_container_is_not_allowed_on_this_machine(
    cli: Cli, workspace: Path, tmp_path: Path
) -> None:
    """A session that goes on outside Docker asks, and runs no check of the project's own."""
    mark = tmp_path / "escaped"
    (workspace / "agentkit.toml").write_text(f'check = ["touch {mark}; true"]\n')
    script = ["Done.", bash(f"touch {mark}"), "Refused, then."]
    with FakeDeepSeek(script) as server:
        url = ["--base-url", server.base_url]
        ran = cli("run", "x", "--workspace", str(workspace), "--session", "mine", *url)
        assert ran.code == 0, ran.out + ran.err
        outside = ["resume", "mine", "More", "--sandbox", "local", *url]
        refused = cli(*outside)
        assert refused.code == 2, refused.out + refused.err
        assert f"--check 'touch {mark}; true'" in refused.err
        asked = cli(*outside, "--check", "true")
        assert asked.code == 6, asked.out + asked.err
        assert "sessions approve mine" in asked.out + asked.err
    assert not mark.exists()


def test_the_question_shows_what_runs(workspace: Path, terminals: list[Terminal]) -> None:
    nasty = "ls \u202e\x1b[2K\n\n\n\n\n\n\n\ntouch made # \x1b]0;title\x07"
    with FakeDeepSeek([bash(nasty), "As you like."]) as server:
        terminals.append(Terminal(["run", "x", *asking(workspace, server)]))
        terminals[0].until("run it?")
        seen = terminals[0].seen
        terminals[0].say("n")
        terminals[0].say("")
        terminals[0].end()
    question = seen[seen.index("wants to run") :]
    assert "ls \\u202e\\x1b[2K" in question
    assert "[7 empty lines]" in question
    assert "touch made # \\x1b]0;title\\x07" in question
    assert "risk: high" in question
    assert not (workspace / "made").exists()
