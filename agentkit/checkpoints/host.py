"""A workspace that this machine can see, read and written beneath its root only.

What runs in the sandbox may swap a folder for a link at any moment. So no path is ever opened as
a whole: each step goes from an open folder to a name in it, and never through a link.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Container, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from anyio import to_thread

from agentkit.checkpoints.folder import Bounds, Done, Plan, Scan, Stamp, TooMany
from agentkit.checkpoints.rules import IGNORE_FILES, LONGEST, IgnoreFile, Rules
from agentkit.checkpoints.tree import Contents, Entry, join, split
from agentkit.errors import WorkspaceError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FRESH = 100_000_000
"""Nanoseconds: a file that changed so shortly before it was looked at may change again without
another time of change, as file systems count in ticks of a few milliseconds."""


_DEEPEST = 256
"""Folders within folders; what lies deeper is not covered."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """One folder on its way to be looked at."""

    fd: int
    folder: str
    rules: Rules
    known_only: bool = False
    """An ignored folder in which something is covered from before."""


class HostFolder:
    """The workspace at ``root``."""

    def __init__(self, root: Path, bounds: Bounds) -> None:
        self._root = root
        self._bounds = bounds
        self._ignore_files: dict[str, IgnoreFile] = {}
        """By content."""

    async def scan(self, last: Scan, contents: Contents) -> Scan:
        return await to_thread.run_sync(self.scan_now, last, contents)

    async def apply(self, plan: Plan, contents: Contents) -> Done:
        return await to_thread.run_sync(self.apply_now, plan, contents)

    def scan_now(self, last: Scan, contents: Contents) -> Scan:
        """``scan`` for callers without an event loop."""
        scan = Scan()
        root = self._open_root()
        try:
            _Look(self, last, scan, contents).folder(_Visit(root, "", Rules()))
        finally:
            os.close(root)
        return scan

    def _open_root(self) -> int:
        try:
            return os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise WorkspaceError(
                f"the workspace {self._root} cannot be read: {error.strerror}",
                hint="If it was moved, name its new place with --workspace",
            ) from error

    def ignore_file(self, text: str) -> IgnoreFile:
        if text not in self._ignore_files:
            self._ignore_files[text] = IgnoreFile(text)
        return self._ignore_files[text]

    @property
    def bounds(self) -> Bounds:
        return self._bounds

    def apply_now(self, plan: Plan, contents: Contents) -> Done:
        """``apply`` for callers without an event loop."""
        done = Done()
        root = self._open_root()
        try:
            writer = _Writer(root, contents, done)
            for path, entry in plan.remove:
                writer.attempt(path, writer.remove, entry)
            for path, entry in plan.folders:
                writer.attempt(path, writer.make_folder, entry)
            for path, entry in plan.files:
                writer.attempt(path, writer.write, entry)
            for path, entry in plan.modes:
                writer.attempt(path, writer.set_mode, entry)
        finally:
            os.close(root)
        return done


class _Look:
    """One look at the whole workspace."""

    def __init__(self, host: HostFolder, last: Scan, scan: Scan, contents: Contents) -> None:
        self._host = host
        self._last = last
        self._scan = scan
        self._contents = contents
        self._fresh = time.time_ns() - _FRESH

    def folder(self, visit: _Visit) -> None:
        """Take in the entries of an open folder, and of those below it."""
        with os.scandir(visit.fd) as listing:
            found = {each.name: each for each in listing}
        rules = self._rules(visit, found)
        known = self._last.tree.get(visit.folder, _NOTHING)
        stamps = self._last.stamps.get(visit.folder, {})
        made, kept = dict[str, Entry](), dict[str, Stamp]()
        self._scan.tree[visit.folder], self._scan.stamps[visit.folder] = made, kept
        below: list[str] = []
        size = 0
        for name, each in found.items():
            entry = known.get(name)
            if entry is None and (
                visit.known_only or rules.ignores(name, folder=each.is_dir(follow_symlinks=False))
            ):
                continue
            try:
                facts = each.stat(follow_symlinks=False)
                # Nearly all files are the same as ever: those must cost next to nothing.
                stamp = stamps.get(name)
                if entry is not None and stamp is not None and stamp == _stamp(facts):
                    kept[name] = stamp
                else:
                    entry = self._entry(visit, name, facts, entry)
            except OSError as error:
                if error.errno != errno.ENOENT:  # it was there when it was listed
                    self._scan.skipped.append(join(visit.folder, name))
                continue
            if entry is not None:
                made[name] = entry
                size += entry[2]
                if entry[0] == "d":
                    below.append(name)
                elif entry[3][0] == "~":
                    self._scan.unkept[join(visit.folder, name)] = entry.content
        self._scan.files += len(made)
        self._scan.size += size
        if self._scan.files > self._host.bounds.files:
            raise TooMany
        for name in below:
            self._below(visit, name, rules)

    def _below(self, visit: _Visit, name: str, rules: Rules) -> None:
        folder = join(visit.folder, name)
        try:
            if folder.count("/") >= _DEEPEST:
                raise OSError(errno.ENAMETOOLONG, "too deep")
            fd = os.open(name, _FOLDER, dir_fd=visit.fd)
        except OSError:
            self._scan.tree[visit.folder].pop(name)
            self._scan.skipped.append(folder)
            return
        try:
            ignored = visit.known_only or rules.ignores(name, folder=True)
            self.folder(_Visit(fd, folder, rules, known_only=ignored))
        finally:
            os.close(fd)

    def _rules(self, visit: _Visit, names: Container[str]) -> Rules:
        files: list[IgnoreFile] = []
        for name in IGNORE_FILES:
            if name in names:
                try:
                    data = _read(visit.fd, name, LONGEST)[0]
                except OSError:
                    continue
                files.append(self._host.ignore_file(data.decode("utf-8", "surrogateescape")))
        return visit.rules.below(visit.folder, files)

    def _entry(
        self, visit: _Visit, name: str, facts: os.stat_result, known: Entry | None
    ) -> Entry | None:
        kind = stat.S_IFMT(facts.st_mode)
        if kind == stat.S_IFREG:
            return self._file(visit, name, facts)
        if kind == stat.S_IFDIR:
            mode = stat.S_IMODE(facts.st_mode)
            return known if known == ("d", mode, 0, "") else Entry("d", mode, 0, "")
        if kind == stat.S_IFLNK:
            target = os.fsencode(os.readlink(name, dir_fd=visit.fd))
            return Entry("l", 0, len(target), self._contents.add(target))
        return None  # sockets, pipes and devices are not covered

    def _file(self, visit: _Visit, name: str, facts: os.stat_result) -> Entry:
        limit = self._host.bounds.file_bytes
        stamp = Stamp(*_stamp(facts))
        if facts.st_size > limit:
            entry = _unkept(facts)
        else:
            data, facts = _read(visit.fd, name, limit)
            stamp = Stamp(*_stamp(facts))
            self._scan.read += 1
            mode = stat.S_IMODE(facts.st_mode)
            if len(data) > limit:
                entry = _unkept(facts)
            elif self._contents.holds_secret(data):
                entry = _unkept(facts, "~s")
            else:
                entry = Entry("f", mode, len(data), self._contents.add(data))
        if stamp.ctime < self._fresh:
            self._scan.stamps[visit.folder][name] = stamp
        return entry


def _stamp(facts: os.stat_result) -> tuple[int, int, int, int, int]:
    """What a ``Stamp`` holds, as a plain tuple: ten thousand of them are only compared."""
    return (facts.st_mode, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


_NOTHING: Mapping[str, Entry] = MappingProxyType({})


def _unkept(facts: os.stat_result, why: str = "~") -> Entry:
    return Entry("f", stat.S_IMODE(facts.st_mode), facts.st_size, f"{why}{facts.st_mtime_ns}")


def _read(folder: int, name: str, limit: int) -> tuple[bytes, os.stat_result]:
    """At most one byte more than the limit, and facts of before the reading."""
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.ELOOP, "it is no plain file any more")
        pieces: list[bytes] = []
        left = limit + 1
        while left > 0 and (piece := os.read(fd, min(left, 1 << 20))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces), facts
    finally:
        os.close(fd)


class _Writer:
    """Changes a workspace path by path, each relative to an open folder."""

    def __init__(self, root: int, contents: Contents, done: Done) -> None:
        self._root = root
        self._contents = contents
        self._done = done
        self._own = os.fstat(root)

    def attempt(self, path: str, work: Callable[[str, Entry], None], entry: Entry) -> None:
        """Do one step; a path that cannot be changed is remembered with the reason."""
        try:
            work(path, entry)
        except OSError as error:
            self._done.failed.append((path, error.strerror or str(error)))

    def remove(self, path: str, entry: Entry) -> None:
        folder, name = split(path)
        with self._opened(folder) as fd:
            if entry.kind != "d":
                os.unlink(name, dir_fd=fd)
                self._done.removed.append(path)
                return
            try:
                os.rmdir(name, dir_fd=fd)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise OSError(
                        error.errno, "files that no checkpoint covers are in it"
                    ) from None
                raise
            self._done.removed.append(path)

    def make_folder(self, path: str, entry: Entry) -> None:
        folder, name = split(path)
        with self._opened(folder) as fd:
            try:
                os.mkdir(name, 0o700, dir_fd=fd)
            except FileExistsError:
                # Something that is not covered, or that failed to be removed.
                if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    raise
                return
            self._give(name, fd)
            self._done.written.append(path)

    def write(self, path: str, entry: Entry) -> None:
        if not entry.kept:
            secret = entry.content.startswith("~s")
            why = "it held a secret and was not kept" if secret else "it was too large to be kept"
            raise OSError(errno.EFBIG, why)
        data = self._contents.get(entry.content)
        folder, name = split(path)
        temporary = f".agentkit-{secrets.token_hex(6)}"
        with self._opened(folder) as fd:
            try:
                if entry.kind == "l":
                    os.symlink(data, os.fsencode(temporary), dir_fd=fd)
                    self._give(temporary, fd)
                else:
                    self._fill(temporary, fd, data, entry.mode)
                os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=fd)
                raise
        self._done.written.append(path)

    def set_mode(self, path: str, entry: Entry) -> None:
        folder, name = split(path)
        with self._opened(folder) as fd:
            flags = _FOLDER if entry.kind == "d" else _FILE
            target = os.open(name, flags, dir_fd=fd)
            try:
                if stat.S_IMODE(os.fstat(target).st_mode) != entry.mode:
                    os.fchmod(target, entry.mode)
                    if path not in self._done.written:
                        self._done.written.append(path)
            finally:
                os.close(target)

    def _fill(self, name: str, folder: int, data: bytes, mode: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=folder)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            self._give(name, folder)
            os.fchmod(fd, mode)
        finally:
            os.close(fd)

    def _give(self, name: str, folder: int) -> None:
        """Root works on folders of other users: what it makes belongs to the workspace's owner."""
        if os.geteuid() == 0:
            os.chown(name, self._own.st_uid, self._own.st_gid, dir_fd=folder, follow_symlinks=False)

    @contextmanager
    def _opened(self, folder: str) -> Generator[int]:
        fd = os.dup(self._root)
        try:
            for part in folder.split("/") if folder else []:
                below = os.open(part, _FOLDER, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)
