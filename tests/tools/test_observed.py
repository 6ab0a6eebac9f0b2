"""An edit can be taken back from the bytes it replaced."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from agentkit.tools._observed import Change, digest

BYTES = st.binary(max_size=60) | st.text(alphabet="ab\n", max_size=40).map(str.encode)


@given(BYTES, BYTES)
def test_undo_gives_the_bytes_of_before(before: bytes, after: bytes) -> None:
    change = Change.between("/a", before, after)
    assert change.undo(after) == before
    assert change.after == digest(after)
    assert Change.from_fact(change.to_fact()) == change


def test_only_what_changed_is_kept() -> None:
    change = Change.between("/a", b"x" * 1000 + b"old" + b"y" * 1000, b"x" * 1000 + b"y" * 1000)
    assert change.removed == b"old"
    assert (change.offset, change.added) == (1000, 0)


def test_a_large_file_is_compared_quickly() -> None:
    before = b"0123456789abcdef" * (1 << 20)
    after = before[: 8 << 20] + b"!" + before[8 << 20 :]
    started = time.monotonic()
    change = Change.between("/a", before, after)
    assert time.monotonic() - started < 1
    assert (change.offset, change.removed, change.added) == (8 << 20, b"", 1)
