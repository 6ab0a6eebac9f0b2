"""``search`` gives the same answers with ripgrep, with git and grep, and with find and grep."""

from __future__ import annotations

import time
from dataclasses import replace

import anyio
import pytest
from anyio.lowlevel import checkpoint

from agentkit.tools import _hits
from agentkit.tools._engines import Engine
from agentkit.tools.searcher import search

from .conftest import DOCKER, Desk


@pytest.fixture(params=["rg", "git", "find"])
async def finder(desk: Desk, request: pytest.FixtureRequest) -> Desk:
    """A desk whose search is held to one of the three ways."""
    engine = await Engine.of(desk.context(), desk.sandbox)
    if request.param == "rg" and not engine.has_rg:
        pytest.skip("no ripgrep here")
    if request.param == "git":
        await desk.sh("git init -q")
        engine = replace(engine, has_rg=False)
    elif request.param == "find":
        engine = replace(engine, has_rg=False, has_git=False)
    desk.state["search_engine"] = engine
    return desk


async def test_lines_stand_under_their_file(finder: Desk) -> None:
    await finder.put("b.py", "import os\nx = 1\nimport sys\n")
    await finder.put("a/c.py", "import re\n")
    text = await finder.text(search, pattern=r"^import \w+$")
    assert text.startswith(
        "a/c.py\n1: import re\nb.py\n1: import os\n3: import sys\n[3 matches in 2 files]"
    )


async def test_megabytes_of_results_do_not_hold_the_event_loop(finder: Desk) -> None:
    count = 150_000
    await finder.sh(f"yes needle | head -n {count} >a.txt")
    results = b"".join(b"a.txt\0%d:needle\n" % number for number in range(count))
    before = time.thread_time()
    _hits.parse_nul(results)
    alone = time.thread_time() - before
    texts: list[str] = []
    longest = 0.0

    async def find() -> None:
        texts.append(await finder.text(search, pattern="needle", path="a.txt"))

    async with anyio.create_task_group() as group:
        group.start_soon(find)
        while not texts:
            before = time.thread_time()
            await checkpoint()
            longest = max(longest, time.thread_time() - before)
    assert f"{count:,} matches" in texts[0]
    assert longest < alone / 2


async def test_a_glob_narrows(finder: Desk) -> None:
    for name in ("a.py", "a.js", "src/b.py", "src/deep/c.py"):
        await finder.put(name, "needle\n")

    async def found(glob: str) -> list[str]:
        text = await finder.text(search, pattern="needle", glob=glob)
        return [line for line in text.splitlines() if line.endswith((".py", ".js"))]

    assert await found("*.py") == ["a.py", "src/b.py", "src/deep/c.py"]
    assert await found("src/*.py") == ["src/b.py"]
    assert await found("src/**/*.py") == ["src/b.py", "src/deep/c.py"]
    assert await found("*.{js,ts}") == ["a.js"]
    assert await found("!*.py") == ["a.js"]


async def test_files_are_listed_by_name(finder: Desk) -> None:
    for name in ("a.py", "src/b.py", "c.js", ".github/w.yml"):
        await finder.put(name, "")
    text = await finder.text(search, glob="*.py")
    assert text.startswith("a.py\nsrc/b.py\n[2 files]")
    assert (await finder.text(search, glob="*.yml")).startswith(".github/w.yml\n[1 file]")
    assert (await finder.text(search, glob="*.rs")).startswith("No file matches in ")


async def test_a_path_narrows_and_stays_in_the_names(finder: Desk) -> None:
    await finder.put("src/a.py", "x\nneedle\n")
    await finder.put("other/a.py", "needle\n")
    text = await finder.text(search, pattern="needle", path="src")
    assert text.startswith("src/a.py\n2: needle\n[1 match in 1 file]")
    text = await finder.text(search, pattern="needle", path=finder.path("src/a.py"))
    assert text.startswith("src/a.py\n2: needle\n[1 match in 1 file]")


