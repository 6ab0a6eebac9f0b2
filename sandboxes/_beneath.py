"""Files below one folder of this machine, without ever leaving it through a link.

Whatever runs in a sandbox may put a symbolic link anywhere into its workspace, at any time. So
each name of a path is opened by itself, relative to the folder before it, and links are refused.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from agentkit.errors import WorkspaceError
from agentkit.sandboxes._tree import Entry

__all__ = ["Beneath"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Blocked(WorkspaceError):
    """A link or a file stands where a folder should be."""


class Beneath:
    """A folder, held open; paths are relative to it."""

    def __init__(self, folder: Path) -> None:
        self._name = folder
        self._root = os.open(folder, _FOLDER)
        facts = os.fstat(self._root)
        self._owner = (facts.st_uid, facts.st_gid)

    def __enter__(self) -> Beneath:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    def read(self, path: str) -> Entry | None:
        """The file or link of that name; None where nothing is, or only behind a link.

        Raises:
            WorkspaceError: it is neither.
        """
        with suppress(FileNotFoundError, _Blocked), self._parent(path) as (parent, name):
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                return Entry(os.fsencode(os.readlink(name, dir_fd=parent)), link=True)
            if not stat.S_ISREG(mode):
                raise WorkspaceError(f"{path} is not a file in {self._name}")
            descriptor = os.open(name, _FILE, dir_fd=parent)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise WorkspaceError(f"{path} is not a file in {self._name}")
                return Entry(file.read(), executable=bool(mode & stat.S_IXUSR))
        return None

    def write(self, path: str, entry: Entry | None) -> None:
        """Put the file there in one step, or remove it; it belongs to the folder's owner."""
        if entry is None:
            with suppress(FileNotFoundError), self._parent(path) as (parent, name):
                os.unlink(name, dir_fd=parent)
            return
        with self._parent(path, make=True) as (parent, name):
            temporary = f".{secrets.token_hex(6)}.tmp"
            try:
                self._make(parent, temporary, name, entry)
                os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=parent)
                raise

    def _make(self, parent: int, temporary: str, name: str, entry: Entry) -> None:
        if entry.link:
            os.symlink(os.fsdecode(entry.data), temporary, dir_fd=parent)
            self._give(temporary, parent)
            return
        mode = 0o644
        with suppress(FileNotFoundError):
            facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                mode = stat.S_IMODE(facts.st_mode)
        mode = mode | 0o111 if entry.executable else mode & ~0o111
        with os.fdopen(os.open(temporary, _NEW, 0o600, dir_fd=parent), "wb") as file:
            file.write(entry.data)
            os.fchmod(file.fileno(), mode)
        self._give(temporary, parent)

    def _give(self, name: str, parent: int) -> None:
        """A root caller leaves no files of its own in somebody's folder."""
        if os.geteuid() == 0:
            os.chown(name, *self._owner, dir_fd=parent, follow_symlinks=False)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Generator[tuple[int, str]]:
        *folders, name = path.split("/")
        if any(part in ("", ".", "..") for part in (*folders, name)) or "\0" in path:
            raise WorkspaceError(f"{path!r} leads out of {self._name}")
        here = os.dup(self._root)
        try:
            for folder in folders:
                here = self._step(here, folder, path, make=make)
            yield here, name
        finally:
            os.close(here)

    def _step(self, here: int, folder: str, path: str, *, make: bool) -> int:
        """Go one folder down; takes ``here`` over."""
        if make:
            with suppress(FileExistsError):
                os.mkdir(folder, 0o755, dir_fd=here)
                self._give(folder, here)
        try:
            below = os.open(folder, _FOLDER, dir_fd=here)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            raise _Blocked(
                f"{path} leads out of {self._name}, or through a file",
                tried=f"{folder} is a link or a file there",
                hint="Nothing was followed; look at the diff",
            ) from error
        os.close(here)
        return below
