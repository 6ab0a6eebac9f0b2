"""Which folders may be handed to a sandbox."""

from __future__ import annotations

import os
from pathlib import Path

from agentkit.errors import WorkspaceError

__all__ = ["checked_workspace"]

_SYSTEM = """
/ /bin /boot /dev /etc /home /lib /lib32 /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys
/tmp /usr /usr/bin /usr/lib /usr/local /usr/sbin /usr/share /var /var/lib /var/run
/Applications /Library /System /Users /Volumes /private /private/etc /private/tmp /private/var
"""
_FORBIDDEN = frozenset(_SYSTEM.split())


def checked_workspace(workspace: str | os.PathLike[str]) -> Path:
    """Return the folder's real path.

    Raises:
        WorkspaceError: it is missing, not a folder, unreadable, or one that belongs to the system.
    """
    given = os.fspath(workspace)
    path = Path(os.path.realpath(os.path.expanduser(given)))
    hint = "Name the folder of one project with --workspace"
    if str(path) in _FORBIDDEN or path == Path(os.path.realpath(Path.home())):
        raise WorkspaceError(
            f"{path} is not a project's folder, and a sandbox could change all of it", hint=hint
        )
    if not path.exists():
        raise WorkspaceError(f"the workspace {given} does not exist", tried=str(path), hint=hint)
    if not path.is_dir():
        raise WorkspaceError(f"the workspace {given} is a file, not a folder", hint=hint)
    if not os.access(path, os.R_OK | os.X_OK):
        raise WorkspaceError(
            f"the workspace {given} cannot be read by this user", hint="Check its permissions"
        )
    return path