async def test_outside_the_workspace_names_are_absolute(finder: Desk) -> None:
    text = await finder.text(search, pattern="^root:", path="/etc/passwd")
    assert text.startswith("/etc/passwd\n1: root:")


async def test_ignored_files_are_skipped(finder: Desk) -> None:
    await finder.put("a.py", "needle\n")
    await finder.put("node_modules/x/b.js", "needle\n")
    await finder.put(".gitignore", "node_modules/\n")
    await finder.put(".git/description", "needle\n")
    text = await finder.text(search, pattern="needle")
    assert text.startswith("a.py\n1: needle\n[1 match in 1 file]")
    if not finder.state["search_engine"].has_rg and not finder.state["search_engine"].has_git:
        assert "[ignore files are not applied here; skipped: .git, " in text


async def test_case_and_context(finder: Desk) -> None:
    await finder.put("a", "one\nTWO\nthree\nfour\nfive\nsix\ntwo\n")
    assert "[1 match in 1 file]" in await finder.text(search, pattern="two")
    text = await finder.text(search, pattern="two", ignore_case=True, context_lines=1)
    assert text.startswith("a\n1- one\n2: TWO\n3- three\n  …\n6- six\n7: two\n[2 matches")


async def test_no_match_says_where_it_looked(finder: Desk) -> None:
    await finder.put("a.py", "x\n")
    text = await finder.text(search, pattern="needle", glob="*.py")
    assert text.startswith(f"No line matches 'needle' in {finder.sandbox.workdir} *.py.")


async def test_a_broken_pattern_is_explained(finder: Desk) -> None:
    await finder.put("a", "x\n")
    said = await finder.refused(search, pattern="foo(")
    assert "failed" in said
    assert "(" in said


async def test_digits_and_word_boundaries_work_everywhere(finder: Desk) -> None:
    await finder.put("a", "v1\nv22\nvx\nav1\n")
    text = await finder.text(search, pattern=r"\bv\d+\b")
    assert text.startswith("a\n1: v1\n2: v22\n[2 matches")


@pytest.mark.parametrize("pattern", ["-e", "--files", "$(touch pwned)", "`id`", "a'b", 'a"b'])
async def test_patterns_are_only_patterns(finder: Desk, pattern: str) -> None:
    await finder.put("a", "-e --files $(touch pwned) `id` a'b a\"b\n")
    escaped = pattern.replace("$", r"\$").replace("(", r"\(").replace(")", r"\)")
    assert "[1 match in 1 file]" in await finder.text(search, pattern=escaped)
    assert await finder.sandbox.stat(finder.path("pwned")) is None


@pytest.mark.parametrize("name", ["with space", "-rf", "a:3:b", "quote'\"`", "é☃", "a-1-b"])
async def test_odd_names_are_only_names(finder: Desk, name: str) -> None:
    await finder.put(name, "needle\n")
    text = await finder.text(search, pattern="needle")
    assert text.startswith(f"{name}\n1: needle\n[1 match in 1 file]")
    assert "1: needle" in await finder.text(search, pattern="needle", path=finder.path(name))


async def test_a_line_break_in_a_name_does_no_harm(finder: Desk) -> None:
    await finder.put("a\nb", "needle\n")
    await finder.put("c", "needle\n")
    text = await finder.text(search, pattern="needle")
    assert "c\n1: needle" in text
    assert "a\\nb\n1: needle" in text


async def test_a_grep_without_nul_reads_the_same(finder: Desk) -> None:
    engine: Engine = finder.state["search_engine"]
    if engine.has_rg:
        pytest.skip("grep is not asked")
    finder.state["search_engine"] = replace(engine, greps_nul=False, greps_perl=False)
    for name in ("a:1:b", "c\nd", "e-2-f"):
        await finder.put(name, "x1\nneedle9\n")
    text = await finder.text(search, pattern=r"needle\d", context_lines=1)
    assert text.startswith("a:1:b\n1- x1\n2: needle9\ne-2-f\n1- x1\n2: needle9\n[2 matches")
    assert "[1 file with a line break in the name left out]" in text


