"""Globs mean the same with and without ripgrep."""

from __future__ import annotations

import pytest

from agentkit.errors import ToolError
from agentkit.tools._globs import matches


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("*.py", "a.py", True),
        ("*.py", "src/deep/a.py", True),
        ("*.py", "a.pyc", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/deep/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/x/y/a.py", True),
        ("**/test_*.py", "test_a.py", True),
        ("src/**", "src/x/y", True),
        ("/a.py", "a.py", True),
        ("*.{ts,tsx}", "b.tsx", True),
        ("*.{ts,tsx}", "b.js", False),
        ("[ab].c", "b.c", True),
        ("[!ab].c", "b.c", False),
        ("[a-c].c", "b.c", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        (r"\*.py", "*.py", True),
        (r"\*.py", "a.py", False),
        ("!*.py", "a.py", False),
        ("!*.py", "a.c", True),
        ("a(b).py", "a(b).py", True),
        ("Makefile", "sub/Makefile", True),
        ("a b*", "a b\nc", True),
    ],
)
def test_globs(glob: str, path: str, fits: bool) -> None:
    assert matches(glob, path) is fits


@pytest.mark.parametrize("glob", ["*.{a,b", "[z-a]"])
def test_a_broken_glob_is_a_message(glob: str) -> None:
    with pytest.raises(ToolError, match="glob"):
        matches(glob, "a")
