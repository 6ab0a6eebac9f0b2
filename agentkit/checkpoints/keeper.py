"""A session's checkpoints: taken, compared, and brought back."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from agentkit.checkpoints.difference import AFTER, BEFORE, Difference, difference
from agentkit.checkpoints.folder import Bounds, Folder, Plan, Scan, TooMany, plan
from agentkit.checkpoints.host import HostFolder
from agentkit.checkpoints.inside import InnerFolder
from agentkit.checkpoints.rules import IGNORE_FILES, IgnoreFile, Rules
from agentkit.checkpoints.tree import Contents, Keeper, Tree, flat, join, load, split
from agentkit.errors import SandboxError, SessionError, UsageError
from agentkit.events import Checkpoint, Restored, RunStarted

if TYPE_CHECKING:
    from agentkit.log import EventLog
    from agentkit.run import Run

_LISTED = 200
"""Paths that a ``checkpoint.restored`` event names."""


class Kept:
    """What is remembered of one workspace between its checkpoints."""

    def __init__(self, contents: Contents, bounds: Bounds, place: str) -> None:
        self.contents = contents
        self.bounds = bounds
        self.place = place
        self.keeper = Keeper(contents)
        self.folder: Folder | None = None
        self.last: Scan | None = None
        self.run: RunStarted | None = None
        """The run that has its first checkpoint."""
        self.off = "" if bounds.files else "checkpoints are switched off"
        """Why no more are taken."""
        self.lock = anyio.Lock()

    def for_log(self, log: EventLog) -> Kept:
        """The same workspace as another session's log keeps it."""
        other = Kept(log.contents, self.bounds, self.place)
        other.folder, other.last, other.off = self.folder, self.last, self.off
        return other


