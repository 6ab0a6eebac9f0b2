"""``sessions fork|undo|show --diff|export|replay`` as commands, against the world."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agentkit.exports.atif_rules import problems
from agentkit.testing import Call, FakeDeepSeek, Reply

from .conftest import Cli


def bash(command: str) -> Reply:
    return Reply(calls=[Call("bash", {"command": command})])


@pytest.fixture
def ran(cli: Cli, workspace: Path) -> str:
    """A session of two messages that changed files."""
    script = [bash("echo one >>calc.py"), "First.", bash("rm test_calc.py; echo 2 >new"), "Second."]
    with FakeDeepSeek(script) as server:
        start = ["--workspace", str(workspace), "--sandbox", "local", "--approve", "auto"]
        url = ["--base-url", server.base_url]
        first = cli("run", "do the first", "--session", "mine", *start, *url)
        assert first.code == 0, first.err
        assert cli("resume", "mine", "do the second").code == 0
    return "mine"


def test_undo_and_fork(cli: Cli, workspace: Path, ran: str, tmp_path: Path) -> None:
    forked = cli("sessions", "fork", ran, "--turn", "1", "--workspace", str(tmp_path / "fork"))
    assert forked.code == 0, forked.err
    assert sorted(each.name for each in (tmp_path / "fork").iterdir()) == [
        "calc.py", "test_calc.py",
    ]  # fmt: skip
    assert (workspace / "new").exists()

    undone = cli("sessions", "undo", ran)
    assert undone.code == 0, undone.err
    assert (workspace / "test_calc.py").exists()
    assert not (workspace / "new").exists()
    assert "one" in (workspace / "calc.py").read_text()
    child = re.search(r"session +(\S+),", undone.out)
    assert child is not None
    with FakeDeepSeek(["Third."]) as server:
        third = cli("resume", child[1], "something else", "--base-url", server.base_url)
        assert third.code == 0, third.err
        sent = json.dumps(server.requests[0].body)
    assert "do the first" in sent
    assert "do the second" not in sent
    assert cli("sessions", "show", ran).code == 0


def test_a_chat_on_a_copy_goes_on_in_its_own_copy_after_an_undo(
    cli: Cli, workspace: Path, own_home: Path
) -> None:
    """Seen from the new session alone: its copy, its patch, and the model's own workspace."""
    script = [bash("echo 1 >one"), "One.", bash("echo 2 >two; pwd"), "Two.", bash("ls; pwd"), "Ok."]
    words = b"make one\n/undo\nmake two\n/quit\n"
    with FakeDeepSeek(script) as server:
        start = ["--workspace", str(workspace), "--sandbox", "local", "--approve", "auto"]
        url = ["--base-url", server.base_url, "--workspace-mode", "copy"]
        chat = cli("chat", "--session", "old", *start, *url, stdin=words)
        assert chat.code == 0, chat.err
        found = re.search(r"the session is (\S+) now", chat.out + chat.err)
        assert found is not None
        child = own_home / "sessions" / found[1]
        assert sorted(each.name for each in (child / "workspace").iterdir()) == [
            "calc.py", "test_calc.py", "two",
        ]  # fmt: skip
        again = cli("resume", found[1], "look", "--base-url", server.base_url)
        assert again.code == 0, again.err
        results = [str(m["content"]) for m in server.requests[-1].body["messages"]]
    patch = (child / "changes.patch").read_text()
    assert "b/two" in patch
    assert "b/one" not in patch
    assert sum(str(child / "workspace") in each for each in results) >= 2
    old = own_home / "sessions" / "old" / "workspace"
    assert not (old / "one").exists()
    assert not (old / "two").exists()


def test_show_diff_export_and_replay(cli: Cli, workspace: Path, ran: str, tmp_path: Path) -> None:
    shown = cli("sessions", "show", ran, "--diff", "3")
    assert "deleted file mode" in shown.out
    assert "2 files changed" in shown.out
    assert "changed no files" in cli("sessions", "show", ran, "--diff", "2").out
    missing = cli("sessions", "show", ran, "--diff", "9")
    assert (missing.code, "no turn 9" in missing.err) == (2, True)

    out = {each: tmp_path / f"out.{each}" for each in ("jsonl", "atif", "html")}
    for kind, path in out.items():
        assert cli("sessions", "export", ran, "--format", kind, "-o", str(path)).code == 0
    assert problems(json.loads(out["atif"].read_text())) == []
    assert "files changed in turn 3" in out["html"].read_text()

    again = cli("sessions", "replay", str(out["jsonl"]))
    assert again.code == 0, again.out + again.err
    assert "no drift" in again.out
    lines = out["jsonl"].read_text().splitlines()
    out["jsonl"].write_text("\n".join(each.replace("Second.", "Other.") for each in lines[:-1]))
    cut = cli("sessions", "replay", str(out["jsonl"]))
    assert (cut.code, "drift after" in cut.out) == (1, True)


def test_bad_input(cli: Cli, workspace: Path, ran: str, tmp_path: Path) -> None:
    for arguments, words in (
        (["undo", "nobody"], "no session"),
        (["undo", ran, "--to-turn", "77"], "no turn 77"),
        (["fork", ran, "--turn", "77"], "no turn 77"),
        (["fork", ran, "--workspace", str(workspace)], "not empty"),
        (["export", ran, "--format", "pdf"], "no export format"),
        (["replay", str(tmp_path / "none")], "neither a file nor a session"),
        (["replay", ran, "--live"], "--workspace DIR"),
    ):
        failed = cli("sessions", *arguments)
        assert failed.code == 2, (arguments, failed)
        assert words in failed.err, (arguments, failed.err)
    workspace.rename(workspace.with_name("moved"))
    moved = cli("sessions", "undo", ran)
    assert moved.code == 2
    assert "does not exist" in moved.err
