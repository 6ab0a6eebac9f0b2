"""Undo and fork: files and history go to the same moment, and the prefix stays warm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Session, UsageError
from agentkit.branches import undo_point, workspace_at
from agentkit.checkpoints.contents import StoredContents
from agentkit.checkpoints.difference import by_turn
from agentkit.checkpoints.folder import Bounds
from agentkit.errors import SessionError, WorkspaceError
from agentkit.events import Checkpoint, Event, SessionForked, ToolFinished
from agentkit.log import read
from agentkit.sandboxes import Docker
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.tools import coder

from .conftest import DOCKER, agent, provider

pytestmark = pytest.mark.anyio


def bash(command: str) -> Reply:
    return Reply(reasoning="hm", calls=[Call("bash", {"command": command})])


def says(text: str) -> Reply:
    return Reply(content=text, reasoning="done")


def texts(server: FakeDeepSeek, index: int = -1) -> str:
    messages: list[dict[str, Any]] = server.requests[index].body["messages"]
    return "\n".join(str(each.get("content")) for each in messages)


def log(session: Session) -> list[Event]:
    return read(session.store, session.id)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


TWO_TASKS = [
    bash("echo 1 >a.txt"), bash("echo 1 >b.txt; ln -s a.txt l"), says("first done"),
    bash("echo 2 >a.txt; rm b.txt; mkdir new; echo x >new/c"), says("second done"),
    says("third done"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["local", DOCKER])
async def test_undo_takes_back_files_and_history(kind: str, workspace: Path) -> None:
    store = MemoryStore()
    with FakeDeepSeek(TWO_TASKS) as server:
        async with agent(provider(kind, workspace), server.base_url, store=store).session() as s:
            await s.run("first task")
            await s.run("second task")
            (workspace / "mine.txt").write_text("the user's own, after the run")
            spent, old = s.state.cost_usd, s.id
            undone = await s.undo()
            assert (undone.parent, s.id, undone.turn) == (old, undone.session_id, 3)
            assert names(workspace) == ["a.txt", "b.txt", "l"]
            assert (workspace / "a.txt").read_text() == "1\n"
            assert s.state.cost_usd == spent
            result = await s.run("third task")
            assert result.output == "third done"
    assert "second task" not in texts(server)
    assert "The user took back what came after this point" in texts(server)
    sent = [request.body["messages"] for request in server.requests]
    assert sent[5][: len(sent[2])] == sent[2], "it extends what was sent before the undone task"
    assert server.requests[5].usage.hit_ratio > 0.8
    # The session before is as it was, and says what was done to its workspace.
    kinds = [event.type for event in read(store, old)]
    assert kinds[-2:] == ["checkpoint", "checkpoint.restored"]
    forked = [e for e in read(store, undone.session_id) if isinstance(e, SessionForked)]
    assert [(e.parent, e.reason) for e in forked] == [(old, "undo")]


async def test_undo_again_and_again_down_to_the_start(workspace: Path) -> None:
    (workspace / "a.txt").write_text("0\n")
    with FakeDeepSeek(TWO_TASKS) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            await s.run("first task")
            await s.run("second task")
            await s.undo()
            await s.undo()
            assert names(workspace) == ["a.txt"]
            assert (workspace / "a.txt").read_text() == "0\n"
            with pytest.raises(SessionError, match="nothing to undo"):
                await s.undo()
            result = await s.run("third task")
            assert result.output == "third done"


async def test_undo_to_a_turn_in_the_middle(workspace: Path) -> None:
    with FakeDeepSeek([*TWO_TASKS[:4], says("on from there")]) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            await s.run("first task")
            await s.undo(to_turn=1)
            assert names(workspace) == ["a.txt"]
            with pytest.raises(SessionError, match="no turn 7"):
                await s.undo(to_turn=7)
            assert s.state.lane().turns != []


async def test_what_the_session_did_not_change_is_left_alone(workspace: Path) -> None:
    with FakeDeepSeek([bash("echo 1 >a.txt"), says("one"), says("two")]) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            await s.run("write")
            await s.run("only talk")
            (workspace / "a.txt").write_text("the user's edit\n")
            undone = await s.undo()
            assert undone.restored is None
            assert (workspace / "a.txt").read_text() == "the user's edit\n"


@pytest.mark.parametrize("end", ["true", "false"], ids=["passes", "fails at first"])
async def test_what_a_check_changed_is_taken_back(end: str, workspace: Path) -> None:
    (workspace / "a.txt").write_text("as it was\n")
    check = f"grep formatted a.txt || {{ echo formatted >a.txt; {end}; }}"
    with FakeDeepSeek([says("one"), says("two"), says("three")]) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            await s.run("talk")
            await s.run("only talk", checks=[check])
            assert (workspace / "a.txt").read_text() == "formatted\n"
            undone = await s.undo()
            assert undone.restored is not None
            assert undone.restored.paths == ("a.txt",)
            assert (workspace / "a.txt").read_text() == "as it was\n"


async def test_a_fork_has_files_and_history_of_its_turn(workspace: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    (workspace / ".git").mkdir()
    (workspace / ".git/HEAD").write_text("ref")
    with FakeDeepSeek([*TWO_TASKS[:5], says("forked on")]) as server:
        maker = agent(provider("local", workspace), server.base_url, store=store)
        async with maker.session() as s:
            await s.run("first task")
            await s.run("second task")
            branch = await s.fork(turn=1, workspace=tmp_path / "fork")
            assert (workspace / "a.txt").read_text() == "2\n"
        place = tmp_path / "fork"
        assert branch.workspace == place
        assert names(place) == [".git", "a.txt"]
        assert (place / "a.txt").read_text() == "1\n"
        forker = agent(provider("local", place), server.base_url, store=store)
        async with forker.session(branch.session_id, resume=True) as f:
            assert f.state.session is not None
            assert f.state.session.workspace == str(place)
            # Its checkpoints work without the parent.
            store.delete(branch.parent)
            (place / "a.txt").write_text("changed")
            first = next(iter(f.state.checkpoints))
            await f.checkpoints.restore(first)
            assert not (place / "a.txt").exists()
            await f.run("something else")
    assert server.requests[-1].usage.miss_tokens < 200


@pytest.mark.docker
async def test_a_fork_of_a_copied_workspace_comes_back_in_its_own_sandbox(workspace: Path) -> None:
    store = MemoryStore()
    (workspace / "a.txt").write_text("0\n")
    sandbox = Docker(workspace=workspace, workspace_mode="copy")
    script = [bash("echo 1 >a.txt"), bash("echo 2 >a.txt"), says("done"), bash("cat a.txt")]
    with FakeDeepSeek([*script, says("read")]) as server:
        maker = Agent(
            "t", tools=coder(), sandbox=sandbox, base_url=server.base_url, api_key="k", store=store
        )
        async with maker.session() as s:
            await s.run("write")
            branch = await s.fork(turn=1)
            assert branch.workspace is None
            async with maker.session(branch.session_id, resume=True) as f:
                await f.run("what is in it?")
                answers = [e.content for e in log(f) if isinstance(e, ToolFinished)]
            assert "1" in answers[-1]
    assert "those of the last checkpoint (after the turn, turn 1)" in texts(server)


async def test_bad_input(workspace: Path, tmp_path: Path) -> None:
    with FakeDeepSeek([bash("echo 1 >a.txt"), says("done")]) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            with pytest.raises(SessionError, match="nothing to undo"):
                await s.undo()
            with pytest.raises(SessionError, match="no answer yet"):
                await s.fork()
            await s.run("write")
            with pytest.raises(SessionError, match="no turn 9"):
                await s.fork(turn=9)
            with pytest.raises(WorkspaceError, match="not empty"):
                await s.fork(workspace=workspace)
            with pytest.raises(WorkspaceError, match="lies inside"):
                await s.fork(workspace=workspace / "below")


async def test_not_while_it_works(workspace: Path) -> None:
    with FakeDeepSeek([bash("sleep 60")]) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            async for event in s.stream("wait"):
                if event.type == "tool.started":
                    with pytest.raises(UsageError, match="at work"):
                        await s.undo()
                    break


async def test_without_checkpoints_files_cannot_be_taken_back(workspace: Path) -> None:
    with FakeDeepSeek([bash("echo 1 >a.txt"), says("done")]) as server:
        maker = agent(provider("local", workspace), server.base_url, checkpoints=Bounds(files=0))
        async with maker.session() as s:
            await s.run("write")
            with pytest.raises(SessionError, match="none was taken"):
                await s.undo()
            await s.undo(files=False)
            assert (workspace / "a.txt").read_text() == "1\n"
            assert s.state.answers == 0


async def test_checkpoints_are_taken_at_the_right_moments(workspace: Path) -> None:
    script = [
        Reply(calls=[Call("search", {"pattern": "x"})]), bash("echo 1 >a"), bash("echo 2 >a"),
        says("done"), Reply(calls=[Call("search", {"pattern": "x"})]), says("read"),
    ]  # fmt: skip
    with FakeDeepSeek(script) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            await s.run("write")
            await s.run("only look")
            events = log(s)
    taken = [(e.reason, e.turn) for e in events if isinstance(e, Checkpoint)]
    assert taken == [
        ("before the first change", 2), ("after the turn", 2), ("after the turn", 3),
    ]  # fmt: skip
    assert workspace_at(events, undo_point(events).seq) == ""


async def test_a_turn_changed_what_its_calls_and_its_checks_changed(workspace: Path) -> None:
    """Not what others changed between two runs."""
    form = "grep -q formatted a.txt || echo formatted >>a.txt"
    step = {"step": "one", "status": "done", "check": "echo seen >b.txt"}
    both = [Call("bash", {"command": "echo 1 >a.txt"}), Call("plan", {"steps": [step]})]
    with FakeDeepSeek([Reply(calls=both), says("made"), says("again")]) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            await s.run("make", checks=[form])
            (workspace / "mine").write_text("of the user")
            await s.run("look", checks=[form, "echo twice >d.txt"])
            found = by_turn(StoredContents(s.store, s.id), log(s))
    stats = {turn: each.stat.splitlines() for turn, each in found.items()}
    assert stats == {
        1: ["       +1 -0  a.txt", "       +1 -0  b.txt", "2 files changed, +2 -0"],
        2: ["       +1 -0  a.txt", "1 file changed, +1 -0"],
        3: ["       +1 -0  d.txt", "1 file changed, +1 -0"],
    }


async def test_an_edit_after_a_restore_is_of_a_stale_file(workspace: Path) -> None:
    (workspace / "a.py").write_text("x = 1\n")
    view: dict[str, Any] = {"command": "view", "path": "a.py"}
    edit = {"command": "str_replace", "path": "a.py", "old_str": "x = 2", "new_str": "x = 3"}
    script = [
        bash("echo 'x = 2' >a.py"), Reply(calls=[Call("str_replace_editor", view)]), says("seen"),
        Reply(calls=[Call("str_replace_editor", edit)]), says("done"),
    ]  # fmt: skip
    with FakeDeepSeek(script) as server:
        async with agent(provider("local", workspace), server.base_url).session() as s:
            await s.run("look")
            await s.checkpoints.restore("c1")
            await s.run("edit")
            result: Any = [e for e in log(s) if e.type == "tool.finished"][-1]
    assert result.status == "failed"
    assert (workspace / "a.py").read_text() == "x = 1\n"
    assert "was put back to an earlier state: 1 paths: a.py" in texts(server)
