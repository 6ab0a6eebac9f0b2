"""agentkit's own, smallest layout: an instruction and checks.

    task.toml        checks = ["python3 -m pytest -q"]; all else may be left out
    instruction.md   what to do
    workspace/       copied to the working directory; may be missing
    solution/solve.sh  for the oracle; may be missing

Other keys of ``task.toml``: ``image``, ``timeout`` (seconds), ``unsolvable``, ``network_mode``
(``no-network`` where it is left out), ``allowed_hosts`` and the table ``metadata``.
"""

from __future__ import annotations

from pathlib import Path

from agentkit.errors import UsageError
from agentkit.evals.layouts import _tables as read_
from agentkit.evals.layouts.harbor import network_of
from agentkit.evals.task import Environment, Grading, Task

_KNOWN = {"checks", "image", "timeout", "unsolvable", "network_mode", "allowed_hosts", "metadata"}


def fits(folder: Path) -> bool:
    """Whether the folder has this layout."""
    path = folder / "task.toml"
    try:
        return path.is_file() and "checks" in read_.toml(path)
    except UsageError:
        return False  # Harbor's reader says what is wrong with the file


def read(folder: Path) -> Task:
    """The task.

    Raises:
        UsageError: a setting that is not known, or no checks.
    """
    table = read_.toml(folder / "task.toml")
    if unknown := sorted(set(table) - _KNOWN):
        raise UsageError(
            f"unknown setting {unknown[0]!r}", hint=f"Known: {', '.join(sorted(_KNOWN))}"
        )
    checks = tuple(str(each) for each in table["checks"])
    if not checks:
        raise UsageError("checks is empty, so nothing could judge the work")
    workspace = folder / "workspace"
    solution = folder / "solution" / "solve.sh"
    return Task(
        name=folder.name,
        path=folder,
        instruction=read_.text(folder / "instruction.md"),
        environment=Environment(
            image=str(table.get("image", "")),
            workspace=workspace if workspace.is_dir() else None,
            network=network_of({"network_mode": "no-network", **table}),
            allowed_hosts=tuple(str(host) for host in table.get("allowed_hosts", ())),
        ),
        grading=Grading(judge="checks", checks=checks),
        agent_timeout=read_.number(table, "timeout"),
        solution=solution if solution.is_file() else None,
        unsolvable=bool(table.get("unsolvable", False)),
        metadata=read_.section(table, "metadata"),
    )
