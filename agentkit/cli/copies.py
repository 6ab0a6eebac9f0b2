"""``--workspace-mode copy``: work on a copy, and bring the difference home as a patch."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from agentkit.cli.changes import Changes, TooLarge
from agentkit.errors import UsageError, WorkspaceError

PATCH = "changes.patch"


def copy_workspace(source: Path, home: Path) -> Path:
    """The session's copy of the workspace, made at its first use.

    Raises:
        WorkspaceError: something of it cannot be copied.
        UsageError: there is no git to compare with.
    """
    if shutil.which("git") is None:
        raise UsageError("--workspace-mode copy needs git", hint="Install git, or use mount")
    target = home / "workspace"
    if target.is_dir():
        return target
    partial = home / "workspace.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copytree(source, partial, symlinks=True, ignore=_special)
        partial.rename(target)
    except (shutil.Error, OSError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        first = error.args[0][0][2] if isinstance(error, shutil.Error) else error
        raise WorkspaceError(
            f"the workspace {source} cannot be copied: {first}", hint="Check disk and permissions"
        ) from error
    return target


def _special(folder: str, names: list[str]) -> set[str]:
    """Sockets, pipes and devices stay where they are: reading one may never end."""
    paths = {name: os.path.join(folder, name) for name in names}
    return {
        name
        for name, path in paths.items()
        if not (os.path.islink(path) or os.path.isfile(path) or os.path.isdir(path))
    }


def save_patch(changes: Changes, home: Path) -> Path | None:
    """Write the patch of all changes; None where nothing changed.

    Raises:
        TooLarge: the workspace is too large for a patch.
    """
    patch = changes.patch()
    path = home / PATCH
    if not patch:
        path.unlink(missing_ok=True)
        return None
    path.write_bytes(patch)
    return path


def apply_command(source: Path, patch: Path) -> str:
    """The command that brings the patch into the user's folder."""
    import shlex

    return shlex.join(["git", *_apply_arguments(source, patch)])


def apply_patch(source: Path, patch: Path) -> str:
    """Bring the patch into the user's folder; what went wrong, or ""."""
    done = subprocess.run(
        ["git", *_apply_arguments(source, patch)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"git exited {done.returncode}"


def _apply_arguments(source: Path, patch: Path) -> list[str]:
    # In a repository's subdirectory git takes the paths of a patch from the repository's root.
    root = next((p for p in (source, *source.parents) if (p / ".git").exists()), source)
    inside = [] if root == source else [f"--directory={source.relative_to(root)}"]
    return ["-C", str(root), "apply", "--whitespace=nowarn", *inside, str(patch)]


__all__ = ["TooLarge", "apply_command", "apply_patch", "copy_workspace", "save_patch"]
