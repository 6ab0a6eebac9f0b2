"""Agents with MCP servers, against the fake provider."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Session
from agentkit.events import Event, Fact, ToolFinished
from agentkit.log import read
from agentkit.mcp import MCPServer
from agentkit.models.retry import RetryPolicy
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply

HERE = Path(__file__).parent
PROGRAMS = Path(sys.executable).parent
"""Where pip puts the commands of packages, among them the official servers'."""


def hostile(*modes: str, name: str = "bad", **more: Any) -> MCPServer:
    """A server that breaks the rules."""
    arguments = [str(HERE / "hostile.py"), *modes]
    return MCPServer(name, command=sys.executable, args=arguments, **more)


@dataclass
class Bench:
    """An agent at the fake provider, and what came of its calls."""

    server: FakeDeepSeek
    replies: list[Reply]
    store: MemoryStore

    def agent(self, *servers: MCPServer, **settings: Any) -> Agent:
        settings.setdefault("store", self.store)
        return Agent(
            "tester",
            mcp=servers,
            base_url=self.server.base_url,
            api_key="sk-not-for-servers",
            retry=RetryPolicy(base=0.01, cap=0.02),
            **settings,
        )

    async def call(self, session: Session, name: str, /, **arguments: Any) -> ToolFinished:
        """Have the model make one call, and give its result."""
        self.replies += [
            Reply(reasoning="hm", calls=[Call(name, arguments)]),
            Reply(reasoning="hm", content="Done."),
        ]
        await session.run(f"Call {name}.")
        return self.results(session.id)[-1]

    def events(self, session_id: str) -> list[Event]:
        return read(self.store, session_id)

    def results(self, session_id: str) -> list[ToolFinished]:
        return [each for each in self.events(session_id) if isinstance(each, ToolFinished)]

    def kept(self, session_id: str) -> dict[str, Any]:
        """What the log keeps of the servers' tools."""
        facts = [each for each in self.events(session_id) if isinstance(each, Fact)]
        return next(each.data for each in facts if each.kind == "mcp")


@pytest.fixture
def bench() -> Generator[Bench]:
    replies: list[Reply] = []
    with FakeDeepSeek(lambda _request: replies.pop(0)) as server:
        yield Bench(server, replies, MemoryStore())


@dataclass
class Remote:
    """A streamable HTTP server in a process of its own."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


StartRemote = Callable[..., Any]


@pytest.fixture
def remote() -> StartRemote:
    """``with remote() as server``; ``remote(port)`` takes a port again."""

    @contextmanager
    def start(port: int = 0, *options: str) -> Generator[Remote]:
        command = [sys.executable, str(HERE / "remote.py"), str(port), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield Remote(process, int(process.stdout.readline()))
            finally:
                process.kill()

    return start
