"""Required checks in a real sandbox: we run them, and they decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Ladder, Result, Rung, SandboxError, ToolContext, tool
from agentkit.escalation import Policy
from agentkit.events import CheckFailed, CheckPassed, ToolFinished
from agentkit.log import read
from agentkit.sandboxes import Docker, Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable
from agentkit.tools import coder

pytestmark = pytest.mark.anyio

FINISH = Reply(calls=[Call("finish", {"summary": "It is done."})])


def bash(command: str) -> Reply:
    return Reply(reasoning="so", calls=[Call("bash", {"command": command})])


def agent_in(workspace: Path, server: FakeDeepSeek, provider: Any = Local, **more: Any) -> Agent:
    return Agent(
        "checker",
        tools=coder(),
        sandbox=provider(workspace=str(workspace)),
        base_url=server.base_url,
        api_key="k",
        store=MemoryStore(),
        **more,
    )


def logged(agent: Agent, result: Result) -> list[Any]:
    assert agent.store is not None
    return list(read(agent.store, result.session_id))


PROVIDERS = [
    pytest.param(Local, id="local"),
    pytest.param(Docker, id="docker", marks=pytest.mark.docker),
]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_finish_is_refused_until_the_check_passes(provider: Any, tmp_path: Path) -> None:
    script = [FINISH, bash("echo 42 > answer.txt"), FINISH]
    with FakeDeepSeek(script) as server:
        agent = agent_in(tmp_path, server, provider)
        result = await agent.run("Write the answer.", checks=["grep -q 42 answer.txt"])
    assert (result.status, result.output) == ("finished", "It is done.")
    assert (tmp_path / "answer.txt").read_text() == "42\n"
    events = logged(agent, result)
    refused = next(event for event in events if isinstance(event, ToolFinished))
    assert refused.status == "failed"
    assert "grep -q 42 answer.txt" in refused.content
    checks = [event for event in events if isinstance(event, CheckFailed | CheckPassed)]
    assert [type(event) for event in checks] == [CheckFailed, CheckPassed]
    assert [report.passed for report in result.checks] == [True]
    assert_prefix_stable(server)


async def test_a_plain_answer_is_held_to_the_same_checks(tmp_path: Path) -> None:
    script = [Reply(content="All done!"), bash("touch ok"), Reply(content="Now it is.")]
    with FakeDeepSeek(script) as server:
        result = await agent_in(tmp_path, server).run("Touch ok.", checks=["test -e ok"])
    assert (result.status, result.output) == ("finished", "Now it is.")


async def test_the_model_s_word_is_never_enough(tmp_path: Path) -> None:
    with FakeDeepSeek(lambda _request: FINISH) as server:
        alone = Ladder("alone", (Rung("deepseek-flash"),), Policy(forms=frozenset()))
        agent = agent_in(tmp_path, server, ladder=alone)
        result = await agent.run("Touch ok.", checks=["test -e ok", "true"])
    assert (result.status, result.exit_code) == ("failed", 1)
    assert "test -e ok" in result.output
    assert [report.passed for report in result.checks] == [False, True]
    assert len(server.requests) == 3


async def test_an_honest_no_is_a_failure_without_checks(tmp_path: Path) -> None:
    gives_up = Reply(calls=[Call("finish", {"summary": "Cannot be done.", "achieved": False})])
    with FakeDeepSeek([gives_up]) as server:
        result = await agent_in(tmp_path, server).run("Square the circle.", checks=["false"])
    assert (result.status, result.exit_code, result.output) == ("failed", 1, "Cannot be done.")
    assert result.checks[0].exit_code is None, "it never ran"


async def test_a_check_that_cannot_run_is_told_apart(tmp_path: Path) -> None:
    with FakeDeepSeek(lambda _request: FINISH) as server:
        agent = agent_in(tmp_path, server)
        result = await agent.run("Go.", checks=["no-such-command-here"])
    assert result.status == "failed"
    failed = next(event for event in logged(agent, result) if isinstance(event, CheckFailed))
    assert (failed.ran, failed.exit_code) == (False, 127)
    assert result.checks[0].exit_code is None


async def test_a_check_that_passed_is_run_again_after_a_change(tmp_path: Path) -> None:
    both = Reply(calls=[*FINISH.calls, Call("bash", {"command": "rm ok"})])
    script = [bash("touch ok"), both, bash("touch ok"), FINISH]
    with FakeDeepSeek(script) as server:
        agent = agent_in(tmp_path, server)
        result = await agent.run("Go.", checks=["test -e ok"])
    assert result.status == "finished"
    assert (tmp_path / "ok").exists()
    passed = [event for event in logged(agent, result) if isinstance(event, CheckPassed)]
    assert len(passed) == 2


async def test_a_passed_check_is_not_run_twice_without_a_change(tmp_path: Path) -> None:
    check = "echo run >> ../count"
    answer = Reply(content="Done.")
    with FakeDeepSeek([answer, answer]) as server:
        agent = agent_in(tmp_path / "w", server)
        (tmp_path / "w").mkdir()
        assert (await agent.run("Go.", checks=[check])).ok
    assert (tmp_path / "count").read_text().count("run") == 1


async def test_long_output_of_a_check_is_clipped_and_counted(tmp_path: Path) -> None:
    with FakeDeepSeek(lambda _request: FINISH) as server:
        agent = agent_in(tmp_path, server)
        result = await agent.run("Go.", checks=["yes long | head -c 3000000; exit 3"])
    failed = next(event for event in logged(agent, result) if isinstance(event, CheckFailed))
    assert len(failed.output) < 7_000
    assert "characters left out" in failed.output
    assert failed.exit_code == 3


@pytest.mark.docker
async def test_a_sandbox_that_cannot_start_raises_and_leaves_a_resumable_session(
    tmp_path: Path,
) -> None:
    with FakeDeepSeek([bash("true")]) as server:
        agent = agent_in(tmp_path, server)
        broken = Docker(workspace=str(tmp_path), image="no-such-image:at-all")
        broken_agent = Agent(
            "broken", tools=coder(), sandbox=broken, base_url=server.base_url, store=agent.store
        )
        async with broken_agent.session("mine") as session:
            with pytest.raises(SandboxError, match="no-such-image"):
                await session.run("Go.")
            assert session.result.exit_code == 5


async def test_the_task_survives_a_sandbox_that_did_not_open(tmp_path: Path) -> None:
    async def briefing(sandbox: Any) -> str:
        return f"[You are in {sandbox.workdir}]"

    missing = tmp_path / "missing"
    with FakeDeepSeek([Reply(content="Done.")]) as server:
        agent = agent_in(missing, server, briefing=briefing)
        async with agent.session("mine") as session:
            with pytest.raises(SandboxError, match="does not exist"):
                await session.run("Mend the roof.")
        missing.mkdir()
        async with agent.session("mine", resume=True) as session:
            assert (await session.run()).ok
        texts = [each["content"] for each in server.requests[0].body["messages"][1:]]
    assert texts[0] == "Mend the roof."
    assert "Continue with the task" in texts[1]
    assert texts[2] == f"[You are in {missing}]"


async def test_tools_of_one_turn_and_their_files(tmp_path: Path) -> None:
    """Several edits of one file in one turn all land, in the model's order."""
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")

    def edit(old: str, new: str) -> Call:
        arguments = {"command": "str_replace", "path": "a.txt", "old_str": old, "new_str": new}
        return Call("str_replace_editor", arguments)

    edits = Reply(calls=[edit("one", "1"), edit("two", "2"), edit("1\n2", "1 and 2")])
    with FakeDeepSeek([edits, FINISH]) as server:
        agent = agent_in(tmp_path, server)
        result = await agent.run("Edit.")
    statuses = [e.status for e in logged(agent, result) if isinstance(e, ToolFinished)]
    assert statuses == ["done", "done", "done", "done"]
    assert (tmp_path / "a.txt").read_text() == "1 and 2\nthree\n"


async def test_a_tool_may_use_the_sandbox(tmp_path: Path) -> None:
    @tool(read_only=True)
    async def size(context: ToolContext, path: str) -> int:
        """Give the size of a file."""
        sandbox = await context.sandbox()
        return len(await sandbox.read_file(f"{sandbox.workdir}/{path}"))

    (tmp_path / "f").write_bytes(b"12345")
    with FakeDeepSeek([Reply(calls=[Call("size", {"path": "f"})]), Reply(content="5")]) as server:
        agent = Agent(
            "sizer",
            tools=[size],
            sandbox=Local(workspace=str(tmp_path)),
            base_url=server.base_url,
            store=MemoryStore(),
        )
        result = await agent.run("How long is f?")
    done = [e.content for e in logged(agent, result) if isinstance(e, ToolFinished)]
    assert done == ["5"]
