"""Programs and definitions on the pages of the documentation run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PROGRAMS = [
    pytest.param(code, id=f"{page}-{number}")
    for page in ("escalation.md", "mcp.md", "models.md", "planning.md", "testing.md", "tools.md")
    for number, code in enumerate(
        re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL), 1
    )
]


@pytest.mark.parametrize("code", PROGRAMS)
def test_a_program_of_the_documentation_runs(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_fault_is_on_the_page() -> None:
    from agentkit.testing.faults import CATALOGUE

    page = (DOCS / "testing.md").read_text("utf-8")
    assert [name for name in CATALOGUE if f"`{name}`" not in page] == []
