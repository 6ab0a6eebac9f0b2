"""Output becomes text, and long text is cut with a true count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.tools._text import Clip, clip_line, counted, decode, is_binary, readable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain \xc3\xa9", "plain é"),
        (b"caf\xe9 \xff", "caf\\xe9 \\xff"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]8;;http://a\x07link\x1b]8;;\x07", "link"),
        (b"\x1b]0;title\x1b\\x", "x"),
        (b"\x1b(Bx\x1b=", "x"),
        (b"10%\r50%\r100%\ndone", "100%\ndone"),
        (b"10%\r\n20%\r\n", "10%\r\n20%\r\n"),
        (b"spin |\rspin /\r\nend", "spin /\r\nend"),
        (b"ab\x08c", "ac"),
        (b"N\x08NA\x08AM\x08M", "NAM"),
        (b"\x08x", "\\x08x"),
        (b"a\0b\x07", "a\\x00b\\x07"),
        (b"tab\there\n", "tab\there\n"),
        ("snow ☃ 雪".encode(), "snow ☃ 雪"),
    ],
)
def test_output_reads_as_on_a_terminal(raw: bytes, shown: str) -> None:
    assert readable(raw) == shown


@given(st.binary(max_size=300))
def test_any_bytes_become_harmless_text(raw: bytes) -> None:
    text = readable(raw)
    text.encode("utf-8")  # no lone surrogate
    assert not any(ord(c) < 32 and c not in "\t\n\r" for c in text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_plain_text_is_left_alone(text: str) -> None:
    assert readable(text.encode()) == text == decode(text.encode())


@given(st.text(alphabet="ab\n", max_size=400), st.integers(10, 80), st.booleans())
def test_a_clip_accounts_for_every_character(text: str, limit: int, keep_end: bool) -> None:
    clip = Clip.of(text, limit, keep_end=keep_end)
    assert len(clip.head) + clip.omitted + len(clip.tail) == len(text)
    assert text.startswith(clip.head)
    assert text.endswith(clip.tail)
    assert len(clip.head) + len(clip.tail) <= limit
    assert bool(clip.omitted) is (len(text) > limit)
    between = text[len(clip.head) : len(text) - len(clip.tail)]
    assert clip.omitted_lines == between.count("\n")


def test_a_clip_keeps_whole_lines_where_it_costs_little() -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    clip = Clip.of(text, 1000)
    assert clip.head.endswith("\n")
    assert clip.tail.startswith("line ")
    assert clip.tail.endswith("line 999\n")


def test_only_the_start_is_kept_on_demand() -> None:
    clip = Clip.of("x" * 100, 40, keep_end=False)
    assert (clip.head, clip.tail, clip.omitted) == ("x" * 40, "", 60)
    assert clip.join("[cut]") == "x" * 40 + "\n[cut]"


def test_the_notice_has_a_line_of_its_own() -> None:
    assert Clip("a\n", "b", 5).join("[cut]") == "a\n[cut]\nb"
    assert Clip("a", "b", 5).join("[cut]") == "a\n[cut]\nb"
    assert Clip("all").join("[cut]") == "all"


def test_binary_is_told_by_a_nul() -> None:
    assert is_binary(b"\x7fELF\0")
    assert not is_binary(b"\xff\xfe latin")


def test_a_long_line_is_counted() -> None:
    assert clip_line("x" * 1_501) == "x" * 500 + " […1,001 more characters]"
    assert clip_line("short") == "short"


@pytest.mark.parametrize(
    ("number", "noun", "shown"),
    [
        (1, "match", "1 match"),
        (2, "match", "2 matches"),
        (1200, "line", "1,200 lines"),
        (0, "entry", "0 entries"),
        (3, "more match", "3 more matches"),
    ],
)
def test_counts_are_english(number: int, noun: str, shown: str) -> None:
    assert counted(number, noun) == shown
