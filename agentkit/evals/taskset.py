"""Find the tasks of a folder, whichever layout each of them has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agentkit.errors import UsageError
from agentkit.evals.layouts import harbor, own, terminal_bench
from agentkit.evals.task import Task


@dataclass(frozen=True, slots=True)
class Refused:
    """A task that cannot be run here, and why."""

    name: str
    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class TaskSet:
    """The tasks of one folder, by name; those that cannot be run are kept, not hidden."""

    name: str
    path: Path
    tasks: tuple[Task, ...]
    refused: tuple[Refused, ...] = ()


_LAYOUTS = (terminal_bench, own, harbor)
"""Asked in this order; each has ``fits(folder)`` and ``read(folder)``."""


def load(path: Path | str, *, only: Sequence[str] = ()) -> TaskSet:
    """Read a task set: a folder of task folders, or one task's own folder.

    Args:
        only: names (or shell patterns) of the tasks that are wanted; all if empty.

    Raises:
        UsageError: no such folder, no task in it, or none of the wanted names.
    """
    root = Path(path).expanduser().resolve()
    if not root.is_dir():
        raise UsageError(
            f"the task set {path} is not a folder", hint="Name a folder of task folders"
        )
    folders = _task_folders(root)
    if not folders:
        raise UsageError(
            f"there is no task in {root}",
            tried="task.toml (Harbor, agentkit) or task.yaml (Terminal-Bench 1) in it and one"
            " level below",
            hint="Name a folder of task folders",
        )
    wanted = [each for each in folders if not only or any(each.match(name) for name in only)]
    if not wanted:
        names = ", ".join(each.name for each in folders[:10])
        raise UsageError(f"no task is named {' or '.join(only)}", hint=f"There are: {names}")
    tasks: list[Task] = []
    refused: list[Refused] = []
    for folder in wanted:
        try:
            tasks.append(_read(folder))
        except UsageError as error:
            refused.append(Refused(folder.name, folder, str(error)))
    return TaskSet(root.name, root, tuple(tasks), tuple(refused))


def _task_folders(root: Path) -> list[Path]:
    if _is_task(root):
        return [root]
    return sorted(each for each in root.iterdir() if each.is_dir() and _is_task(each))


def _is_task(folder: Path) -> bool:
    return any(layout.fits(folder) for layout in _LAYOUTS)


def _read(folder: Path) -> Task:
    layout = next(each for each in _LAYOUTS if each.fits(folder))
    return layout.read(folder)
