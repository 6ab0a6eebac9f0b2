"""Runs sessions in processes that can be killed.

A process of its own that has imported everything, and forks for each job: a line of JSON on its
input (see ``Job``), a line with the exit status on its output.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
from psycopg import Connection

from agentkit import Agent, Ladder
from agentkit.errors import AgentkitError
from agentkit.events import ModelDelta
from agentkit.models.retry import RetryPolicy
from agentkit.sandboxes import Docker, Local
from agentkit.stores import Batches, Row
from agentkit.stores.postgres import PostgresStore
from agentkit.stores.sqlite import SQLiteStore
from agentkit.tools import edit, shell


@dataclass(frozen=True)
class Job:
    """One process's work on a session."""

    home: str
    workspace: str
    url: str
    session: str = "s"
    task: str = "Work."
    resume: bool = False
    sandbox: str = "local"
    tools: str = "shell"
    store: str = ""
    """A PostgreSQL URL; "" is SQLite in ``home``."""
    kill_at: str = ""
    """``before:N``, ``inside:N`` or ``after:N`` the N-th commit; ``delta:N``."""
    kill_after: float | None = None
    """Seconds until the parent kills it."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class MortalPostgres(PostgresStore):
    """Likewise, on a server that lives on."""

    def __init__(self, url: str, kill_at: str) -> None:
        super().__init__(url)
        where, _, number = kill_at.partition(":")
        self._where, self._number = where, int(number or 0)
        self.commits = 0

    def append(self, session_id: str, rows: Sequence[Row]) -> None:
        self.commits += 1
        if self._where == "before" and self.commits == self._number:
            die()
        super().append(session_id, rows)
        if self._where == "after" and self.commits == self._number:
            die()

    def _append(self, db: Connection[Any], session_id: str, rows: Sequence[Row]) -> None:
        super()._append(db, session_id, rows)
        if self._where == "inside" and self.commits == self._number:
            die()


class MortalStore(SQLiteStore):
    """The real store in a process that dies at a chosen commit."""

    def __init__(self, directory: str, kill_at: str) -> None:
        super().__init__(directory)
        where, _, number = kill_at.partition(":")
        self._where, self._number = where, int(number or 0)
        self.commits = 0

    def append_all(self, batches: Batches) -> list[AgentkitError | None]:
        self.commits += 1
        if self._where == "before" and self.commits == self._number:
            die()
        errors = super().append_all(batches)
        if self._where == "after" and self.commits == self._number:
            die()
        return errors

    def _append(self, db: sqlite3.Connection, session_id: str, rows: Sequence[Row]) -> None:
        super()._append(db, session_id, rows)
        if self._where == "inside" and self.commits == self._number:
            die()


async def work(job: Job) -> int:
    """The session, with every event that was shown noted in a file at once."""
    mortal = MortalPostgres if job.store else MortalStore
    store = mortal(job.store or job.home, job.kill_at)
    sandbox: Any = (Docker if job.sandbox == "docker" else Local)(workspace=job.workspace)
    agent = Agent(
        "mortal",
        tools=shell() if job.tools == "shell" else edit(),
        sandbox=sandbox,
        store=store,
        ladder=Ladder.single("deepseek-v4-flash"),
        base_url=job.url,
        api_key="k",
        retry=RetryPolicy(base=0.01, cap=0.02),
    )
    deltas = 0
    with (Path(job.home) / "shown").open("a") as shown:
        async with agent.session(job.session, resume=job.resume) as session:
            (Path(job.home) / "pid").write_text(str(os.getpid()))
            async for event in session.stream(
                "" if job.resume and session.state.lanes else job.task
            ):
                if event.seq is not None:
                    shown.write(f"{event.seq} {event.type}\n")
                    shown.flush()
                deltas += isinstance(event, ModelDelta)
                if job.kill_at == f"delta:{deltas}":
                    die()
            code = session.result.exit_code
    (Path(job.home) / "commits").write_text(str(store.commits))
    return code


def _child(job: Job) -> int:
    try:
        return anyio.run(work, job)
    except AgentkitError as error:
        (Path(job.home) / "error").write_text(f"{type(error).__name__}: {error}")
        return 100 + error.exit_code


def _status(pid: int, job: Job) -> int:
    give_up = time.monotonic() + (60.0 if job.kill_after is None else job.kill_after)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > give_up:
            os.kill(pid, signal.SIGKILL)
            give_up += 60
        time.sleep(0.002)


def main() -> None:
    import_module("openai")  # the forked processes have it at once
    for line in sys.stdin:
        job = Job(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = _child(job)
            finally:
                os._exit(code)
        print(_status(pid, job), flush=True)


def as_line(job: Job) -> str:
    return json.dumps(asdict(job)) + "\n"


if __name__ == "__main__":
    main()
