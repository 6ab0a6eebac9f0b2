"""What a checkpoint costs: 10,000 files of which one changed, against a plain walk and git.

    python -m benchmarks.checkpoints [--files N] [--rounds N]

Each round changes one file, then measures, in turn: a bare walk with ``lstat`` of every entry (the
floor), a checkpoint (scan, tree, contents in SQLite, event; durable), a restore of the file, and
``git add -A`` with ``git write-tree`` in a repository of its own. Medians and ratios of one run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import anyio

from agentkit import Agent, Session
from agentkit.sandboxes import Local
from agentkit.stores.sqlite import SQLiteStore


def build(folder: Path, files: int) -> None:
    """Folders of twenty files, about 2 KB each, and an empty repository beside them."""
    git = str(folder.with_name("git"))
    subprocess.run(["git", "init", "-q", "--bare", git], check=True)
    for number in range(files):
        path = folder / f"package{number // 400}" / f"module{number // 20}" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {number}\n" + "value = 1\n" * 200)


def walk(folder: Path) -> int:
    """The floor: every entry is looked at."""
    count, pending = 0, [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
    return count


def by_git(folder: Path, git_dir: Path) -> None:
    """The same with git's plumbing, in a repository beside the folder."""
    environment = {**os.environ, "GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(folder)}
    for arguments in (("add", "-A"), ("write-tree",)):
        subprocess.run(["git", *arguments], env=environment, check=True, capture_output=True)


class Rounds:
    """Times by name."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def note(self, name: str, started: float) -> None:
        self.times.setdefault(name, []).append((time.perf_counter() - started) * 1000)

    def measure(self, name: str, work: Callable[[], object]) -> None:
        started = time.perf_counter()
        work()
        self.note(name, started)

    def tell(self) -> None:
        floor = statistics.median(self.times["walk with lstat"])
        for name, times in self.times.items():
            middle = statistics.median(times)
            print(f"{name:<34}{middle:9.1f} ms {middle / floor:8.2f} x the walk")


async def rounds(session: Session, folder: Path, git_dir: Path, count: int) -> Rounds:
    """All measurements, interleaved."""
    found = Rounds()
    started = time.perf_counter()
    first = await session.checkpoints.take("first")
    found.note("first checkpoint (reads all)", started)
    await anyio.sleep(0.3)  # stamps of files that are this young are not trusted yet
    await session.checkpoints.take("settle")
    by_git(folder, git_dir)
    target = folder / "package3/module70/file1400.py"
    for number in range(count):
        target.write_text(f"changed {number}\n")
        found.measure("walk with lstat", lambda: walk(folder))
        started = time.perf_counter()
        await session.checkpoints.take("one changed")
        found.note("checkpoint, one file changed", started)
        found.measure("git add + write-tree", lambda: by_git(folder, git_dir))
    started = time.perf_counter()
    await session.checkpoints.restore(first.id)
    found.note("restore of one file (3 looks)", started)
    return found


async def main(files: int, count: int) -> None:
    """Build, measure, tell."""
    scratch = Path(tempfile.mkdtemp(prefix="agentkit-bench-"))
    try:
        folder = scratch / "work"
        folder.mkdir()
        build(folder, files)
        git_dir = scratch / "git"
        store = SQLiteStore(scratch / "home")
        agent = Agent("bench", sandbox=Local(workspace=folder), store=store, api_key="none")
        async with agent.session() as session:
            found = await rounds(session, folder, git_dir, count)
        store.close()
        print(f"{files:,} files, {count} rounds")
        found.tell()
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    anyio.run(main, given.files, given.rounds)
