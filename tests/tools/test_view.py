"""A view shows each line of its range, or says how many it left out."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from agentkit.tools import _view
from agentkit.tools._document import Document

LINES = st.lists(st.text(alphabet="ab é", max_size=8) | st.just("x" * 3_000), max_size=30)


@given(LINES, st.booleans(), st.data())
def test_every_line_is_shown_or_counted(lines: list[str], ends: bool, data: st.DataObject) -> None:
    document = Document.new("\n".join(lines) + ("\n" if ends and lines else ""))
    total = len(document.lines)
    view_range = None
    first, last = 1, total
    if total and data.draw(st.booleans()):
        first = data.draw(st.integers(1, total))
        last = data.draw(st.integers(first, total))
        view_range = [first, last]
    text = _view.show(document, view_range)
    shown = [int(number) for number in re.findall(r"^ *(\d+)\t", text, re.MULTILINE)]
    assert len(text) < 16_000 + 2_200
    if not total:
        assert text == "(empty file)"
        return
    assert shown == list(range(first, first + len(shown)))
    missing = last - (first + len(shown) - 1)
    assert (f"{missing} more line" in text) is (missing > 0)


@given(st.integers(1, 400), st.data())
def test_a_snippet_is_bounded_and_holds_the_ends_of_the_edit(
    total: int, data: st.DataObject
) -> None:
    document = Document.new("".join(f"line {n}\n" for n in range(1, total + 1)))
    first = data.draw(st.integers(1, total))
    last = data.draw(st.integers(first, total))
    text = _view.snippet(document, first, last)
    assert text.count("\n") <= 41
    assert f"{first:>6}\tline {first}" in text
    assert f"{last:>6}\tline {last}" in text


def test_a_snippet_of_endless_lines_is_bounded() -> None:
    document = Document.new("\n".join(["x" * 100_000] * 30))
    assert len(_view.snippet(document, 10, 12)) < 5_000
