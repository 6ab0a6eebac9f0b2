"""An edit changes what it names and not one byte more."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agentkit.errors import ToolError
from agentkit.tools._document import Document, NotText, plain
from agentkit.tools._match import occurrences
from agentkit.tools._observed import Change

TEXT = st.text(alphabet=st.sampled_from("ab é☃\r\n\t𝄞"), max_size=60)
ENCODINGS = st.sampled_from(
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
    ]
)


@given(st.binary(max_size=200))
def test_reading_and_writing_gives_the_same_bytes(data: bytes) -> None:
    try:
        document = Document.from_bytes(data)
    except NotText:
        marked = data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        marked |= data.startswith(codecs.BOM_UTF32_BE)
        assert b"\0" in data or marked
    else:
        assert document.to_bytes() == data


@given(TEXT, ENCODINGS)
def test_every_encoding_survives(text: str, encoding: tuple[str, bytes]) -> None:
    name, mark = encoding
    assume(mark or "\0" not in text)
    data = mark + text.encode(name)
    document = Document.from_bytes(data)
    assert document.to_bytes() == data
    assert document.text == plain(text)
    assert (document.encoding, document.mark) == encoding


@given(TEXT, st.data())
def test_a_splice_touches_only_its_span(text: str, data: st.DataObject) -> None:
    document = Document.from_bytes(text.encode())
    start = data.draw(st.integers(0, len(document.text)))
    end = data.draw(st.integers(start, len(document.text)))
    new = data.draw(st.text(alphabet="xy\n", max_size=10))
    after = document.splice(start, end, new)
    before_lines = document.text.count("\n", 0, start)
    kept = document.text.count("\n", end)
    assert after.text == document.text[:start] + new + document.text[end:]
    assert after.breaks[:before_lines] == document.breaks[:before_lines]
    assert not kept or after.breaks[-kept:] == document.breaks[-kept:]
    assert len(after.breaks) == after.text.count("\n")


@given(
    st.lists(st.sampled_from(["", "a", "é", "\t", "long line"]), min_size=1, max_size=12),
    st.sampled_from(["\n", "\r\n"]),
    ENCODINGS,
    st.data(),
)
def test_a_unique_match_is_replaced_and_taken_back(
    lines: list[str], end: str, encoding: tuple[str, bytes], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(lines)))
    lines.insert(at, "UNIQUE")
    name, mark = encoding
    before = mark + end.join(lines).encode(name)
    document = Document.from_bytes(before)
    [start] = occurrences(document.text, "UNIQUE")
    after = document.splice(start, start + 6, "one\ntwo").to_bytes()
    lines[at] = f"one{document.break_style}two"
    assert after == mark + end.join(lines).encode(name)
    assert Change.between("/f", before, after).undo(after) == before


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_new_lines_end_as_the_others_do(end: bytes) -> None:
    document = Document.from_bytes(end.join([b"one", b"two", b"three", b""]))
    start = document.text.index("two")
    after = document.splice(start, start + 3, "2a\n2b\r\n2c")
    assert after.to_bytes() == end.join([b"one", b"2a", b"2b", b"2c", b"three", b""])


def test_mixed_line_ends_stay_where_they_are() -> None:
    document = Document.from_bytes(b"a\r\nb\nc\r\nd\n")
    after = document.splice(document.text.index("c"), document.text.index("c") + 1, "C")
    assert after.to_bytes() == b"a\r\nb\nC\r\nd\n"
    assert document.traits == "mixed line ends"


@pytest.mark.parametrize(
    ("content", "after", "new", "result"),
    [
        (b"", 0, "x", b"x\n"),
        (b"a\n", 0, "x", b"x\na\n"),
        (b"a\n", 1, "x", b"a\nx\n"),
        (b"a\n", 1, "x\n", b"a\nx\n"),
        (b"a", 1, "x", b"a\nx"),
        (b"a", 1, "x\n", b"a\nx"),
        (b"a", 0, "x", b"x\na"),
        (b"a\r\nb\r\n", 1, "x\ny", b"a\r\nx\r\ny\r\nb\r\n"),
        (b"a\r\nb", 2, "x", b"a\r\nb\r\nx"),
        (b"a\nb\n", 1, "", b"a\n\nb\n"),
        (b"\n", 1, "x", b"\nx\n"),
    ],
)
def test_insert_keeps_the_final_line_state(
    content: bytes, after: int, new: str, result: bytes
) -> None:
    assert Document.from_bytes(content).insert_lines(after, new).to_bytes() == result


def test_a_rewrite_keeps_encoding_and_line_ends() -> None:
    data = codecs.BOM_UTF16_LE + "a\r\nb\r\n".encode("utf-16-le")
    after = Document.from_bytes(data).rewrite("x\ny\n")
    assert after.to_bytes() == codecs.BOM_UTF16_LE + "x\r\ny\r\n".encode("utf-16-le")


def test_a_character_that_the_encoding_lacks_is_refused_with_its_name() -> None:
    document = Document.from_bytes("caf\u00e9".encode("latin-1"))
    assert document.encoding == "latin-1"
    with pytest.raises(ToolError, match=r"latin-1.*U\+2192"):
        document.splice(0, 0, "→").to_bytes()


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ToolError, match=r"U\+D83D"):
        Document.new("\ud83d").to_bytes()


@pytest.mark.parametrize("data", [b"\x7fELF\0\0", b"\xff\xfea", b"\xef\xbb\xbf\xff"])
def test_what_is_not_text_is_refused(data: bytes) -> None:
    with pytest.raises(NotText):
        Document.from_bytes(data)


def test_lines_do_not_count_the_final_break() -> None:
    assert Document.new("a\nb\n").lines == ["a", "b"]
    assert Document.new("a\nb").lines == ["a", "b"]
    assert Document.new("").lines == []
    assert Document.new("\n").lines == [""]
    assert Document.new("a\x0bb\u2028c").lines == ["a\x0bb\u2028c"]