async def test_binary_files_are_left_out(finder: Desk) -> None:
    await finder.put("bin", b"\0\0needle\0\n")
    await finder.put("latin", "n\u00e9e needle\n".encode("latin-1"))
    text = await finder.text(search, pattern="needle")
    assert text.startswith("latin\n1: n\\xe9e needle\n[1 match in 1 file]")


async def test_a_log_with_a_nul_is_read_to_its_end(finder: Desk) -> None:
    await finder.put("a.log", b"needle\n" + b"filler line\n" * 30_000 + b"\0\nlast needle\n")
    await finder.put("b.txt", "needle\n")
    text = await finder.text(search, pattern="needle")
    assert text.startswith(
        "a.log\n1: needle\n30003: last needle\nb.txt\n1: needle\n[3 matches in 2 files]"
    )


async def test_far_lines_with_a_nul_are_left_out_and_counted(desk: Desk) -> None:
    if not (await Engine.of(desk.context(), desk.sandbox)).has_rg:
        pytest.skip("no ripgrep here")
    await desk.put("a.log", b"needle\n" + b"filler line\n" * 30_000 + b"\0needle\nneedle\n")
    text = await desk.text(search, pattern="needle")
    assert text.startswith("a.log\n1: needle\n30003: needle\n[2 matches in 1 file]")
    assert text.endswith("[1 line with NUL characters left out]")


async def test_a_file_with_a_nul_is_read_where_it_is_named(finder: Desk) -> None:
    path = await finder.put("a", b"needle\n\0needle\n")
    text = await finder.text(search, pattern="needle", path=path)
    assert text.startswith("a\n1: needle\n2: \\x00needle\n[2 matches in 1 file]")


async def test_a_nul_spelt_in_source_is_text(finder: Desk) -> None:
    await finder.put("a.py", r'needle = b"\x00"')
    text = await finder.text(search, pattern="needle")
    assert text.startswith('a.py\n1: needle = b"\\x00"\n[1 match in 1 file]')


@pytest.mark.parametrize("pattern", [r"needle\$$", r"^b$", r"[]$]$", r"(e\$|b)$", r"\$\r$", r"\r"])
async def test_a_line_ends_before_its_carriage_return(finder: Desk, pattern: str) -> None:
    await finder.put("a", b"a needle$\r\nb\r\nc\r\n")
    text = await finder.text(search, pattern=pattern)
    assert "a\n" in text
    assert "1: a needle$\n" in text or "2: b\n" in text
    engine: Engine = finder.state["search_engine"]
    if not engine.has_rg and r"\r" not in pattern:
        finder.state["search_engine"] = replace(engine, greps_perl=False)
        assert await finder.text(search, pattern=pattern) == text


async def test_many_matches_are_bounded_and_counted(finder: Desk) -> None:
    await finder.put("big", "needle\n" * 50_000)
    await finder.put("small", "needle\n")
    text = await finder.text(search, pattern="needle")
    assert len(text) < 16_500
    assert "[… 49,970 more matches in this file]" in text
    assert "small\n1: needle" in text
    assert "[50,001 matches in 2 files" in text


async def test_endless_lines_are_clipped(finder: Desk) -> None:
    await finder.put("min.js", "needle" + "x" * 2_000_000 + "\n")
    text = await finder.text(search, pattern="needle")
    assert len(text) < 1_000
    assert "more characters" in text or "omitted" in text


async def test_a_missing_path_is_explained(finder: Desk) -> None:
    await finder.put("source/a", "x")
    said = await finder.refused(search, pattern="x", path="sourc")
    assert "does not exist. Similar there: source" in said


