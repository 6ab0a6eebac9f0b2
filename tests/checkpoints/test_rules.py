"""Ignore rules: the same verdicts as git's own, on its own syntax."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.checkpoints.rules import ALWAYS, IgnoreFile, Rules

TREE = (
    "a.log", "b.txt", "build/x.o", "build/keep.txt", "docs/a.log", "docs/build/y.o", "src/a.py",
    "src/deep/er/z.tmp", "src/deep/b.log", "#hash", "!bang", "sp ace ", "x[1].c", "x1.c", "deep",
    "foo/bar/baz", "foo/baz", "bar/foo", ".env", "x.Log", "a\\b",
)  # fmt: skip

PATTERNS = (
    "*.log", "!a.log", "build/", "/build", "docs/*", "!docs/build/", "**/deep", "src/**",
    "src/**/z.tmp", "foo/**/baz", "\\#hash", "\\!bang", "sp ace\\ ", "sp ace ", "x[0-9].c",
    "x[[]1].c", "x[!2].c", "# comment", "", "/", "*", "!*/", "!src/a.py", "?.txt", "foo/b*",
    "/foo/*/baz", ".*", "deep/", "[", "a\\", "**", "/**", "a**b", "x[[:digit:]].c", "**/",
    "foo/", "!foo/baz", "bar/foo/", "a\\\\b",
)  # fmt: skip


def by_git(folder: Path, paths: tuple[str, ...]) -> set[str]:
    git = ["git", "-c", "core.excludesFile=", "-C", str(folder)]
    asked = "\0".join(paths).encode() + b"\0"
    done = subprocess.run(
        [*git, "check-ignore", "--no-index", "-z", "--stdin"],
        input=asked, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def by_us(folder: Path, paths: tuple[str, ...]) -> set[str]:
    ignored: set[str] = set()
    for path in paths:
        rules, walked = Rules(), ""
        for name in path.split("/"):
            own = folder / walked / ".gitignore"
            text = own.read_text(encoding="utf-8") if own.is_file() else ""
            rules = rules.below(walked, [IgnoreFile(text)] if text else [])
            walked = f"{walked}/{name}" if walked else name
            if rules.ignores(name, folder=(folder / walked).is_dir()):
                ignored.add(path)
                break
    return ignored


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rules")
    for path in TREE:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")
    subprocess.run(["git", "-C", str(folder), "init", "-q"], check=True)
    return folder


@settings(max_examples=120, deadline=None)
@given(
    top=st.lists(st.sampled_from(PATTERNS), max_size=6),
    inner=st.lists(st.sampled_from(PATTERNS), max_size=3),
)
def test_the_same_verdict_as_git(repository: Path, top: list[str], inner: list[str]) -> None:
    (repository / ".gitignore").write_text("\n".join(top))
    (repository / "src/.gitignore").write_text("\n".join(inner))
    assert by_us(repository, TREE) == by_git(repository, TREE)


def test_some_names_are_left_out_whatever_a_project_says() -> None:
    rules = Rules().below("", [IgnoreFile("!node_modules\n!.git\n")])
    assert all(rules.ignores(name, folder=True) for name in ALWAYS)
