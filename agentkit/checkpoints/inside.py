"""A workspace that only the sandbox can see: read and written with the tools of any image.

``find``, ``stat``, ``readlink`` and ``tar`` of GNU or busybox; where there is no ``tar``, file by
file. Lists end with a random word in each record, so that no file name can forge one.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TypeVar

from agentkit.checkpoints.folder import Bounds, Done, Plan, Scan, Stamp, TooMany
from agentkit.checkpoints.rules import ALWAYS, IGNORE_FILES, LONGEST, IgnoreFile, Rules
from agentkit.checkpoints.tree import Contents, Entry, join, split
from agentkit.errors import FileError, SandboxError, WorkspaceError
from agentkit.sandbox import Sandbox

_BATCH = 4 << 20
"""Bytes of contents that are in memory at a time."""
_NAMES = 64 << 10
"""Bytes of names in one command."""
_LISTING = 48 << 20
_LIMIT = 120.0

T = TypeVar("T", Stamp, Entry)

# $1 = the workspace, $2 = the random word. One record per path: kind and stamp, then its name.
_LIST = r"""
cd -- "$1" || exit 9
printf '%s %s\n' "$(date +%s)" "$(command -v tar >/dev/null && echo tar)"
if find . -maxdepth 0 -printf '' 2>/dev/null; then
    find . -mindepth 1 \( PRUNE \) -prune -o -printf "\n$2 %y %m %s %T@ %C@ %i %p"
else
    find . -mindepth 1 \( PRUNE \) -prune -o -exec stat -c "
$2 %f %s %Y %Z %i %n" -- {} +
fi 2>/dev/null
find . -mindepth 1 \( PRUNE \) -prune -o -type l -exec sh -c '
    w=$1; shift
    for l do printf "\n%s L %s\n%s T " "$w" "$l" "$w"; readlink -- "$l"; done
