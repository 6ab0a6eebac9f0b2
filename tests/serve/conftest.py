"""Real servers on loopback, with SQLite and PostgreSQL behind them, and a scripted model."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentkit.testing import FakeDeepSeek
from agentkit.testing.script import ScriptLike

PROGRAM = Path(__file__).parent / "program.py"
TOKEN = "token-of-the-tests-0123456789"


def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition; fail where it does not come."""
    give_up = time.monotonic() + seconds
    while not what():
        if time.monotonic() > give_up:
            pytest.fail(f"did not happen within {seconds} s: {what}")
        time.sleep(0.02)


@dataclass
class Server:
    """A service in a process of its own, which may be ended and started again."""

    where: str
    schema: str
    gate: Path
    env: dict[str, str]
    tokens: Any = TOKEN
    process: subprocess.Popen[str] | None = None
    log: Path = Path()
    """What the processes said on standard error."""
    address: str = ""
    clients: list[httpx2.Client] = field(default_factory=list[httpx2.Client])

    def start(self) -> Server:
        self.log = self.gate / f"log-{id(self)}"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, self.where, self.schema, self.gate],
                env={**os.environ, **self.env, "TOKENS": json.dumps(self.tokens)},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address, "the server did not start"
        until(self._answers)
        return self

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.address}/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self._gone()

    def terminate(self) -> int:
        """The polite way; gives the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self._gone()

    def _gone(self) -> int:
        assert self.process is not None
        code = self.process.wait(40)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def client(self, token: str = TOKEN) -> httpx2.Client:
        client = httpx2.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        self.clients.append(client)
        return client

    def open(self, gate: str) -> None:
        (self.gate / gate).touch()

    def waits(self, gate: str) -> None:
        until((self.gate / f"{gate}.waits").exists)

    def close(self) -> None:
        for each in self.clients:
            each.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.log.is_file():
            sys.stderr.write(self.log.read_text())  # shown where the test failed


def told(server: Server, event: str, **fields: object) -> list[dict[str, Any]]:
    """The lines of the service's log about that event, with these fields."""
    whole, _, _ = server.log.read_text().rpartition("\n")
    lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
    return [each for each in lines if each["event"] == event and fields.items() <= each.items()]


@dataclass(frozen=True)
class Event:
    """One frame of a stream."""

    id: int | None
    type: str
    data: Any


def frames(lines: Iterator[str]) -> Iterator[Event]:
    """Parse Server-Sent Events as a browser does: an unfinished one counts for nothing."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                number = fields.get("id")
                yield Event(
                    int(number) if number else None, fields["event"], json.loads(fields["data"])
                )
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")


def follow(client: httpx2.Client, session: str, after: int = 0, query: str = "") -> list[Event]:
    """All events up to the end of the run."""
    path = f"/sessions/{session}/events?until=finished{query}"
    with client.stream("GET", path, headers={"Last-Event-ID": str(after)}) as answer:
        assert answer.status_code == 200, answer.read()
        return list(frames(answer.iter_lines()))


@pytest.fixture
def postgres_schema(request: pytest.FixtureRequest) -> Generator[tuple[str, str]]:
    import psycopg

    url: str = request.getfixturevalue("postgres_url")
    schema = f"serve_{secrets.token_hex(6)}"
    yield url, schema
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where sessions live: a store and its schema."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_schema")
    return str(tmp_path / "store"), ""


MakeServer = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Generator[MakeServer]:
    """Starts servers; the model answers from a script."""
    made: list[Server | FakeDeepSeek] = []
    gate = tmp_path / "gate"
    gate.mkdir()

    def make(
        script: ScriptLike | FakeDeepSeek,
        place: tuple[str, str] | None = None,
        tokens: Any = TOKEN,
        **env: str,
    ) -> Server:
        model = script if isinstance(script, FakeDeepSeek) else FakeDeepSeek(script).start()
        where, schema = place or (str(tmp_path / "store"), "")
        env |= {"AGENTKIT_BASE_URL": model.base_url, "DEEPSEEK_API_KEY": "fake"}
        server = Server(where, schema, gate, env, tokens).start()
        made.extend([model, server])
        return server

    yield make
    for each in reversed(made):
        each.close()
