"""The tools where little is there, little is allowed, or the disk is full."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agentkit.sandboxes import Docker
from agentkit.tools._engines import Engine
from agentkit.tools.bash import bash
from agentkit.tools.editor import str_replace_editor as editor
from agentkit.tools.environment import environment_facts
from agentkit.tools.searcher import search

from .conftest import Desk, opened

pytestmark = pytest.mark.docker
BARE = "debian:bookworm-slim"


async def test_an_image_without_ripgrep_git_and_python(workspace: Path) -> None:
    async with opened(Docker(workspace=workspace, image=BARE)) as desk:
        engine = await Engine.of(desk.context(), desk.sandbox)
        assert not engine.has_rg
        assert not engine.has_git
        await desk.put("src/a b.py", "import os\nneedle = 1\n")
        await desk.put("node_modules/x.py", "needle\n")
        text = await desk.text(search, pattern=r"^needle = \d$", glob="*.py")
        assert text.startswith("src/a b.py\n2: needle = 1\n[1 match in 1 file]\n[ignore files are")
        edit = {"command": "str_replace", "path": "src/a b.py"}
        await desk.call(editor, **edit, old_str="needle = 1", new_str="needle = 2")
        assert await desk.text(bash, command="tail -n 1 'src/a b.py'") == "needle = 2"
        facts = await environment_facts(desk.sandbox)
        assert "Programs: apt-get\n" in facts
        assert "Git: not a repository" in facts
        assert facts.endswith("src/a b.py")


@pytest.fixture
def foreign(workspace: Path) -> Path:
    """A workspace of another user than the one who works in it."""
    (workspace / "open.txt").write_text("needle in the open\n")
    (workspace / "secret.txt").write_text("needle in the dark\n")
    (workspace / "secret.txt").chmod(0o600)
    (workspace / "closed").mkdir(mode=0o700)
    (workspace / "closed" / "x").write_text("needle\n")
    for folder in (workspace, workspace.parent, workspace.parent.parent):
        folder.chmod(0o755)
    return workspace


async def test_what_is_denied_is_said_and_changes_nothing(foreign: Path) -> None:
    async with opened(Docker(workspace=foreign, user="1234:1234")) as desk:
        await _denied(desk)
    assert (foreign / "open.txt").read_text() == "needle in the open\n"
    assert not (foreign / "new.txt").exists()


async def _denied(desk: Desk) -> None:
    said = await desk.refused(editor, command="create", path="new.txt", file_text="x")
    assert "new.txt" in said
    assert "Nothing was changed" in said
    edit = {"command": "str_replace", "path": "open.txt", "old_str": "open", "new_str": "x"}
    assert "Nothing was changed" in await desk.refused(editor, **edit)
    assert "secret.txt" in await desk.refused(editor, command="view", path="secret.txt")
    assert "closed" in await desk.refused(editor, command="view", path="closed")
    listing = await desk.text(editor, command="view", path=".")
    assert listing.splitlines()[:-1] == ["closed/", "open.txt", "secret.txt"]
    for has_rg in (True, False):
        engine = await Engine.of(desk.context(), desk.sandbox)
        desk.state["search_engine"] = Engine(
            desk.sandbox, has_rg and engine.has_rg, False, engine.greps_perl, engine.greps_nul
        )
        text = await desk.text(search, pattern="needle")
        assert text.startswith("open.txt\n1: needle in the open\n[1 match in 1 file]")


@pytest.fixture
def repository(foreign: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(foreign)], check=True)
    (foreign / ".gitignore").write_text("*.log\n")
    (foreign / "a.log").write_text("needle\n")
    return foreign


async def test_a_repository_of_another_owner_is_searched(repository: Path) -> None:
    async with opened(Docker(workspace=repository, user="1234:1234")) as desk:
        engine = await Engine.of(desk.context(), desk.sandbox)
        desk.state["search_engine"] = Engine(
            desk.sandbox, False, True, engine.greps_perl, engine.greps_nul
        )
        text = await desk.text(search, pattern="needle")
        assert text == "open.txt\n1: needle in the open\n[1 match in 1 file]"
        assert "Git: branch No commits yet" in await environment_facts(desk.sandbox)


async def test_a_full_tmp_moves_the_copy_elsewhere(workspace: Path) -> None:
    provider = Docker(workspace=workspace, tmpfs={"/tmp": "256k", "/var/tmp": "8m"})
    async with opened(provider) as desk:
        text = await desk.text(bash, command="seq 1 100000")
        assert "all of it is in /var/tmp/agentkit/" in text


async def test_without_any_writable_folder_the_loss_is_said(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentkit.tools.bash._COPY_FOLDERS", ("/proc/no", "/sys/no"))
    async with opened(Docker(workspace=workspace)) as desk:
        text = await desk.text(bash, command="seq 1 100000")
        assert "no folder could be written to keep it" in text


async def test_a_full_disk_does_not_damage_the_file(workspace: Path) -> None:
    async with opened(Docker(workspace=workspace, tmpfs={"/small": "64k"})) as desk:
        await desk.call(editor, command="create", path="/small/a", file_text="whole\n")
        edit = {"command": "str_replace", "path": "/small/a", "old_str": "whole"}
        said = await desk.refused(editor, **edit, new_str="x" * 200_000)
        assert "Nothing was changed" in said
        assert await desk.sandbox.read_file("/small/a") == b"whole\n"
        await desk.call(editor, **edit, new_str="still editable")


async def test_a_command_out_of_memory_is_told(workspace: Path) -> None:
    async with opened(Docker(workspace=workspace, memory="64m")) as desk:
        hog = "python3 -c 'x = bytearray(500_000_000); print(len(x))'"
        result = await desk.call(bash, command=hog, timeout=60)
        assert "out of memory" in result.content or "[exit code: 137]" in result.content
        assert await desk.text(bash, command="echo alive") == "alive"
