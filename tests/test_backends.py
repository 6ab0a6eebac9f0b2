"""The public surface under asyncio and trio: runs, checks, streams, a word and a stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from agentkit import Agent, Ladder
from agentkit.events import Event, Steered, ToolStarted
from agentkit.sandbox import SandboxProvider
from agentkit.sandboxes import Docker, Local
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.tools import minimal

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"]),
]
GROUNDS = [pytest.param(Docker, marks=pytest.mark.docker, id="docker"), "local"]


def bash(command: str) -> Reply:
    return Reply(calls=[Call("bash", {"command": command})])


def make(server: FakeDeepSeek, tmp_path: Path, kind: Any) -> Agent:
    workspace = tmp_path / "work"
    workspace.mkdir(exist_ok=True)
    sandbox: SandboxProvider = (
        Docker(workspace=workspace)
        if kind is Docker
        else Local(workspace=workspace, namespaces="off")
    )
    return Agent(
        "both",
        tools=minimal(),
        sandbox=sandbox,
        ladder=Ladder.preset("flash"),
        store=SQLiteStore(tmp_path / "store"),
        base_url=server.base_url,
        api_key="k",
    )


@pytest.mark.parametrize("kind", GROUNDS)
async def test_a_run_with_checks(anyio_backend: str, tmp_path: Path, kind: Any) -> None:
    with FakeDeepSeek([bash("echo hello > made"), "Made."]) as server:
        agent = make(server, tmp_path, kind)
        result = await agent.run("Make it", checks=["grep -q hello made"])
    assert result.ok, result.output
    assert (tmp_path / "work" / "made").read_text() == "hello\n"
    assert server.violations == []


@pytest.mark.parametrize("kind", GROUNDS)
async def test_steered_cancelled_and_gone_on_with(
    anyio_backend: str, tmp_path: Path, kind: Any
) -> None:
    """A word and a stop from another task, in the middle of a command."""
    sleeps = bash("echo begun > begun; sleep 600")
    with FakeDeepSeek([bash("true"), sleeps, "Done."]) as server:
        agent = make(server, tmp_path, kind)
        async with agent.session("s") as session, anyio.create_task_group() as tasks:

            async def stop() -> None:
                while not (tmp_path / "work" / "begun").exists():  # noqa: ASYNC110 - by a command
                    await anyio.sleep(0.02)
                session.cancel()

            tasks.start_soon(stop)
            seen: list[Event] = []
            async for event in session.stream("Work"):
                seen.append(event)
                if isinstance(event, ToolStarted) and len(server.requests) == 1:
                    await session.steer("Be quick.")
            assert any(isinstance(each, Steered) for each in seen)
            assert session.result.status == "cancelled"
        async with agent.session("s", resume=True) as again:
            result = await again.run("Go on")
    assert (result.status, result.output) == ("finished", "Done.")
    assert server.violations == []


async def test_a_stream_that_is_read_slowly_loses_nothing(
    anyio_backend: str, tmp_path: Path
) -> None:
    with FakeDeepSeek([*[bash(f"echo {number}") for number in range(5)], "Done."]) as server:
        async with make(server, tmp_path, "local").session() as session:
            seen: list[int] = []
            async for event in session.stream("Work"):
                await anyio.sleep(0.005)
                if event.seq is not None:
                    seen.append(event.seq)
    assert seen == list(range(seen[0], seen[0] + len(seen)))
