"""A coding task in a Docker sandbox, which ends only when a command says that it is done."""

from __future__ import annotations

import tempfile
from pathlib import Path

from _model import call, model

from agentkit import Agent, Ladder, Limits
from agentkit.sandboxes import Docker
from agentkit.tools import coder

MODULE = '''\
def spans(pages):
    """Page numbers as printed in an index: 1, 3-5."""
    found = []
    for page in sorted(pages):
        if found and page == found[-1][1] + 1:
            found[-1][1] = page
        else:
            found.append([page, page])
    return ", ".join(f"{first}-{last}" for first, last in found)
'''
TEST = """\
from spans import spans

def test_runs_of_pages():
    assert spans([3, 4, 5]) == "3-5"

def test_a_page_alone():
    assert spans([1, 3, 4, 5]) == "1, 3-5"
"""


def main(workspace: Path) -> None:
    """Let an agent mend the module in that folder."""
    (workspace / "spans.py").write_text(MODULE)
    (workspace / "test_spans.py").write_text(TEST)
    agent = Agent(
        "fixer",
        instructions="You fix bugs. Look before you change; keep the change small.",
        tools=coder(),
        sandbox=Docker(workspace=workspace),
        ladder=Ladder.preset("flash-pro"),
        limits=Limits(cost_usd=0.50, deadline=900),
    )
    result = agent.run_sync("A test of spans.py fails. Fix it.", checks=["python3 -m pytest -q"])
    print(result.output)
    for check in result.checks:
        print(f"{'passed' if check.passed else 'FAILED'}: {check.command}")
    print(f"[{result.status}, {result.turns} turns, ${result.cost_usd:.4f}, {result.session_id}]")
    print((workspace / "spans.py").read_text())


SCRIPT = [
    call("bash", command="cat spans.py; python3 -m pytest -q 2>&1 | tail -n 5"),
    call(
        "bash",
        reasoning="A single page is printed as 1-1.",
        command=r"""sed -i 's/f"{first}-{last}" for/f"{first}-{last}" if last > first """
        r"""else str(first) for/' spans.py && python3 -m pytest -q""",
    ),
    call("finish", summary="A page that stands alone is now printed once; both tests pass."),
]

if __name__ == "__main__":
    with model(SCRIPT), tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
