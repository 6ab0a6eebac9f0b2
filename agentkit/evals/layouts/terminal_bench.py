"""Terminal-Bench 1's layout (package terminal-bench 0.2.18; read 2026-11).

    task.yaml  Dockerfile  docker-compose.yaml  solution.sh  run-tests.sh  tests/

A compose file with one service is what the Dockerfile says already; with more it is refused.
Resolved means that every test in pytest's summary has passed.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from agentkit.errors import UsageError
from agentkit.evals.layouts import _tables as read_
from agentkit.evals.layouts._tables import Table
from agentkit.evals.task import Environment, Grading, Task

_UNSENT = ("solution", "solution.sh", "solution.yaml", "tests", "run-tests.sh", "task.yaml")
"""The build's context is the task's folder: an image may hold neither the tests nor the answer."""


def fits(folder: Path) -> bool:
    """Whether the folder has this layout."""
    return (folder / "task.yaml").is_file()


def read(folder: Path) -> Task:
    """The task.

    Raises:
        UsageError: broken, or in need of compose or of a parser that is not here.
    """
    table = _yaml(folder / "task.yaml")
    instruction = str(table.get("instruction") or "").strip()
    if not instruction:
        raise UsageError(f"{folder / 'task.yaml'} has no instruction")
    if not (folder / "Dockerfile").is_file():
        raise UsageError(f"{folder} has no Dockerfile")
    parser = str(table.get("parser_name") or "pytest")
    if parser != "pytest":
        raise UsageError(f"its results need the parser {parser!r}; only pytest is known here")
    script = folder / "run-tests.sh"
    if not script.is_file():
        raise UsageError(f"{folder.name} has no run-tests.sh, so nothing could judge the work")
    solution = folder / "solution.sh"
    tests = folder / "tests"
    return Task(
        name=folder.name,
        path=folder,
        instruction=instruction,
        environment=Environment(context=folder, unsent=_UNSENT, env=_compose_environment(folder)),
        grading=Grading(
            judge="pytest",
            tests=tests if tests.is_dir() else None,
            script=script,
            timeout=read_.number(table, "max_test_timeout_sec", 60.0) or 60.0,
            env={"TEST_DIR": "/tests"},
        ),
        agent_timeout=read_.number(table, "max_agent_timeout_sec", 360.0),
        solution=solution if solution.is_file() else None,
        metadata={name: table.get(name) for name in ("difficulty", "category", "tags")},
    )


def _compose_environment(folder: Path) -> dict[str, str]:
    """Variables of the one service; the rest of such a file repeats the Dockerfile."""
    path = folder / "docker-compose.yaml"
    if not path.is_file():
        return {}
    services = read_.section(_yaml(path), "services")
    if len(services) > 1:
        raise UsageError(
            f"this task cannot be run here: it needs docker compose ({len(services)} services)",
            hint="Run it with Harbor",
        )
    service = next(iter(services.values()), None)
    found: object = cast("Table", service).get("environment") if service else None
    if isinstance(found, dict):
        pairs = [(str(name), str(value)) for name, value in cast("Table", found).items()]
    else:
        lines = cast("list[object]", found or [])
        pairs = [(name, value) for name, _, value in (str(each).partition("=") for each in lines)]
    # ${T_BENCH_…} are names that the other harness fills in for its own log folders.
    return {name: value for name, value in pairs if not name.startswith("T_BENCH")}


def _yaml(path: Path) -> Table:
    import yaml

    try:
        found: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a table")
    return cast("Table", found)