class Checkpoints:
    """Those of the workspace that one lane works in; see ``docs/checkpoints.md``."""

    def __init__(self, run: Run) -> None:
        self._run = run
        if run.ground.kept is None:
            # An attempt's copy has no provider: it was forked off, and its states are its own.
            place = "" if run.ground.provider is not None else run.lane_name
            run.ground.kept = Kept(run.log.contents, run.bounds, place)
        self._kept = run.ground.kept
        self._contents = self._kept.contents

    @property
    def last(self) -> Checkpoint | None:
        """The newest one that can be brought back."""
        usable = [
            each
            for each in self._run.state.checkpoints.values()
            if each.tree and each.place == self._kept.place
        ]
        return usable[-1] if usable else None

    def get(self, checkpoint_id: str) -> Checkpoint:
        """The checkpoint of that id.

        Raises:
            SessionError: there is none, or it holds nothing.
        """
        found = self._run.state.checkpoints.get(checkpoint_id)
        if found is None:
            known = ", ".join(list(self._run.state.checkpoints)[-10:])
            raise SessionError(
                f"this session has no checkpoint {checkpoint_id!r}",
                hint=f"The last ones are {known}" if known else "It has none yet",
            )
        if not found.tree:
            raise SessionError(f"checkpoint {checkpoint_id} holds no files: {found.notice}")
        return found

    async def take(self, reason: str) -> Checkpoint:
        """Remember the workspace as it is now. Contents are durable, the event is appended.

        Raises:
            UsageError: the agent has no sandbox.
            SandboxError: the workspace cannot be read.
            StoreError: the contents cannot be stored.
        """
        async with self._kept.lock:
            return await self._take(reason)

    async def before_write(self) -> None:
        """Called before a call that may write: the first one of a run has a checkpoint."""
        started = self._run.state.run
        if not self._run.ground.exists or started is self._kept.run:
            return
        self._kept.run = started
        await self._automatic(BEFORE)

    async def after_turn(self) -> None:
        """Called after a turn that may have written."""
        if self._run.ground.exists:
            await self._automatic(AFTER)

    async def _automatic(self, reason: str) -> None:
        if self._kept.off:
            return
        try:
            await self.take(reason)
        except SandboxError as error:
            # The workspace's trouble is the tools' to report; here it only means: none this time.
            self._run.append(self._empty(reason, str(error)))

    async def restore(self, checkpoint_id: str, *, tell: bool = True) -> Restored:
        """Bring the workspace back to a checkpoint; what none covers is not touched.

        The state before is itself a checkpoint (``Restored.before``), so this can be undone.

        Args:
            tell: say so to the model, before its next answer.

        Raises:
            SessionError: there is no such checkpoint.
            UsageError, SandboxError, StoreError: as ``take``.
        """
        target = self.get(checkpoint_id)
        async with self._kept.lock:
            before = await self._take(f"before restoring {target.id}")
            if not before.tree:
                raise UsageError(
                    f"the workspace cannot be put back: {before.notice}",
                    hint="Nothing was changed",
                )
            goal = await to_thread.run_sync(load, self._contents, target.tree)
            wanted = await self._plan(goal)
            folder, failures = await self._open(), dict[str, str]()
            if wanted:
                done = await folder.apply(wanted, self._contents)
                failures = dict(done.failed)
            after = await self._scan()
            left = plan(after.tree, goal, spare=await self._spared(goal, after.tree))
            restored = self._run.append(_restored(target, before, wanted, _steps(left), failures))
        if tell and restored.changed:
            self._run.notes.append(restored.as_note())
        return restored

    async def diff(self, old: str, new: str = "") -> Difference:
        """What changed from one checkpoint to another.

        Args:
            new: its id; "" compares with the workspace as it is now.

        Raises:
            SessionError: there is no such checkpoint.
            UsageError, SandboxError, StoreError: as ``take``.
        """
        after = self.get(new) if new else await self.take("to compare")
        before = self.get(old)
        return await to_thread.run_sync(difference, self._contents, before.tree, after.tree)

    async def _take(self, reason: str) -> Checkpoint:
        started = time.monotonic()
        if self._kept.off:
            return self._run.append(self._empty(reason, self._kept.off))
        try:
            scan = await self._scan()
        except TooMany:
            self._kept.off = (
                f"the workspace has more than {self._kept.bounds.files:,} files;"
                " no checkpoints are taken, and undo takes back the history only"
            )
            return self._run.append(self._empty(reason, self._kept.off))
        tree = await to_thread.run_sync(self._kept.keeper.keep, scan.tree)
        new_bytes = await to_thread.run_sync(self._contents.flush)
        taken = self._run.append(
            Checkpoint(
                id=f"c{len(self._run.state.checkpoints) + 1}",
                tree=tree,
                reason=reason,
                turn=self._run.state.answers,
                place=self._kept.place,
                files=scan.files,
                size=scan.size,
                read=scan.read,
                new_bytes=new_bytes,
                notice=_notice(scan.unkept, scan.skipped, self._kept.bounds),
                duration=round(time.monotonic() - started, 4),
            )
        )
        used = sum(each.new_bytes for each in self._run.state.checkpoints.values())
        if used > self._kept.bounds.session_bytes:
            self._kept.off = (
                f"this session's checkpoints hold {used >> 20:,} MB, more than"
                f" {self._kept.bounds.session_bytes >> 20:,}; no more are taken"
            )
        return taken

    async def _scan(self) -> Scan:
        folder = await self._open()
        if self._kept.last is None:
            self._kept.last = await self._recall()
        self._kept.last = await folder.scan(self._kept.last, self._contents)
        return self._kept.last

    async def _recall(self) -> Scan:
        """What the last checkpoint of an earlier process covered."""
        last = self.last
        if last is None:
            return Scan()
        return Scan(tree=await to_thread.run_sync(load, self._contents, last.tree))

    async def _open(self) -> Folder:
        if self._kept.folder is None:
            ground = self._run.ground
            source = ground.opened or ground.provider
            if source is None:
                raise UsageError("this agent has no sandbox, so there is no workspace")
            seen = source.host_workspace
            self._kept.folder = (
                HostFolder(seen, self._kept.bounds)
                if seen is not None
                else InnerFolder(ground.opened or await self._run.sandbox(), self._kept.bounds)
            )
        return self._kept.folder

    async def _plan(self, goal: Tree) -> Plan:
        assert self._kept.last is not None
        now = self._kept.last.tree
        return plan(now, goal, spare=await self._spared(goal, now))

    async def _spared(self, goal: Tree, now: Tree) -> list[str]:
        """Paths that the goal's own rules left out, so that it says nothing about them."""

        def find() -> list[str]:
            rules = _Goal(self._contents, goal)
            new = [path for path, _ in flat(now) if not _has(goal, path)]
            spared = [path for path in new if rules.left_out(path, now)]
            # A folder stays while something in it does.
            above = {parent for path in spared for parent in _parents(path)}
            return [*spared, *above]

        return await to_thread.run_sync(find)

    def _empty(self, reason: str, notice: str) -> Checkpoint:
        return Checkpoint(
            id=f"c{len(self._run.state.checkpoints) + 1}",
            reason=reason,
            turn=self._run.state.answers,
            place=self._kept.place,
            notice=notice,
        )


