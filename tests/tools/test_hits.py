"""Search results are grouped, bounded and counted."""

from __future__ import annotations

import time

from agentkit.tools._hits import FileHits, parse_colons, parse_nul, show, show_names


def _file(path: str, count: int) -> FileHits:
    return FileHits(path, [(n, f"line {n}", True) for n in range(1, count + 1)])


def test_both_output_formats_read_the_same() -> None:
    with_nul = b"./a.py\x0012:foo = 1\n./a.py\x0013-bar\n--\n./b:3:c.py\x004:x\n"
    with_colons = b"./a.py:12:foo = 1\n./a.py-13-bar\n--\n./b:3:c.py:4:x\n"
    expected = [
        FileHits("a.py", [(12, "foo = 1", True), (13, "bar", False)]),
        FileHits("b:3:c.py", [(4, "x", True)]),
    ]
    assert parse_nul(with_nul) == expected
    assert parse_colons(with_colons, [b"./a.py", b"./b:3:c.py", b"./b"]) == expected


def test_binary_noise_does_not_slow_the_reading() -> None:
    noise = b"./bin\x001:" + b"\0".join([b"x" * 300_000] * 20) + b"\n./a\n1\x002:ok\n"
    started = time.monotonic()
    files = parse_nul(noise)
    assert time.monotonic() - started < 1
    assert [each.path for each in files] == ["bin", "a\n1"]
    assert files[1].lines == [(2, "ok", True)]


def test_a_warning_is_no_part_of_the_next_name() -> None:
    warned = (
        b': WARNING: stopped searching binary file after match (found "\\0" byte around offset 9)\n'
    )
    output = b"./a\nb\x001:x\n./a\nb" + warned + b"--\n./c\x002:x\n./c" + warned
    files = parse_nul(output)
    assert files == [FileHits("a\nb", [(1, "x", True)]), FileHits("c", [(2, "x", True)])]
    assert [each.stopped for each in files] == [True, True]


def test_results_stand_under_their_file() -> None:
    text = show([_file("a.py", 2), _file("b.py", 1)], "src/")
    assert text == ("src/a.py\n1: line 1\n2: line 2\nsrc/b.py\n1: line 1\n[3 matches in 2 files]")


def test_one_file_does_not_hide_the_others() -> None:
    text = show([_file("big", 5_000), _file("small", 1)], "")
    assert "[… 4,970 more matches in this file]" in text
    assert "small\n1: line 1" in text
    assert text.endswith("[5,001 matches in 2 files]")


def test_what_is_not_shown_is_counted() -> None:
    text = show([_file(f"f{n}", 10) for n in range(50)], "")
    assert text.count("line 10") == 20
    assert "[500 matches in 50 files; 300 matches in 30 files not shown: narrow" in text


def test_long_lines_do_not_fill_the_answer() -> None:
    files = [FileHits(f"f{n}", [(1, "x" * 290, True)]) for n in range(150)]
    assert len(show(files, "")) < 17_000


def test_a_stopped_search_says_so() -> None:
    assert "more than 2 matches in 1 file" in show([_file("a", 2)], "", cut=True)


def test_a_long_found_line_is_clipped() -> None:
    [found] = parse_nul(b"a\x001:" + b"y" * 100_000)
    assert len(found.lines[0][1]) < 400
    assert "more characters" in found.lines[0][1]


def test_names_are_counted() -> None:
    assert show_names(["a", "b"], "src/") == "src/a\nsrc/b\n[2 files]"
    many = show_names([f"n{n}" for n in range(1_000)], "")
    assert many.endswith("[1,000 files; the first 200 are shown: narrow the path or glob]")
