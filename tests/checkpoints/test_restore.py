"""A restore gives the exact tree back, and touches nothing that no checkpoint covers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit import Session
from agentkit.checkpoints.folder import Bounds, Scan, plan
from agentkit.checkpoints.host import HostFolder
from agentkit.checkpoints.tree import Keeper, compare, load, name_of
from agentkit.errors import SessionError, StoreError, WorkspaceError

from .conftest import listing, opened

pytestmark = pytest.mark.anyio


def fill(folder: Path) -> None:
    (folder / "src/deep").mkdir(parents=True)
    (folder / "empty").mkdir(mode=0o750)
    (folder / "src/main.py").write_text("print(1)\n")
    (folder / "src/deep/data.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "private").write_text("mine\n")
    (folder / "private").chmod(0o600)
    (folder / "link").symlink_to("src/main.py")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "dangling").symlink_to("nowhere at all")
    (folder / "new\nline ü ' \" $x.txt").write_text("odd\n")
    os.mkdir(os.fsencode(folder) + b"/not\xffutf8")
    (folder / "none").touch()


def overwrite(folder: Path) -> None:
    (folder / "src/main.py").write_text("print(2)\nprint(3)\n")


def same_size_and_time(folder: Path) -> None:
    path = folder / "src/main.py"
    facts = path.stat()
    path.write_text("print(9)\n")
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def delete_all(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def change_modes(folder: Path) -> None:
    (folder / "run.sh").chmod(0o644)
    (folder / "private").chmod(0o666)
    (folder / "empty").chmod(0o700)
    (folder / "src").chmod(0o700)


def swap_kinds(folder: Path) -> None:
    (folder / "src/main.py").unlink()
    (folder / "src/main.py").mkdir()
    (folder / "src/main.py/inner").write_text("x")
    (folder / "link").unlink()
    (folder / "link").write_text("a file now")
    shutil.rmtree(folder / "src/deep")
    (folder / "src/deep").symlink_to("/etc")
    (folder / "empty").rmdir()
    (folder / "empty").write_text("file")


def retarget(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("run.sh")


def add_much(folder: Path) -> None:
    for number in range(30):
        (folder / f"new{number}/a/b").mkdir(parents=True)
        (folder / f"new{number}/a/b/file").write_text(str(number))
    os.mkfifo(folder / "pipe")


def rename_folder(folder: Path) -> None:
    (folder / "src").rename(folder / "lib")


CHANGES = [
    overwrite, same_size_and_time, delete_all, change_modes, swap_kinds, retarget, add_much,
    rename_folder,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_the_exact_tree_comes_back(
    session: Session, workspace: Path, change: Callable[[Path], None]
) -> None:
    fill(workspace)
    before = listing(workspace)
    first = await session.checkpoints.take("test")
    change(workspace)
    changed = listing(workspace)
    assert changed != before
    restored = await session.checkpoints.restore(first.id)
    after = {path: facts for path, facts in listing(workspace).items() if facts[0] != "other"}
    assert after == before
    assert restored.failed == ()
    assert restored.changed > 0
    # A restore can be undone.
    await session.checkpoints.restore(restored.before)
    assert listing(workspace) == changed


async def test_nothing_changed_is_nothing_restored(session: Session, workspace: Path) -> None:
    fill(workspace)
    one = await session.checkpoints.take("one")
    two = await session.checkpoints.take("two")
    assert (one.tree, two.new_bytes) == (two.tree, 0)
    restored = await session.checkpoints.restore(one.id)
    assert (restored.changed, restored.paths) == (0, ())


async def test_only_what_changed_is_read(session: Session, workspace: Path) -> None:
    fill(workspace)
    first = await session.checkpoints.take("one")
    assert first.read == 6
    folder = session.checkpoints._kept.folder  # pyright: ignore[reportPrivateUsage]
    assert isinstance(folder, HostFolder)
    last = session.checkpoints._kept.last  # pyright: ignore[reportPrivateUsage]
    assert last is not None
    # As it is some time later: files that were fresh then are trusted.
    scan = await folder.scan(last, session.checkpoints._contents)  # pyright: ignore[reportPrivateUsage]
    assert scan.tree == last.tree


async def test_what_no_checkpoint_covers_is_never_touched(
    session: Session, workspace: Path
) -> None:
    (workspace / ".gitignore").write_text("*.log\n/dist/\n")
    (workspace / "code.py").write_text("1\n")
    for name in (".git", "node_modules", "pkg/__pycache__", "dist"):
        (workspace / name).mkdir(parents=True)
        (workspace / name / "inner").write_text("keep")
    (workspace / "old.log").write_text("keep")
    first = await session.checkpoints.take("before")
    (workspace / "code.py").write_text("2\n")
    (workspace / "old.log").write_text("changed, and not ours to put back")
    (workspace / "node_modules/inner").write_text("changed")
    (workspace / "fresh/node_modules").mkdir(parents=True)
    (workspace / "fresh/node_modules/lib").write_text("installed")
    (workspace / "fresh/mine.py").write_text("x")
    await session.checkpoints.restore(first.id)
    assert (workspace / "code.py").read_text() == "1\n"
    assert (workspace / "old.log").read_text() == "changed, and not ours to put back"
    assert (workspace / "node_modules/inner").read_text() == "changed"
    assert (workspace / "fresh/node_modules/lib").read_text() == "installed"
    assert not (workspace / "fresh/mine.py").exists()


async def test_rules_that_change_in_between(session: Session, workspace: Path) -> None:
    (workspace / ".gitignore").write_text("*.log\n")
    (workspace / "a.log").write_text("was ignored then")
    (workspace / "b.txt").write_text("was covered then")
    first = await session.checkpoints.take("before")
    (workspace / ".gitignore").write_text("*.txt\n")
    (workspace / "b.txt").write_text("changed while ignored")
    await session.checkpoints.take("in between")
    await session.checkpoints.restore(first.id)
    assert (workspace / "a.log").read_text() == "was ignored then"
    assert (workspace / "b.txt").read_text() == "was covered then"


async def test_a_folder_that_was_swapped_for_a_link_is_not_followed(
    session: Session, workspace: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "main.py").write_text("the host's own")
    (workspace / "src").mkdir()
    (workspace / "src/main.py").write_text("x = 1\n")
    first = await session.checkpoints.take("before")
    shutil.rmtree(workspace / "src")
    (workspace / "src").symlink_to(victim)
    second = await session.checkpoints.take("a link")
    assert "the host's own" not in (await session.checkpoints.diff(first.id, second.id)).text
    await session.checkpoints.restore(first.id)
    assert (victim / "main.py").read_text() == "the host's own"
    assert (workspace / "src/main.py").read_text() == "x = 1\n"
    assert not (workspace / "src").is_symlink()


async def test_a_large_file_is_noticed_and_left_alone(workspace: Path) -> None:
    async with opened("local", workspace, checkpoints=Bounds(file_bytes=1000)) as s:
        (workspace / "big").write_bytes(b"x" * 2000)
        (workspace / "small").write_text("1")
        first = await s.checkpoints.take("before")
        assert "big" in first.notice
        (workspace / "big").write_bytes(b"y" * 3000)
        (workspace / "small").write_text("2")
        second = await s.checkpoints.take("after")
        assert {each.path for each in (await s.checkpoints.diff(first.id, second.id)).files} == {
            "big", "small",
        }  # fmt: skip
        restored = await s.checkpoints.restore(first.id)
        assert (workspace / "small").read_text() == "1"
        assert (workspace / "big").stat().st_size == 3000
        assert restored.failed == ("big: it was too large to be kept",)


async def test_too_many_files_end_checkpoints_with_a_notice(workspace: Path) -> None:
    for number in range(30):
        (workspace / str(number)).touch()
    async with opened("local", workspace, checkpoints=Bounds(files=20)) as s:
        taken = await s.checkpoints.take("before")
        assert taken.tree == ""
        assert "more than 20 files" in taken.notice
        with pytest.raises(SessionError, match="more than 20 files"):
            await s.checkpoints.restore(taken.id)


async def test_bad_input(session: Session, workspace: Path) -> None:
    with pytest.raises(SessionError, match="no checkpoint 'c9'"):
        await session.checkpoints.restore("c9")
    taken = await session.checkpoints.take("x")
    os.rename(workspace, workspace.with_name("moved"))
    with pytest.raises(WorkspaceError, match="cannot be read"):
        await session.checkpoints.restore(taken.id)


async def test_the_difference_is_a_patch_and_a_count(session: Session, workspace: Path) -> None:
    (workspace / "a.py").write_text("one\ntwo\nthree\n")
    (workspace / "gone.py").write_text("x\n")
    (workspace / "bin").write_bytes(b"\0\1")
    one = await session.checkpoints.take("one")
    (workspace / "a.py").write_text("one\n2\nthree\n--- four\n")
    (workspace / "gone.py").unlink()
    (workspace / "bin").write_bytes(b"\0\2")
    (workspace / "new.py").write_text("+++ y\n")
    difference = await session.checkpoints.diff(one.id)
    found = {each.path: (each.what, each.plus, each.minus) for each in difference.files}
    assert found == {
        "a.py": ("changed", 2, 1),
        "bin": ("changed", None, None),
        "gone.py": ("deleted", 0, 1),
        "new.py": ("added", 1, 0),
    }
    assert "4 files changed, +3 -2" in difference.stat
    assert "-two\n+2\n" in difference.text


class Shelf(dict[str, bytes]):
    """Contents in memory."""

    def add(self, data: bytes) -> str:
        self[name_of(data)] = data
        return name_of(data)

    def get(self, name: str) -> bytes:  # type: ignore[override]
        if name not in self:
            raise StoreError(name)
        return self[name]

    def holds_secret(self, data: bytes) -> bool:
        return False

    def flush(self) -> int:
        return 0


NAMES = st.sampled_from(["a", "b", "c"])
STATE = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=3), max_size=6
)


def build(folder: Path, state: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, data in sorted(state.items()):
        place = folder / path
        if any(parent.is_file() for parent in (place, *place.parents)) or place.is_dir():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


@settings(max_examples=60, deadline=None)
@given(old=STATE, new=STATE)
def test_any_state_leads_to_any_other(
    tmp_path_factory: pytest.TempPathFactory, old: dict[str, bytes], new: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "states"
    host, shelf = HostFolder(folder, Bounds()), Shelf()
    build(folder, old)
    first = host.scan_now(Scan(), shelf)
    expected, name = listing(folder), Keeper(shelf).keep(first.tree)
    build(folder, new)
    second = host.scan_now(first, shelf)
    other = Keeper(shelf).keep(second.tree)
    assert load(shelf, name) == first.tree
    assert bool(list(compare(shelf, name, other))) == (listing(folder) != expected)
    done = host.apply_now(plan(second.tree, first.tree), shelf)
    assert done.failed == []
    assert listing(folder) == expected
