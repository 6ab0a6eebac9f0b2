"""When a text is not found, the answer leads to the right call."""

from __future__ import annotations

import time

from hypothesis import assume, given
from hypothesis import strategies as st

from agentkit.tools._match import explain_missing, line_at, nearest, occurrences

FILE = """\
def alpha(x):
\treturn x + 1

def beta(y):
    total = y * 2
    return total

def gamma(z):
    return "it’s"
"""


def test_overlapping_occurrences_count() -> None:
    assert occurrences("aaa", "aa") == [0, 1]
    assert occurrences("abc", "x") == []


@given(st.text(alphabet="ab\n"), st.text(alphabet="ab\n", min_size=1, max_size=3))
def test_each_occurrence_is_one(text: str, wanted: str) -> None:
    places = occurrences(text, wanted)
    assert places == [i for i in range(len(text)) if text.startswith(wanted, i)]
    assert [line_at(text, place) for place in places] == [
        len(text[:place].split("\n")) for place in places
    ]


def test_indentation_is_named_as_the_difference() -> None:
    said = explain_missing(FILE, "  total = y * 2\n  return total\n")
    assert "lines 5-6 except for indentation" in said
    assert "     5\t    total = y * 2" in said


def test_tabs_are_named() -> None:
    assert "indentation, which is tabs in the file" in explain_missing(FILE, "    return x + 1")


def test_spaces_at_line_ends_are_named() -> None:
    assert "spaces at line ends" in explain_missing("a = 1  \nb = 2\n", "a = 1\nb = 2")


def test_typographic_quotes_are_named() -> None:
    said = explain_missing(FILE, '    return "it\'s"')
    assert "line 9 except for typographic quotes" in said


def test_copied_line_numbers_are_named() -> None:
    assert "without the line numbers" in explain_missing(FILE, "     4\tdef beta(y):")


def test_a_missing_final_line_break_is_named() -> None:
    said = explain_missing("start\nend", "start\nend\n")
    assert "without the line breaks at its start or end" in said


@given(st.text(alphabet="ab \t\n’'\\", max_size=40), st.text(alphabet="ab \t\n'\\", max_size=12))
def test_any_miss_is_explained(text: str, wanted: str) -> None:
    assume(wanted and wanted not in text)
    assert explain_missing(text, wanted)
    near = nearest(text, wanted)
    if near is not None:
        lines = text.split("\n")
        assert list(near.lines) == lines[near.first - 1 : near.first - 1 + len(near.lines)]


def test_escaped_line_breaks_are_named() -> None:
    assert "real line breaks" in explain_missing(FILE, "def beta(y):\\n    total = y * 2")


def test_the_block_that_shares_most_lines_is_shown() -> None:
    said = explain_missing(FILE, "def beta(y):\n    total = y * 3\n    return total\n")
    assert "most similar text is at lines 4-6" in said


def test_the_most_similar_line_is_shown() -> None:
    said = explain_missing(FILE, "def gama(zz):")
    assert "line 8" in said
    assert "def gamma(z):" in said


def test_nothing_similar_is_said_so() -> None:
    assert "Nothing in the file resembles it" in explain_missing(FILE, "qqqqqqqqqqqq")
    assert nearest(FILE, "  \n ") is None
    assert nearest("", "x") is None


def test_a_large_file_is_compared_in_time() -> None:
    text = "\n".join(f"value_{number} = compute({number})" for number in range(20_000))
    started = time.monotonic()
    said = explain_missing(text, "value_777 = computed(777)\nother line entirely")
    assert time.monotonic() - started < 5
    assert "value_777 = compute(777)" in said
