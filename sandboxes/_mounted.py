"""Files of a mounted workspace, straight from this machine's disk: a sixth of the time.

Only where it makes no difference: the path leads through folders and to a file that are the
sandbox user's own, by no link. For everything else the way through the sandbox is taken, which
follows its links, knows its mounts, and says what is wrong.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import weakref
from contextlib import suppress
from pathlib import Path

from agentkit.sandboxes._control import Control
from agentkit.sandboxes._scripts import quote

__all__ = ["MountedFiles", "find_mounted"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_LARGE = 64 << 20
"""Bytes; more go through the sandbox, whose own processes are watched and limited."""

_OCTAL = re.compile(r"\\([0-7]{3})")
"""How the kernel writes spaces and the like in a list of mounts."""


async def find_mounted(
    control: Control, folder: Path, inside: str, largest: int
) -> MountedFiles | None:
    """Open the folder, if what the sandbox sees under ``inside`` is this very one, and its user's.

    Args:
        largest: how many bytes a file may have that one of the sandbox's own processes writes.
    """
    # An engine may run on another kernel (Docker Desktop), see another folder by that name, or
    # give users other numbers.
    facts = f"$(stat -L -c '%d %i %u' {quote(inside)}) $(id -u) $_plain"
    ask = f"read -r b <{_BOOT}; echo $b {facts}; cat /proc/self/mountinfo"
    _, reply = await control.request(ask)
    # Only by line feeds: a folder may be named with whatever else ends a line of text.
    first, *mounts = os.fsdecode(reply).rstrip("\n").split("\n")
    told = first.split()
    if len(told) != 6 or not mounts:
        return None
    boot, device, inode, owner, user, plain = told
    points = [_OCTAL.sub(lambda it: chr(int(it[1], 8)), line.split()[4]) for line in mounts]
    hidden = tuple(f"{point}/" for point in points if point.startswith(f"{inside}/"))
    with suppress(OSError):
        found = MountedFiles(folder, f"{inside}/", hidden, int(plain, 8), min(largest, _LARGE))
        if (boot, device, inode) == found.identity:
            return found if owner == user else None
    return None


class _Different(Exception):
    """Here the sandbox might see, or might be allowed, something else."""


class MountedFiles:
    """A folder, held open for as long as this object lives; each call may run in any thread."""

    def __init__(
        self, root: Path, inside: str, hidden: tuple[str, ...], plain: int, largest: int
    ) -> None:
        self._root = os.open(root, _FOLDER)
        weakref.finalize(self, os.close, self._root)
        facts = os.fstat(self._root)
        self.identity = (_BOOT.read_text().strip(), str(facts.st_dev), str(facts.st_ino))
        self._mount = _mount_of(self._root)
        self._owner, self._group = facts.st_uid, facts.st_gid
        self._inside, self._hidden = inside, hidden
        self._plain, self._largest = plain, largest

    def read(self, path: str, limit: int) -> bytes | None:
        """The file's bytes; None where it has more than ``limit``, or is not for us to read.

        A file that grows meanwhile is not, either: what it has then is for the sandbox to say.
        """
        with suppress(_Different, OSError):
            folder, name = self._parent(path, 0o100)
            try:
                # A program that waits for a reader of its pipe must not take us for one.
                self._check_file(os.stat(name, dir_fd=folder, follow_symlinks=False), 0o400)
                descriptor = os.open(name, _FILE, dir_fd=folder)
            finally:
                os.close(folder)
            with os.fdopen(descriptor, "rb") as file:
                facts = os.fstat(descriptor)
                self._check_file(facts, 0o400)
                if facts.st_size > limit or _mount_of(descriptor) != self._mount:
                    raise _Different
                data = file.read(min(facts.st_size, limit) + 1)
            return data if len(data) == facts.st_size else None
        return None

    def write(self, path: str, data: bytes, mode: int | None) -> bool:
        """Put the file there in one step; False where nothing was done, as it is not for us.

        The mode is that of the file before, or what the sandbox gives to a new one.
        """
        if len(data) > self._largest:
            return False
        with suppress(_Different, OSError):
            folder, name = self._parent(path, 0o300)
            try:
                before = self._mode(folder, name)
                mode = before if mode is None else mode
                # The kernel lets a user set that bit for groups of its own only.
                if mode & stat.S_ISGID or _gives_rights(folder):
                    raise _Different
                self._replace(folder, name, data, mode)
            finally:
                os.close(folder)
            return True
        return False

    def _mode(self, folder: int, name: str) -> int:
        try:
            facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return self._plain
        self._check_file(facts, 0)
        return stat.S_IMODE(facts.st_mode)

    def _replace(self, folder: int, name: str, data: bytes, mode: int) -> None:
        temporary = f"{name}.{secrets.token_hex(4)}.tmp"
        try:
            with os.fdopen(os.open(temporary, _NEW, 0o600, dir_fd=folder), "wb") as file:
                file.write(data)
                file.flush()
                if os.geteuid() == 0:
                    around = os.fstat(folder)
                    inherits = around.st_mode & stat.S_ISGID
                    group = around.st_gid if inherits else self._group
                    os.fchown(file.fileno(), self._owner, group)
                os.fchmod(file.fileno(), mode)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise

    def _parent(self, path: str, need: int) -> tuple[int, str]:
        """Open the folder of that path, one name at a time, and return it with the last name."""
        if not path.startswith(self._inside) or f"{path}/".startswith(self._hidden):
            raise _Different
        *folders, name = path.removeprefix(self._inside).split("/")
        here = os.dup(self._root)
        try:
            for folder in folders:
                self._check(os.fstat(here), 0o100)
                below = os.open(folder, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
            self._check(os.fstat(here), need)
            # What this machine mounted below since, the sandbox does not see.
            if _mount_of(here) != self._mount:
                raise _Different
        except BaseException:
            os.close(here)
            raise
        return here, name

    def _check_file(self, facts: os.stat_result, need: int) -> None:
        if not stat.S_ISREG(facts.st_mode):
            raise _Different
        self._check(facts, need)

    def _check(self, facts: os.stat_result, need: int) -> None:
        """Refuse what another user owns, or this one may not use: root, here, may do all."""
        if facts.st_uid != self._owner or facts.st_mode & need != need:
            raise _Different


def _mount_of(descriptor: int) -> str:
    """The number of the mount that an open file or folder is on."""
    told = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
    return next(line for line in told.splitlines() if line.startswith("mnt_id:"))


def _gives_rights(folder: int) -> bool:
    """Whether new files get rights from the folder, and not by the usual mask."""
    try:
        return bool(os.getxattr(folder, "system.posix_acl_default"))
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.EOPNOTSUPP)
