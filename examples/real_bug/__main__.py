"""Fix a real bug of a released package; the next release's own tests are the judge."""

from __future__ import annotations

import asyncio
import difflib
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from answers import answers
from releases import BUGGY, FIXED, PACKAGE, Unavailable, source

from agentkit import Agent, AgentkitError, Limits
from agentkit.sandboxes import Docker
from agentkit.testing import FakeDeepSeek
from agentkit.tools import preset

TASK = """
After a table was drawn once, drawing it again uses the old column widths: a longer cell that came
with add_row() is wrapped, a longer header() too, and set_max_width() has no effect any more. Widths
that were set with set_cols_width() must stay as they are. Fix texttable.py; add tests to tests.py.
"""
CHECK = "python3 -m pytest -q tests.py"
_VERDICT = re.compile(r"^(PASSED|FAILED) \S*?::(\S+)", re.MULTILINE)


async def main(live: bool) -> int:
    """Download, judge, fix, judge again; 0 when the later release's tests all pass."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"Getting {PACKAGE} {BUGGY} and {FIXED} from the package index …", flush=True)
        workspace = source(BUGGY, folder)
        later = source(FIXED, folder)
        original = (workspace / "texttable.py").read_text()

        passed, failed = await judge(workspace, later / "tests.py")
        print(f"Before, by the tests of {FIXED}: {passed} pass, {len(failed)} fail")
        for name in failed:
            print(f"  fails: {name}")
        if not failed:
            return 1

        await fix(workspace, live)
        print(changes(original, (workspace / "texttable.py").read_text()))

        passed, failed = await judge(workspace, later / "tests.py")
        print(f"After, by the tests of {FIXED}: {passed} pass, {len(failed)} fail")
        return 0 if passed and not failed else 1


async def fix(workspace: Path, live: bool) -> None:
    """Let the agent work until its own check passes."""
    coder = preset("coder")
    sandbox = Docker(workspace=workspace)
    endpoint: dict[str, Any] = {}
    async with FakeDeepSeek(answers("/workspace")) as server:
        if not live:
            endpoint = {"base_url": server.base_url, "api_key": "scripted"}
        agent = Agent(
            "fixer",
            instructions=coder.instructions,
            tools=coder.tools(),
            briefing=coder.briefing,
            sandbox=sandbox,
            limits=Limits(cost_usd=1.0, deadline=1200),
            **endpoint,
        )
        print(f"The {'live' if live else 'scripted'} model works in a sandbox …", flush=True)
        result = await agent.run(TASK, checks=[CHECK])
    print(f"[{result.status}, {result.turns} turns] {result.output}")


async def judge(workspace: Path, tests: Path) -> tuple[int, list[str]]:
    """Run tests against the module in a sandbox that holds nothing else: passed, failed."""
    with tempfile.TemporaryDirectory() as folder:
        for file in (workspace / "texttable.py", tests):
            shutil.copy(file, folder)
        sandbox = await Docker(workspace=folder).open("judge")
        try:
            done = await sandbox.exec("python3 -m pytest -q --tb=no -rA tests.py")
        finally:
            await sandbox.close()
    output = done.output.data.decode()
    verdicts = _VERDICT.findall(output)
    if not verdicts:
        raise SystemExit(f"the judge could not run:\n{output}")
    failed = [name for verdict, name in verdicts if verdict == "FAILED"]
    return len(verdicts) - len(failed), failed


def changes(before: str, after: str) -> str:
    """The edit as a short diff."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return "\n".join(f"    {line}" for line in list(lines)[2:])


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main("--live" in sys.argv[1:])))
    except (AgentkitError, Unavailable) as error:
        print(error, file=sys.stderr)
        sys.exit(69 if isinstance(error, Unavailable) else getattr(error, "exit_code", 1))