' sh "$2" {} + 2>/dev/null
printf '\n%s end\n' "$2"
""".replace("PRUNE", " -o ".join(f"-name {name}" for name in sorted(ALWAYS)))


class InnerFolder:
    """The workspace of a sandbox, through its commands."""

    def __init__(self, sandbox: Sandbox, bounds: Bounds) -> None:
        self._sandbox = sandbox
        self._bounds = bounds
        self._has_tar = True
        self._texts: dict[str, tuple[Stamp, IgnoreFile]] = {}
        """Ignore files by path, while their stamps hold."""

    async def scan(self, last: Scan, contents: Contents) -> Scan:
        moment, found, links = await self._list()
        if len(found) > self._bounds.files * 2:
            raise TooMany
        await self._read_rules(found)
        covered = self._covered(found, last)
        if len(covered) > self._bounds.files:
            raise TooMany
        scan = Scan(files=len(covered))
        scan.tree[""] = {}
        changed: list[tuple[str, Stamp]] = []
        for path, stamp in covered.items():
            entry = self._known(path, stamp, links, last, contents)
            if entry is None and stat.S_ISREG(stamp.mode):
                changed.append((path, stamp))
            elif entry is not None:
                self._enter(scan, path, entry)
            if stamp.ctime < moment and stat.S_ISREG(stamp.mode):
                scan.trust(path, stamp)
        await self._read(changed, scan, contents)
        return scan

    async def _list(self) -> tuple[int, dict[str, Stamp], dict[str, bytes]]:
        """The sandbox's time, the stamp of every path, the target of every link."""
        word = secrets.token_hex(8)
        ran = await self._sandbox.exec(
            f"(set -- {_quote(self._sandbox.workdir)} {word}\n{_LIST})",
            timeout=_LIMIT,
            keep=_LISTING * 2,
        )
        if ran.exit_code == 9:
            raise WorkspaceError(f"{self._sandbox.workdir} is no folder in the sandbox")
        if ran.output.omitted or ran.ended == "flood":
            raise TooMany
        data = ran.output.data
        if not data.endswith(f"\n{word} end\n".encode()):
            raise SandboxError(
                "the workspace could not be listed",
                tried=f"find in the sandbox ended with {ran.ended}, exit code {ran.exit_code}",
            )
        head, *records = data.split(f"\n{word} ".encode())
        clock, _, tar = head.strip().partition(b" ")
        self._has_tar = tar.strip() == b"tar"
        second = int(clock) if clock.isdigit() else 0
        return (second - 1) * 1_000_000_000, *_parse(records[:-1])

    async def _read_rules(self, found: dict[str, Stamp]) -> None:
        for path, stamp in found.items():
            if split(path)[1] not in IGNORE_FILES or not stat.S_ISREG(stamp.mode):
                continue
            known = self._texts.get(path)
            if known is not None and known[0] == stamp:
                continue
            try:
                data = await self._sandbox.read_file(self._inner(path), max_bytes=LONGEST)
            except FileError:
                data = b""
            self._texts[path] = (stamp, IgnoreFile(data.decode("utf-8", "surrogateescape")))

    def _covered(self, found: dict[str, Stamp], last: Scan) -> dict[str, Stamp]:
        """Those that the rules leave in, or that were covered before; parents first."""
        rules: dict[str, Rules] = {}
        covered: dict[str, Stamp] = {}
        ignored: set[str] = set()
        for path in sorted(found, key=lambda each: each.split("/")):
            folder, name = split(path)
            if folder and folder not in covered:
                continue
            if folder not in rules:
                rules[folder] = self._rules_of(folder, rules, found)
            kind = stat.S_IFMT(found[path].mode)
            if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                continue
            out = folder in ignored or rules[folder].ignores(name, folder=kind == stat.S_IFDIR)
            if out and last.entry(path) is None:
                continue
            covered[path] = found[path]
            if out and kind == stat.S_IFDIR:
                ignored.add(path)
        return covered

    def _rules_of(self, folder: str, rules: dict[str, Rules], found: dict[str, Stamp]) -> Rules:
        above = rules[split(folder)[0]] if folder else Rules()
        paths = [join(folder, name) for name in IGNORE_FILES]
        files = [self._texts[path][1] for path in paths if path in found and path in self._texts]
        return above.below(folder, files)

    def _known(
        self, path: str, stamp: Stamp, links: dict[str, bytes], last: Scan, contents: Contents
    ) -> Entry | None:
        """The entry, where nothing must be read for it."""
        mode = stat.S_IMODE(stamp.mode)
        if stat.S_ISDIR(stamp.mode):
            return Entry("d", mode, 0, "")
        if stat.S_ISLNK(stamp.mode):
            target = links.get(path)
            return None if target is None else Entry("l", 0, len(target), contents.add(target))
        if last.stamp(path) == stamp:
            return last.entry(path)
        if stamp.size > self._bounds.file_bytes:
            return Entry("f", mode, stamp.size, f"~{stamp.mtime}")
        return None

    def _enter(self, scan: Scan, path: str, entry: Entry) -> None:
        folder, name = split(path)
        scan.tree.setdefault(folder, {})[name] = entry
        if entry.kind == "d":
            scan.tree.setdefault(path, {})
        scan.size += entry.size
        if not entry.kept:
            scan.unkept[path] = entry.content

    async def _read(self, changed: list[tuple[str, Stamp]], scan: Scan, contents: Contents) -> None:
        for batch in _batches(changed):
            got = await (self._untar(batch) if self._has_tar else self._one_by_one(batch))
            for path, stamp in batch:
                data = got.get(path)
                if data is None or len(data) > self._bounds.file_bytes:
                    scan.skipped.append(path)
                    continue
                scan.read += 1
                secret = contents.holds_secret(data)
                name = f"~s{stamp.mtime}" if secret else contents.add(data)
                self._enter(scan, path, Entry("f", stat.S_IMODE(stamp.mode), len(data), name))

    async def _untar(self, batch: list[tuple[str, Stamp]]) -> dict[str, bytes]:
        names = " ".join(_quote(f"./{path}") for path, _ in batch)
        ran = await self._sandbox.exec(
            f"cd -- {_quote(self._sandbox.workdir)} && tar -cf - -- {names} 2>/dev/null",
            timeout=_LIMIT,
            keep=_LISTING * 2,
        )
        got: dict[str, bytes] = {}
        try:
            with tarfile.open(
                fileobj=io.BytesIO(ran.output.data), mode="r|", errors="surrogateescape"
            ) as tar:
                for info in tar:
                    path = str(PurePosixPath(info.name))
                    if info.islnk():
                        got[path] = got.get(str(PurePosixPath(info.linkname)), b"")
                    elif info.isreg() and (file := tar.extractfile(info)) is not None:
                        got[path] = file.read()
        except tarfile.TarError:
            pass  # cut short: what is missing counts as unreadable
        return got

    async def _one_by_one(self, batch: list[tuple[str, Stamp]]) -> dict[str, bytes]:
        got: dict[str, bytes] = {}
        for path, _ in batch:
            try:
                got[path] = await self._sandbox.read_file(
                    self._inner(path), max_bytes=self._bounds.file_bytes
                )
            except FileError:
                continue
        return got

    async def apply(self, plan: Plan, contents: Contents) -> Done:
        done = Done()
        await self._commands(
            f"rmdir -- {_quote('./' + path)}"
            if entry.kind == "d"
            else f"rm -f -- {_quote('./' + path)}"
            for path, entry in plan.remove
        )
        await self._commands(f"mkdir -p -- {_quote('./' + path)}" for path, _ in plan.folders)
        for batch in _batches([(path, entry) for path, entry in plan.files if entry.kept]):
            await self._write(batch, contents)
        await self._commands(
            f"chmod {entry.mode:o} -- {_quote('./' + path)}" for path, entry in plan.modes
        )
        done.written = [path for path, _ in (*plan.folders, *plan.files)]
        done.removed = [path for path, _ in plan.remove]
        return done

    async def _write(self, batch: list[tuple[str, Entry]], contents: Contents) -> None:
        await self._commands(f"rm -f -- {_quote('./' + path)}" for path, _ in batch)
        if not self._has_tar:
            await self._write_one_by_one(batch, contents)
            return
        buffer = io.BytesIO()
        with tarfile.open(
            fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
        ) as tar:
            for path, entry in batch:
                info = tarfile.TarInfo(f"./{path}")
                data = contents.get(entry.content)
                info.mtime = int(time.time())
                if entry.kind == "l":
                    info.type, info.linkname, info.mode = tarfile.SYMTYPE, os.fsdecode(data), 0o777
                    tar.addfile(info)
                else:
                    info.size, info.mode = len(data), entry.mode
                    tar.addfile(info, io.BytesIO(data))
        await self._sandbox.exec(
            f"cd -- {_quote(self._sandbox.workdir)} && tar -xpomf -",
            stdin=buffer.getvalue(),
            timeout=_LIMIT,
        )

    async def _write_one_by_one(self, batch: list[tuple[str, Entry]], contents: Contents) -> None:
        for path, entry in batch:
            data = contents.get(entry.content)
            if entry.kind == "l":
                target = _quote(os.fsdecode(data))
                await self._commands([f"ln -s -- {target} {_quote('./' + path)}"])
                continue
            try:
                await self._sandbox.write_file(self._inner(path), data, mode=entry.mode)
            except FileError:
                continue  # seen afterwards, as the file is not what it should be

    async def _commands(self, lines: Iterable[str]) -> None:
        """Run them in a few rounds; a line that fails does not stop those after it."""
        start = f"cd -- {_quote(self._sandbox.workdir)} || exit 9\n"
        script = start
        for line in lines:
            script += f"{line}\n"
            if len(script) > _NAMES:
                await self._sandbox.exec(script, timeout=_LIMIT)
                script = start
        if script != start:
            await self._sandbox.exec(script, timeout=_LIMIT)

    def _inner(self, path: str) -> str:
        return f"{self._sandbox.workdir.rstrip('/')}/{path}"


