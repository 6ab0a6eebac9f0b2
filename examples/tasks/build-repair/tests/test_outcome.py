import shutil
import subprocess
from pathlib import Path

import pytest

WANTED = """\
1. Opening
2. Lending
3. Closing

== Opening ==
Unlock the door.

== Lending ==
Scan the card.

Scan the book.

== Closing ==
Switch off the lights.

"""


@pytest.fixture
def work(tmp_path):
    copy = tmp_path / "work"
    shutil.copytree("/work", copy)
    for name in ("build", "dist"):
        shutil.rmtree(copy / name, ignore_errors=True)
    (copy / "format.log").unlink(missing_ok=True)
    return copy


def make(work, *args):
    done = subprocess.run(["make", *args], cwd=work, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def formatted(work):
    log = work / "format.log"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(lines)


@pytest.mark.parametrize("options", [(), ("-j8",)])
def test_fresh_build(work, options):
    make(work, *options)
    assert (work / "dist/handbook.txt").read_text() == WANTED
    assert len(formatted(work)) == 3


def test_second_make_does_nothing(work):
    make(work)
    formatted(work)
    before = (work / "dist/handbook.txt").stat().st_mtime_ns
    make(work)
    assert formatted(work) == []
    assert (work / "dist/handbook.txt").stat().st_mtime_ns == before


def test_only_what_depends_on_a_changed_chapter(work):
    make(work)
    formatted(work)
    chapter = work / "chapters/02-lending.md"
    chapter.write_text("# Lending out\nScan both.\n")
    subprocess.run(["touch", "-d", "+2 seconds", chapter], check=True)
    make(work)
    assert formatted(work) == ["formatted chapters/02-lending.md"]
    text = (work / "dist/handbook.txt").read_text()
    assert "2. Lending out" in text
    assert "== Lending out ==" in text


def test_new_chapter(work):
    make(work)
    (work / "chapters/02b-returns.md").write_text("# Returns\nCheck for notes.\n")
    make(work)
    titles = [line for line in (work / "dist/handbook.txt").read_text().splitlines() if line[:1].isdigit()]
    assert titles == ["1. Opening", "2. Lending", "3. Returns", "4. Closing"]


def test_clean(work):
    before = sorted(path.relative_to(work) for path in work.rglob("*"))
    make(work)
    (work / "format.log").unlink(missing_ok=True)
    make(work, "clean")
    assert sorted(path.relative_to(work) for path in work.rglob("*")) == before


def test_scripts_and_chapters_are_as_they_were(work):
    assert (work / "format.sh").read_text().startswith("#!/bin/sh\n# format.sh CHAPTER")
    assert "formatted $1" in (work / "format.sh").read_text()
    assert sorted(path.name for path in (work / "chapters").iterdir()) == [
        "01-opening.md", "02-lending.md", "03-closing.md",
    ]  # fmt: skip
