"""The tools as the loop calls them: order within a turn, checks, and a resume without amnesia."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentkit import Agent
from agentkit.events import ToolFinished
from agentkit.log import read
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable
from agentkit.tools import preset


def _agent(server: FakeDeepSeek, store: MemoryStore, workspace: Path) -> Agent:
    kind = preset("coder")
    return Agent(
        "coder",
        kind.instructions,
        kind.tools(),
        Local(workspace=workspace),
        briefing=kind.briefing,
        base_url=server.base_url,
        api_key="k",
        store=store,
    )


def _turn(*calls: tuple[str, dict[str, Any]]) -> Reply:
    return Reply(reasoning="so", calls=[Call(name, arguments) for name, arguments in calls])


def _edit(command: str, path: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    return "str_replace_editor", {"command": command, "path": path, **arguments}


def _results(store: MemoryStore, session_id: str) -> list[ToolFinished]:
    return [each for each in read(store, session_id) if isinstance(each, ToolFinished)]


async def test_calls_of_one_turn_see_each_other_in_order(workspace: Path) -> None:
    path = str(workspace / "a.txt")
    script = [
        _turn(
            _edit("create", path, file_text="one two three\n"),
            _edit("str_replace", path, old_str="one", new_str="1"),
            _edit("str_replace", "a.txt", old_str="1 two", new_str="1 2"),
            _edit("str_replace", path, old_str="2 three", new_str="2 3"),
            ("bash", {"command": "cat a.txt"}),
            ("search", {"pattern": "1 2 3"}),
            ("plan", {"steps": [{"step": "count", "status": "done"}]}),
        ),
        _turn(("finish", {"summary": "Counted; a check agrees."})),
    ]
    store = MemoryStore()
    with FakeDeepSeek(script) as server:
        agent = _agent(server, store, workspace)
        result = await agent.run("Count.", checks=["grep -qx '1 2 3' a.txt"])
    assert (result.status, result.output) == ("finished", "Counted; a check agrees.")
    done = _results(store, result.session_id)
    assert all(each.status == "done" for each in done)
    assert done[4].content == "1 2 3"
    assert done[5].content.startswith("a.txt\n1: 1 2 3")
    assert server.violations == []
    assert_prefix_stable(server)


async def test_finish_is_held_back_by_a_failing_check(workspace: Path) -> None:
    script = [
        _turn(("finish", {"summary": "Done, I think."})),
        _turn(_edit("create", str(workspace / "made"), file_text="")),
        _turn(("finish", {"summary": "Now it is there."})),
    ]
    store = MemoryStore()
    with FakeDeepSeek(script) as server:
        result = await _agent(server, store, workspace).run("Make it.", checks=["test -f made"])
    assert result.output == "Now it is there."
    assert [each.status for each in _results(store, result.session_id)] == [
        "failed",
        "done",
        "done",
    ]


async def test_a_resumed_session_remembers_what_was_seen(workspace: Path) -> None:
    (workspace / "seen").write_text("old\n")
    (workspace / "unseen").write_text("old\n")
    store = MemoryStore()
    first = [_turn(_edit("view", str(workspace / "seen"))), Reply(content="I saw it.")]
    with FakeDeepSeek(first) as server:
        earlier = await _agent(server, store, workspace).run("Look.")
    second = [
        _turn(
            _edit("create", str(workspace / "seen"), file_text="new\n"),
            _edit("create", str(workspace / "unseen"), file_text="new\n"),
        ),
        Reply(content="Done."),
    ]
    with FakeDeepSeek(second) as server:
        agent = _agent(server, store, workspace)
        async with agent.session(earlier.session_id, resume=True) as session:
            await session.run("Rewrite both.")
    done = _results(store, earlier.session_id)
    assert [each.status for each in done] == ["done", "done", "failed"]
    assert (workspace / "seen").read_text() == "new\n"
    assert (workspace / "unseen").read_text() == "old\n"


async def test_the_full_copy_of_long_output_is_in_the_session_too(workspace: Path) -> None:
    script = [
        _turn(("bash", {"command": "seq 1 100000"})),
        _turn(("bash", {"command": "yes 0123456789abcdef | head -c 20000000"})),
        _turn(("finish", {"summary": "Counted."})),
    ]
    store = MemoryStore()
    with FakeDeepSeek(script) as server:
        result = await _agent(server, store, workspace).run("Count.")
    counted, flood, done = _results(store, result.session_id)
    whole = store.get_content(counted.data["full_output"])
    assert whole.decode().split() == [str(number) for number in range(1, 100_001)]
    kept = store.get_content(flood.data["full_output"])
    assert len(kept) < (8 << 20) + 100, "half of 8 MB the start, half the end"
    assert b"bytes were not kept" in kept
    assert "full_output" not in done.data
