"""The whole way of a session in an editor, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from acp import RequestError, image_block, resource_link_block, text_block
from acp.schema import EnvVariable, McpServerStdio, SseMcpServer

from agentkit.testing import Call, FakeDeepSeek, Reply

from .conftest import editor, until

FIX = {
    "command": "str_replace",
    "path": "calc.py",
    "old_str": "a - b",
    "new_str": "a + b",
}
PLAN = {"steps": [{"step": "Look", "status": "done"}, {"step": "Mend", "status": "in_progress"}]}
SANDBOXES = ["local", pytest.param("docker", marks=pytest.mark.docker)]


def bash(command: str, **more: Any) -> Reply:
    return Reply(calls=[Call("bash", {"command": command})], **more)


def mend() -> list[Reply]:
    return [
        bash("cat calc.py; python3 -c 'import calc; print(calc.add(2, 3))'", reasoning="Look."),
        Reply(calls=[Call("plan", PLAN)]),
        Reply("Now I mend it.", calls=[Call("str_replace_editor", FIX)]),
        Reply(calls=[Call("finish", {"summary": "It adds now."})]),
    ]


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_a_bug_is_mended_and_the_editor_sees_how(folder: Path, sandbox: str) -> None:
    with FakeDeepSeek(mend()) as server:
        async with editor(
            folder, server, "--approve", "auto", "--check", "grep -q + calc.py", sandbox=sandbox
        ) as at:
            await at.new()
            assert await at.say("Mend calc.py") == "end_turn"
        assert server.violations == []
    assert "a + b" in (folder / "calc.py").read_text()
    seen = at.client
    assert seen.text("agent_thought_chunk") == "Look."
    assert seen.text() == "Now I mend it.It adds now."
    looked = seen.call("cat calc.py")
    assert (looked["kind"], looked["status"]) == ("execute", "completed")
    assert looked["content"][0]["content"]["text"].endswith("-1")
    change = seen.call("str_replace")
    name = str(folder / "calc.py")  # the editor's name, whatever the sandbox calls it
    assert (change["kind"], change["status"]) == ("edit", "completed")
    assert change["locations"] == [{"path": name}]
    assert change["content"] == [
        {"type": "diff", "path": name, "oldText": "a - b", "newText": "a + b"}
    ]
    steps = [(each["content"], each["status"]) for each in seen.of("plan")[-1]["entries"]]
    assert steps == [("Look", "completed"), ("Mend", "in_progress")]
    assert seen.call("check: grep")["status"] == "completed"
    usage = seen.of("usage_update")[-1]
    assert usage["size"] > usage["used"] > 0
    assert usage["cost"]["amount"] > 0
    assert at.process.returncode == 0


async def test_what_is_said_with_a_prompt_reaches_the_model(folder: Path) -> None:
    with FakeDeepSeek(["Yes."]) as server:
        async with editor(folder, server) as at:
            session = await at.new()
            uri = (folder / "calc.py").as_uri()
            blocks: list[Any] = [text_block("Is this right? "), resource_link_block("calc.py", uri)]
            await at.connection.prompt(session_id=session, prompt=blocks)
            with pytest.raises(RequestError, match="image cannot be read"):
                await at.connection.prompt(
                    session_id=session, prompt=[image_block("aGk=", "image/png")]
                )
            with pytest.raises(RequestError, match="empty"):
                await at.say("  ")
        asked = server.requests[0].body["messages"]
    assert f"Is this right? `{folder}/calc.py`" in [each["content"] for each in asked]


@pytest.mark.parametrize(
    ("answer", "told"),
    [("reject", "The user declined this call."), ("cancelled", "closed without an answer")],
)
async def test_a_declined_call_is_not_run_and_the_model_reads_why(
    folder: Path, answer: str, told: str
) -> None:
    with FakeDeepSeek([bash("touch made"), "Then not."]) as server:
        async with editor(folder, server, "--approve", "ask", answers=[answer]) as at:
            await at.new()
            assert await at.say("Make it") == "end_turn"
        results = [each["content"] for each in server.requests[1].body["messages"]]
    assert not (folder / "made").exists()
    assert told in results[-1]
    assert at.client.asked[0]["rawInput"]["command"] == "touch made"
    assert at.client.call("touch made")["status"] == "failed"


async def test_a_question_shows_the_whole_call_and_hides_nothing(folder: Path) -> None:
    """Neither what comes after a comment, nor after 200 characters, nor what Markdown would eat."""
    command = "true # harmless\nrm -rf ~/x \u202e```\n<!-- " + "x" * 300 + " -->\x1b[8m"
    edit = {**FIX, "new_str": "a + b\u200b"}
    replies = [bash(command), Reply(calls=[Call("str_replace_editor", edit)]), "Then not."]
    with FakeDeepSeek(replies) as server:
        async with editor(folder, server, "--approve", "ask", answers=["reject"] * 2) as at:
            await at.new()
            assert await at.say("Make it") == "end_turn"
    first, second = at.client.asked
    assert first["title"].startswith(r"true # harmless ⏎ rm -rf ~/x \u202e``` ⏎ <!-- xxx")
    shown = first["content"][0]["content"]["text"]
    assert shown == (
        "command:\n````\ntrue # harmless\nrm -rf ~/x \\u202e```\n<!-- "
        + "x" * 300
        + " -->\\x1b[8m\n````"
    )
    assert first["rawInput"]["command"] == command
    diff, named, why = second["content"]
    assert diff["newText"] == edit["new_str"]  # the editor compares it with the file
    assert named["content"]["text"] == "new_str:\n```\na + b\\u200b\n```"
    assert why["content"]["text"].startswith("Risk: high. ")


async def test_always_is_asked_once(folder: Path) -> None:
    """For a tool; for one that runs commands, a yes is for this command and no other."""
    back = {**FIX, "old_str": "a + b", "new_str": "b + a"}
    edits = [Reply(calls=[Call("str_replace_editor", each)]) for each in (FIX, back)]
    commands = [bash("touch one"), bash("rm one"), bash("touch one")]
    with FakeDeepSeek([*commands, *edits, "Done."]) as server:
        answers = ["always", "reject", "always"]
        async with editor(folder, server, "--approve", "ask", answers=answers) as at:
            await at.new()
            assert await at.say("Make it") == "end_turn"
    assert (folder / "one").exists()
    assert "b + a" in (folder / "calc.py").read_text()
    asked = [each["rawInput"]["command"] for each in at.client.asked]
    assert asked == ["touch one", "rm one", "str_replace"]


async def test_a_question_that_was_open_at_a_kill_is_asked_again(folder: Path) -> None:
    with FakeDeepSeek([bash("touch made"), "Made."]) as server:
        async with editor(folder, server, "--approve", "ask", answers=["wait"]) as first:
            session = await first.new()
            turn = asyncio.create_task(first.say("Make it"))
            await until(lambda: first.client.asked)
            first.process.send_signal(signal.SIGKILL)
            await first.process.wait()
            turn.cancel()
        async with editor(folder, server, "--approve", "ask", answers=["allow"]) as at:
            await at.connection.load_session(cwd=str(folder), session_id=session, mcp_servers=[])
            assert at.client.call("touch made")["status"] == "pending"
            assert not (folder / "made").exists()
            assert await at.say("Go on", session) == "end_turn"
            assert at.client.call("touch made")["status"] == "completed"
        assert server.violations == []
    assert (folder / "made").exists()


async def test_cancel_while_a_question_is_open(folder: Path) -> None:
    with FakeDeepSeek([bash("touch made")]) as server:
        async with editor(folder, server, "--approve", "ask", answers=["wait"]) as at:
            session = await at.new()
            turn = asyncio.create_task(at.say("Make it"))
            await until(lambda: at.client.asked)
            await at.connection.cancel(session_id=session)
            assert await turn == "cancelled"
    assert not (folder / "made").exists()


@pytest.mark.parametrize("sandbox", SANDBOXES)
async def test_cancel_in_mid_command_and_the_session_goes_on(folder: Path, sandbox: str) -> None:
    steps = [bash("echo $$ > begun; sleep 600; touch ended"), "Good."]
    with FakeDeepSeek(steps) as server:
        async with editor(folder, server, "--approve", "auto", sandbox=sandbox) as at:
            session = await at.new()
            turn = asyncio.create_task(at.say("Sleep"))
            await until((folder / "begun").exists)
            with pytest.raises(RequestError, match="at work"):
                await at.say("And now?")
            await at.connection.cancel(session_id=session)
            assert await turn == "cancelled"
            assert at.client.call("sleep 600")["status"] == "failed"
            assert await at.say("All well?") == "end_turn"
        assert server.violations == []
    assert at.client.text() == "Good."
    assert not (folder / "ended").exists()


async def test_a_session_is_loaded_after_kill_9(folder: Path) -> None:
    steps = [Reply("First I look.", calls=[Call("bash", {"command": "cat calc.py"})])]
    steps += [bash("touch begun; sleep 600"), Reply("I look again."), "Bye."]
    with FakeDeepSeek(steps) as server:
        async with editor(folder, server, "--approve", "auto") as first:
            session = await first.new()
            turn = asyncio.create_task(first.say("Mend calc.py"))
            await until((folder / "begun").exists)
            first.process.send_signal(signal.SIGKILL)
            await first.process.wait()
            turn.cancel()
        async with editor(folder, server, "--approve", "auto") as at:
            listed = await at.connection.list_sessions(cwd=str(folder))
            assert [each.session_id for each in listed.sessions] == [session]
            assert listed.sessions[0].title == "Mend calc.py"
            await at.connection.load_session(cwd=str(folder), session_id=session, mcp_servers=[])
            assert at.client.text("user_message_chunk") == "Mend calc.py"
            assert at.client.text() == "First I look."
            looked = at.client.call("cat calc.py")
            assert "return a - b" in looked["content"][0]["content"]["text"]
            lost = at.client.call("sleep 600")
            assert lost["status"] == "failed"
            assert "outcome is unknown" in lost["content"][0]["content"]["text"]
            assert await at.say("Go on", session) == "end_turn"
            assert at.client.text().endswith("I look again.")
            # What a second load tells is what was seen, and the words in between.
            at.client.updates.clear()
            await at.connection.load_session(cwd=str(folder), session_id=session, mcp_servers=[])
            assert at.client.text() == "First I look.I look again."
            assert at.client.text("user_message_chunk") == "Mend calc.pyGo on"
        assert server.violations == []


async def test_resume_tells_nothing_and_close_gives_the_session_free(folder: Path) -> None:
    with FakeDeepSeek(["One.", "Two."]) as server:
        async with editor(folder, server) as at:
            session = await at.new()
            await at.say("First")
            async with editor(folder, server) as other:
                with pytest.raises(RequestError, match="in use by process"):
                    await other.connection.load_session(
                        cwd=str(folder), session_id=session, mcp_servers=[]
                    )
                await at.connection.close_session(session_id=session)
                with pytest.raises(RequestError, match="no session"):
                    await at.say("Second", session)
                await other.connection.resume_session(
                    cwd=str(folder), session_id=session, mcp_servers=[]
                )
                assert other.client.updates == []
                assert await other.say("Second", session) == "end_turn"
                assert other.client.text() == "Two."


async def test_the_editor_s_mcp_servers_are_tools(folder: Path) -> None:
    """One that works, started for the session alone, and one that is not there."""
    works = McpServerStdio(
        name="The clock!",
        command=str(Path(sys.executable).parent / "mcp-server-time"),
        args=["--local-timezone", "Europe/Helsinki"],
        env=[EnvVariable(name="UNUSED", value="x")],
    )
    broken = McpServerStdio(name="broken", command="/no/such/server", args=[], env=[])
    sse = SseMcpServer(name="old", type="sse", url="http://127.0.0.1:1/sse", headers=[])
    ask = {"timezone": "Europe/Helsinki"}
    steps = [Reply(calls=[Call("The-clock__get_current_time", ask)]), "Late."]
    with FakeDeepSeek(steps) as server:
        async with editor(folder, server, "--approve", "ask", answers=["allow"]) as at:
            with pytest.raises(RequestError, match="sse is not offered"):
                await at.connection.new_session(cwd=str(folder), mcp_servers=[sse])
            made = await at.connection.new_session(cwd=str(folder), mcp_servers=[works, broken])
            assert await at.say("What time is it?", made.session_id) == "end_turn"
        names = [each["function"]["name"] for each in server.requests[0].body["tools"]]
    assert "The-clock__get_current_time" in names
    told = at.client.call("The-clock__get_current_time")
    assert told["status"] == "completed"
    assert "Europe/Helsinki" in told["content"][0]["content"]["text"]


async def test_two_sessions_at_once(folder: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    wait = "touch here; while [ ! -e go ]; do sleep 0.05; done; pwd"
    with FakeDeepSeek(
        {"Task A": [bash(wait), "A done."], "Task B": [bash(wait), "B done."]}
    ) as fake:
        async with editor(folder, fake, "--approve", "auto") as at:
            one, two = await at.new(), await at.new(second)
            turns = [
                asyncio.create_task(at.say("Task A", one)),
                asyncio.create_task(at.say("Task B", two)),
            ]
            await until(lambda: (folder / "here").exists() and (second / "here").exists())
            (folder / "go").touch()
            (second / "go").touch()
            assert await asyncio.gather(*turns) == ["end_turn", "end_turn"]
    assert at.client.text(session_id=one) == "A done."
    assert at.client.text(session_id=two) == "B done."


async def test_an_editor_that_goes_away_stops_the_run(folder: Path) -> None:
    with FakeDeepSeek([bash("echo $$ > pid; sleep 600"), "Again."]) as server:
        async with editor(folder, server, "--approve", "auto") as at:
            session = await at.new()
            turn = asyncio.create_task(at.say("Sleep"))
            await until(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip())
        assert at.process.returncode == 0
        with pytest.raises((ConnectionError, RequestError)):
            await turn
        shell = int((folder / "pid").read_text())
        await until(lambda: not _lives(shell))
        async with editor(folder, server, "--approve", "auto") as at:
            await at.connection.load_session(cwd=str(folder), session_id=session, mcp_servers=[])
            assert await at.say("Go on", session) == "end_turn"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