async def test_wrong_arguments_are_explained(desk: Desk) -> None:
    assert "give a pattern" in await desk.refused(search)
    assert "NUL" in await desk.refused(search, pattern="a\0b")
    assert "0 to 20" in await desk.refused(search, pattern="a", context_lines=99)


async def test_deleted_files_of_the_index_are_not_listed(desk: Desk) -> None:
    await desk.put("gone.py", "x")
    await desk.put("here.py", "x")
    await desk.sh("git init -q && git add . && rm gone.py")
    engine = await Engine.of(desk.context(), desk.sandbox)
    desk.state["search_engine"] = replace(engine, has_rg=False)
    assert (await desk.text(search, glob="*.py")).startswith("here.py\n[1 file]")


async def test_repositories_within_are_searched(finder: Desk) -> None:
    await finder.put("a.txt", "needle\n")
    await finder.put("sub/inner.txt", "needle\n")
    await finder.put("sub/ignored.log", "needle\n")
    await finder.put("sub/.gitignore", "*.log\n")
    await finder.put("sub/deep er/x.txt", "needle\n")
    commit = "git add . && git -c user.name=a -c user.email=a@b commit -qm x"
    await finder.sh(f"cd 'sub/deep er' && git init -q && {commit}")
    await finder.sh(f"cd sub && git init -q && {commit} && touch new.txt")
    listed = "a.txt\nsub/deep er/x.txt\nsub/inner.txt\nsub/new.txt\n[4 files]"
    assert (await finder.text(search, glob="*.txt")).startswith(listed)
    found = "a.txt\n1: needle\nsub/deep er/x.txt\n1: needle\nsub/inner.txt\n1: needle\n[3 matches"
    assert found in await finder.text(search, pattern="needle", glob="*.txt")
    if (await Engine.of(finder.context(), finder.sandbox)).has_git:
        assert "ignored.log" not in await finder.text(search, pattern="needle")


async def test_submodules_are_searched(desk: Desk) -> None:
    engine = await Engine.of(desk.context(), desk.sandbox)
    desk.state["search_engine"] = replace(engine, has_rg=False)
    commit = "git add . && git -c user.name=a -c user.email=a@b commit -qm x"
    for name in ("sub/x.txt", "broken\nlink/y.txt", "lost/w", "gone/z", "empty/z"):
        path = await desk.put(name, "needle\n")
        await desk.sh(f"cd '{path.rpartition('/')[0]}' && git init -q && {commit}")
    await desk.sh(f"git init -q && {commit}")
    await desk.sh("rm -rf gone empty/* */.git && git -C sub init -q && (cd broken* && mkdir .git)")
    text = await desk.text(search, pattern="needle")
    assert text == (
        "broken\\nlink/y.txt\n1: needle\nlost/w\n1: needle\nsub/x.txt\n1: needle\n"
        "[3 matches in 3 files]"
    )


async def test_where_git_fails_find_lists_the_files(desk: Desk) -> None:
    engine = await Engine.of(desk.context(), desk.sandbox)
    desk.state["search_engine"] = replace(engine, has_rg=False)
    await desk.put("sub/lost/w", "needle\n")
    await desk.put("sub/a", "needle\n")
    commit = "git add . && git -c user.name=a -c user.email=a@b commit -qm x"
    await desk.sh(f"cd sub && git init -q && {commit} && cd .. && git init -q")
    await desk.put("sub/lost/.git", "gitdir: nowhere\n")
    text = await desk.text(search, pattern="needle")
    assert text.startswith("sub/a\n1: needle\nsub/lost/w\n1: needle\n[2 matches in 2 files]")


@pytest.mark.parametrize("desk", ["local", DOCKER], indirect=True)
async def test_the_engine_is_found_out_once(desk: Desk) -> None:
    context = desk.context()
    assert await Engine.of(context, desk.sandbox) is await Engine.of(context, desk.sandbox)


def test_it_changes_nothing() -> None:
    assert search.reads_only
    assert search.repeatable
