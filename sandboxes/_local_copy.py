"""A folder of this machine, copied for a fork of a local sandbox."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from agentkit.errors import WorkspaceError
from agentkit.sandboxes._beneath import Beneath
from agentkit.sandboxes._owner import owner_dead, owner_now
from agentkit.sandboxes._tree import Tree, differing, pack

__all__ = ["LocalCopy", "read_entries"]

_PREFIX = "agentkit-fork-"


class LocalCopy:
    """The copy, and an archive of it as it was at first, in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.workspace = folder / "workspace"

    @classmethod
    def of(cls, source: Path) -> LocalCopy:
        """Copy the folder: links as links, modes and times kept, special files left out."""
        _sweep()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        copy = cls(folder)
        try:
            (folder / "owner").write_text(owner_now())
            shutil.copytree(source, copy.workspace, symlinks=True, ignore=_special)
            with open(folder / "base.tar", "wb") as archive:
                pack(archive, copy.workspace, "workspace", 0, 0)
        except (OSError, shutil.Error) as error:
            copy.remove()
            raise WorkspaceError(
                f"the workspace {source} could not be copied: {error}",
                hint="Check its permissions and the free space of the temporary folder",
            ) from error
        except BaseException:
            copy.remove()
            raise
        return copy

    def trees(self) -> tuple[Tree, Tree]:
        """The files that differ, as they were and as they are."""
        with open(self._folder / "base.tar", "rb") as before, tempfile.TemporaryFile() as after:
            pack(after, self.workspace, "workspace", 0, 0)
            return differing(before, after)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def read_entries(folder: Path, paths: Collection[str]) -> Tree:
    """The files of these names below the folder; no link is followed on the way."""
    with Beneath(folder) as inside:
        return {path: entry for path in paths if (entry := inside.read(path)) is not None}


def _special(folder: str, names: list[str]) -> set[str]:
    """Sockets, pipes and devices: copying them would wait or fail."""
    places = ((name, Path(folder, name)) for name in names)
    return {
        name
        for name, place in places
        if not (place.is_symlink() or place.is_file() or place.is_dir())
    }


def _sweep() -> None:
    """Remove what processes left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            mine = folder.stat().st_uid == os.geteuid()
            if mine and owner_dead((folder / "owner").read_text()):
                shutil.rmtree(folder, ignore_errors=True)
