"""Bring the changes of a copied workspace home: into another sandbox, or into a folder here."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from agentkit.errors import SandboxError, WorkspaceError
from agentkit.sandbox import ExecResult
from agentkit.sandboxes._beneath import Beneath
from agentkit.sandboxes._scripts import quote
from agentkit.sandboxes._tree import Entry, Tree

__all__ = ["merge_into_folder", "merge_into_sandbox"]


class Home(Protocol):
    """What a merge needs of the sandbox that takes the changes."""

    @property
    def workdir(self) -> str: ...

    async def exec(self, command: str, /) -> ExecResult: ...

    async def write_file(self, path: str, data: bytes, /) -> None: ...


async def merge_into_sandbox(home: Home, current: Tree, old: Tree, new: Tree) -> list[str]:
    """Write the changes as the sandbox's own user would; the changed paths.

    Args:
        current: the same files, as they are there now.

    Raises:
        WorkspaceError: some were changed there too; nothing was written.
    """
    changed = sorted({*old, *new})
    _refuse_conflicts(changed, current, old, new, "the sandbox that it was forked from")
    # What goes first makes room: a folder may take the place of a file.
    gone = [
        path for path in changed if path not in new or _in_the_way(current.get(path), new[path])
    ]
    parents = {posixpath.dirname(path) for path in gone if path not in new} - {""}
    await _do(home, (f"rm -f -- {_word(home, path)}" for path in gone))
    # As git does: a folder whose last file has gone goes too.
    await _do(
        home,
        (
            f"cd {quote(home.workdir)} && rmdir -p -- {quote('./' + parent)} 2>/dev/null || :"
            for parent in sorted(parents, key=len, reverse=True)
        ),
    )
    for path in (path for path in changed if path in new):
        await _put(home, path, new[path], current.get(path))
    return changed


def _in_the_way(current: Entry | None, new: Entry) -> bool:
    return current is not None and (current.link or new.link)


async def _put(home: Home, path: str, entry: Entry, current: Entry | None) -> None:
    place = _word(home, path)
    if entry.link:
        parent = quote(posixpath.dirname(posixpath.join(home.workdir, path)))
        target = quote(os.fsdecode(entry.data))
        await _do(home, [f"mkdir -p -- {parent} && ln -s -- {target} {place}"])
        return
    await home.write_file(posixpath.join(home.workdir, path), entry.data)
    if entry.executable != (current is not None and current.executable and not current.link):
        await _do(home, [f"chmod {'+x' if entry.executable else '-x'} -- {place}"])


def _word(home: Home, path: str) -> str:
    return quote(posixpath.join(home.workdir, path))


async def _do(home: Home, commands: Iterable[str]) -> None:
    script = "\n".join(commands)
    if not script:
        return
    done = await home.exec(f"set -e\n{script}")
    if not done.ok:
        raise SandboxError(
            "the changes could not be brought home in full",
            tried=done.output.data.decode("utf-8", "replace").strip()[-300:],
            hint="The fork still has them: see its changes()",
        )


def merge_into_folder(target: Path, old: Tree, new: Tree) -> list[str]:
    """Write the changes into a folder of this machine; the changed paths.

    No link on the way is followed, whoever puts one there and when.

    Raises:
        WorkspaceError: a file was changed there too, or a path leads out; nothing was written.
    """
    changed = sorted({*old, *new})
    with Beneath(target) as folder:
        current = {path: entry for path in changed if (entry := folder.read(path)) is not None}
        _refuse_conflicts(changed, current, old, new, str(target))
        for path in sorted(changed, key=lambda path: path in new):
            folder.write(path, new.get(path))
    return changed


def _refuse_conflicts(changed: list[str], current: Tree, old: Tree, new: Tree, where: str) -> None:
    conflicts = [
        path for path in changed if current.get(path) not in (old.get(path), new.get(path))
    ]
    if conflicts:
        raise WorkspaceError(
            f"{len(conflicts)} of {len(changed)} changed files were also changed in {where}",
            tried=", ".join(conflicts[:5]),
            hint="Nothing was written; merge them from the diff",
        )