@dataclass(slots=True)
class _Goal:
    """The rules that held when the goal was taken: its own ignore files are part of it."""

    contents: Contents
    tree: Tree

    def left_out(self, path: str, now: Tree) -> bool:
        rules, folder = self._of(""), ""
        parts = path.split("/")
        for depth, name in enumerate(parts):
            is_folder = depth < len(parts) - 1 or _kind(now, path) == "d"
            if rules.ignores(name, folder=is_folder):
                return True
            folder = join(folder, name)
            rules = self._of(folder, rules)
        return False

    def _of(self, folder: str, above: Rules | None = None) -> Rules:
        entries = self.tree.get(folder, {})
        texts = [
            self.contents.get(entries[name].content).decode("utf-8", "surrogateescape")
            for name in IGNORE_FILES
            if name in entries and entries[name].kind == "f" and entries[name].kept
        ]
        return (above or Rules()).below(folder, [IgnoreFile(text) for text in texts])


def _has(tree: Tree, path: str) -> bool:
    folder, name = split(path)
    return name in tree.get(folder, {})


def _kind(tree: Tree, path: str) -> str:
    folder, name = split(path)
    return tree[folder][name].kind


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _steps(left: Plan) -> list[str]:
    steps = (*left.remove, *left.folders, *left.files, *left.modes)
    return sorted({path for path, _ in steps})


def _restored(
    target: Checkpoint, before: Checkpoint, wanted: Plan, left: list[str], why: dict[str, str]
) -> Restored:
    asked = set(_steps(wanted))
    failed = tuple(
        f"{path}: {why.get(path, 'it could not be changed')}" for path in left if path in asked
    )
    changed = sorted(asked - set(left))
    removed = {path for path, _ in wanted.remove} - {path for path, _ in wanted.files}
    return Restored(
        checkpoint=target.id,
        before=before.id,
        changed=len(changed),
        removed=len(removed - set(left)),
        paths=tuple(changed[:_LISTED]),
        failed=failed[:_LISTED],
    )


def _notice(unkept: dict[str, str], skipped: list[str], bounds: Bounds) -> str:
    parts: list[str] = []
    secret = [path for path, content in unkept.items() if content.startswith("~s")]
    large = [path for path in unkept if path not in secret]
    if secret:
        parts.append(f"not kept, as a secret is in it: {_some(secret)}")
    if large:
        parts.append(f"not kept, larger than {bounds.file_bytes >> 20} MB: {_some(large)}")
    if skipped:
        parts.append(f"could not be read: {_some(skipped)}")
    return "; ".join(parts)


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more
