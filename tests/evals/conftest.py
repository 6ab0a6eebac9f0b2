"""Task folders as users write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MakeTask = Callable[..., Path]
TEST = """\
#!/bin/bash
mkdir -p /logs/verifier
if grep -q hello /work/hello.txt; then reward=1; else reward=0; fi
echo $reward >/logs/verifier/reward.txt
"""


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Write a task in Harbor's layout: a file with a greeting is wanted."""

    def make(
        name: str = "hello",
        *,
        toml: str = 'version = "1.0"\n',
        dockerfile: str = "FROM agentkit-base:latest\nWORKDIR /work\n",
        test: str | None = TEST,
        solution: str = "echo hello >hello.txt\n",
        instruction: str = "Write hello into /work/hello.txt",
    ) -> Path:
        folder = tmp_path / "tasks" / name
        for part in ("environment", "tests", "solution"):
            (folder / part).mkdir(parents=True)
        (folder / "task.toml").write_text(toml)
        (folder / "instruction.md").write_text(instruction)
        (folder / "environment" / "Dockerfile").write_text(dockerfile)
        if test is not None:
            (folder / "tests" / "test.sh").write_text(test)
        (folder / "solution" / "solve.sh").write_text(f"#!/bin/bash\n{solution}")
        return folder

    return make
