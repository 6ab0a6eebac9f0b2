"""A stopped session goes on in its sandbox, or in a new one that is as far as can be known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Limits
from agentkit.events import SandboxOpened, ToolFinished
from agentkit.log import read
from agentkit.sandboxes import Docker
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable
from agentkit.tools import coder

pytestmark = [pytest.mark.anyio, pytest.mark.docker]


def bash(command: str) -> Reply:
    return Reply(calls=[Call("bash", {"command": command})])


def remove(container: str) -> None:
    import docker

    client: Any = docker.from_env()  # pyright: ignore[reportUnknownMemberType]
    try:
        client.api.remove_container(container, v=True, force=True)
    finally:
        client.close()


async def test_the_sandbox_of_a_stopped_session_is_there_for_its_resume(tmp_path: Path) -> None:
    store = MemoryStore()
    (tmp_path / "a.py").write_text("x = 1\n")
    view = {"command": "view", "path": "/workspace/a.py"}
    edit = {"command": "str_replace", "path": "/workspace/a.py", "old_str": "1", "new_str": "2"}
    script = [
        Reply(calls=[Call("str_replace_editor", view)]),
        bash("(sleep 300 &) ; echo kept >/tmp/kept"),
        Reply(calls=[Call("str_replace_editor", edit)]),
        bash("cat /tmp/kept; pgrep sleep >/dev/null && echo the job lives"),
        "Done.",
    ]
    with FakeDeepSeek(script) as server:
        agent = Agent(
            "t", tools=coder(), sandbox=Docker(workspace=tmp_path), store=store, api_key="k",
            base_url=server.base_url, limits=Limits(turns=2), keep_sandbox=True,
        )  # fmt: skip
        async with agent.session("s") as session:
            assert (await session.run("go")).status == "limit"
        agent = Agent(
            "t", tools=coder(), sandbox=Docker(workspace=tmp_path), store=store, api_key="k",
            base_url=server.base_url,
        )  # fmt: skip
        async with agent.session("s", resume=True) as session:
            result = await session.run()
            assert (result.status, result.turns) == ("finished", 5)
    events = read(store, "s")
    opened = [x for x in events if isinstance(x, SandboxOpened)]
    assert [x.reopened for x in opened] == [False, True]
    results = [x for x in events if isinstance(x, ToolFinished)]
    assert results[2].status == "done", "the file was read before the stop"
    assert "kept" in results[3].content
    assert "the job lives" in results[3].content
    assert (tmp_path / "a.py").read_text() == "x = 2\n"
    assert_prefix_stable(server)


async def test_a_copy_that_is_gone_comes_back_from_the_last_checkpoint(tmp_path: Path) -> None:
    store = MemoryStore()
    script = [bash("echo made >new.txt"), bash("cat new.txt"), "Done."]
    sandbox = Docker(workspace=tmp_path, workspace_mode="copy")
    with FakeDeepSeek(script) as server:
        agent = Agent(
            "t", tools=coder(), sandbox=sandbox, store=store, api_key="k",
            base_url=server.base_url, limits=Limits(turns=1), keep_sandbox=True,
        )  # fmt: skip
        async with agent.session("s") as session:
            await session.run("go")
        first = next(x for x in read(store, "s") if isinstance(x, SandboxOpened))
        remove(first.ref["container"])
        agent = Agent(
            "t", tools=coder(), sandbox=sandbox, store=store, api_key="k", base_url=server.base_url
        )
        async with agent.session("s", resume=True) as session:
            assert (await session.run()).status == "finished"
        told = str(server.requests[-1].body)
    events = read(store, "s")
    results = [x for x in events if isinstance(x, ToolFinished)]
    assert "made" in results[-1].content
    assert "those of the last checkpoint (after the turn, turn 1)" in told
    assert not (tmp_path / "new.txt").exists()
