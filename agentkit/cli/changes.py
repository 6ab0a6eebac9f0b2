"""What a run changed in the workspace, seen from outside, without trusting anything in it.

A repository that the sandbox can write may hold a configuration that runs programs (filters,
``fsmonitor``). So git never reads the workspace's own ``.git`` here: it gets a repository of ours,
with no configuration, and an explicit list of files.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 10_000
MOST_BYTES = 64 << 20
LARGE = 4 << 20
_TIMEOUT = 60.0

Signature = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """One file that is different now."""

    path: str
    what: str
    """``changed``, ``added`` or ``deleted``."""
    plus: int | None = None
    """Lines added; None where they were not counted."""
    minus: int | None = None


class TooLarge(Exception):
    """The workspace is too large for a copy of its contents."""


class Changes:
    """A workspace before and after.

    Args:
        folder: the workspace.
        git_dir: where our repository is kept; one that exists already knows the state before.
    """

    def __init__(self, folder: Path, git_dir: Path) -> None:
        self._folder = folder
        self._git_dir = git_dir
        self._lock = threading.Lock()
        self._before: dict[str, Signature] | None = None
        self._tree = ""

    def begin(self) -> None:
        """Take the state before; the first call does it."""
        with self._lock:
            if self._before is not None:
                return
            self._before = dict(scan(self._folder))
            kept = self._git_dir / "before"
            try:
                if kept.is_file():
                    self._tree = kept.read_text(encoding="ascii")
                elif self._fits(self._before):
                    self._prepare()
                    self._tree = self._write_tree("index-before")
                    kept.write_text(self._tree, encoding="ascii")
            except (OSError, subprocess.SubprocessError):
                self._tree = ""

    def list(self) -> list[Change]:
        """The files that are different now, by name."""
        if self._before is None:
            return []
        after = dict(scan(self._folder))
        counted = self._counted()
        if counted is None:
            return sorted(_compare(self._before, after), key=lambda each: each.path)
        large = {k: v for k, v in self._before.items() if v[0] > LARGE}
        large_now = {k: v for k, v in after.items() if v[0] > LARGE}
        names = {each.path for each in counted}
        rest = [each for each in _compare(large, large_now) if each.path not in names]
        return sorted([*counted, *rest], key=lambda each: each.path)

    def patch(self) -> bytes:
        """All changes as a patch that ``git apply`` takes.

        Raises:
            TooLarge: the workspace is too large, or git is missing.
        """
        if not self._tree:
            raise TooLarge
        return self._diff("--binary", "--full-index")

    def _counted(self) -> list[Change] | None:
        if not self._tree:
            return None
        try:
            stats = self._diff("--numstat", "-z").decode("utf-8", "surrogateescape")
            kinds = self._diff("--name-status", "-z").decode("utf-8", "surrogateescape")
        except (OSError, subprocess.SubprocessError):
            return None
        fields = kinds.split("\0")
        what = dict(zip(fields[1::2], fields[::2], strict=False))
        return [_change(row, what) for row in stats.split("\0") if row]

    def _diff(self, *options: str) -> bytes:
        now = self._write_tree("index-after")
        plain = ("--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all")
        return self._git("diff-tree", "-r", *plain, *options, self._tree, now)

    def _fits(self, files: dict[str, Signature]) -> bool:
        if shutil.which("git") is None or len(files) > MOST_FILES:
            return False
        return sum(size for size, _ in files.values() if size <= LARGE) <= MOST_BYTES

    def _prepare(self) -> None:
        self._git_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._git("init", "--quiet")
        # Bytes as they are: no filter, no other line ends, whatever .gitattributes says.
        info = self._git_dir / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text("* -text -filter -ident -working-tree-encoding\n")

    def _write_tree(self, index: str) -> str:
        (self._git_dir / index).unlink(missing_ok=True)
        listing = self._git("ls-files", "-z", "--others", "--exclude-standard", index=index)
        names = [name for name in listing.split(b"\0") if name and not name.endswith(b"/")]
        small = [name for name in names if self._is_small(name)]
        self._git("update-index", "-z", "--add", "--stdin", index=index, stdin=b"\0".join(small))
        return self._git("write-tree", index=index).decode().strip()

    def _is_small(self, name: bytes) -> bool:
        try:
            facts = os.lstat(os.fsencode(self._folder) + b"/" + name)
        except OSError:
            return False
        return facts.st_size <= LARGE and (
            stat.S_ISLNK(facts.st_mode)
            or os.access(os.fsencode(self._folder) + b"/" + name, os.R_OK)
        )

    def _git(self, *arguments: str, index: str = "index", stdin: bytes = b"") -> bytes:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._git_dir),
            "LC_ALL": "C",
            "GIT_DIR": str(self._git_dir),
            "GIT_WORK_TREE": str(self._folder),
            "GIT_INDEX_FILE": str(self._git_dir / index),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_OPTIONAL_LOCKS": "0",
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self._folder,
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=_TIMEOUT,
            check=True,
        )
        return done.stdout


def scan(folder: Path) -> Iterator[tuple[str, Signature]]:
    """Size and time of change of each file, without repositories' insides; bounded."""
    pending, seen = [str(folder)], 0
    while pending and seen <= 5 * MOST_FILES:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in (".git", "__pycache__", "node_modules", ".venv"):
                        pending.append(entry.path)
                    continue
                facts = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            seen += 1
            yield os.path.relpath(entry.path, folder), (facts.st_size, facts.st_mtime_ns)


def _compare(before: dict[str, Signature], after: dict[str, Signature]) -> Iterator[Change]:
    for path in before.keys() | after.keys():
        if path not in after:
            yield Change(path, "deleted")
        elif path not in before:
            yield Change(path, "added")
        elif before[path] != after[path]:
            yield Change(path, "changed")


def _change(row: str, what: dict[str, str]) -> Change:
    plus, minus, path = row.split("\t", 2)
    kind = {"A": "added", "D": "deleted"}.get(what.get(path, ""), "changed")
    if plus == "-":  # binary
        return Change(path, kind)
    return Change(path, kind, int(plus), int(minus))