def _batches(items: list[tuple[str, T]]) -> Iterator[list[tuple[str, T]]]:
    """Neighbours that are small enough together."""
    batch: list[tuple[str, T]] = []
    size = names = 0
    for path, each in items:
        if batch and (size + each.size > _BATCH or names > _NAMES):
            yield batch
            batch, size, names = [], 0, 0
        batch.append((path, each))
        size += each.size
        names += len(path) + 5
    if batch:
        yield batch


def _parse(records: list[bytes]) -> tuple[dict[str, Stamp], dict[str, bytes]]:
    found: dict[str, Stamp] = {}
    links: dict[str, bytes] = {}
    link = ""
    for record in records:
        if record.startswith(b"L "):
            link = os.fsdecode(record[4:])
        elif record.startswith(b"T "):
            links[link] = record[2:].removesuffix(b"\n")
        else:
            parsed = _stamped(record)
            if parsed is not None:
                found[parsed[0]] = parsed[1]
    return found, links


_KINDS = {"f": stat.S_IFREG, "d": stat.S_IFDIR, "l": stat.S_IFLNK}


def _stamped(record: bytes) -> tuple[str, Stamp] | None:
    """Path and stamp, from a line of ``find`` or of ``stat``."""
    words = record.split(b" ", 6)
    try:
        if words[0].decode() in ("f", "d", "l", "p", "s", "b", "c") and len(words) == 7:
            kind, mode, size, mtime, ctime, inode = (word.decode() for word in words[:6])
            bits = _KINDS.get(kind, 0) | int(mode, 8)
            stamp = Stamp(bits, int(size), _nanoseconds(mtime), _nanoseconds(ctime), int(inode))
            return os.fsdecode(words[6][2:]), stamp
        bits, size, mtime, ctime, inode, name = record.split(b" ", 5)
        return os.fsdecode(name.removesuffix(b"\n")[2:]), Stamp(
            int(bits, 16), int(size), int(mtime) * 10**9, int(ctime) * 10**9, int(inode)
        )
    except ValueError:
        return None


def _nanoseconds(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 10**9 + int(part[:9].ljust(9, "0") or "0")


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
