"""The OpenAPI document against the live service: schemathesis looks for where they disagree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentkit.serve.openapi import OPERATIONS
from agentkit.testing import FakeDeepSeek
from tests.serve.conftest import TOKEN, MakeServer

HERE = Path(__file__).parent
PHASES = "coverage,fuzzing,stateful"


@pytest.mark.timeout(300)
def test_the_service_does_what_its_document_says(serve: MakeServer, tmp_path: Path) -> None:
    def answer(_: dict[str, Any]) -> str:
        return "Done."

    server = serve(FakeDeepSeek(answer).start())
    done = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"),
         "--no-color", "--config-file", HERE / "schemathesis.toml",
         "run", f"{server.address}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}",
         "--phases", PHASES, "--max-examples", "8", "--generation-deterministic",
         "--request-timeout", "60"],
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")},
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"Tested: +{len(OPERATIONS)}\n", done.stdout), done.stdout
