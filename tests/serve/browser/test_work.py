"""A person's way through the page: begin, allow, decline, look, steer, fork, undo. The world is
looked at, not the page's word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.serve.browser.conftest import Eye, enter, shoot
from tests.serve.conftest import MakeServer

EDIT = {
    "command": "create",
    "path": "greeting.py",
    "file_text": "def greet(name):\n    return f'Hello, {name}'\n",
}
SCRIPT = [
    Reply(reasoning="First a file is needed.", calls=[Call("str_replace_editor", EDIT)]),
    Reply("Now it is called.", calls=[Call("bash", {"command": "rm greeting.py"})]),
    Reply("The file stays. **Done**: `greet` is there."),
    Reply(calls=[Call("bash", {"command": "echo spoilt > greeting.py"})]),
    Reply("Nothing more to do."),
]


@pytest.fixture
def link(tmp_path: Path) -> Generator[str]:
    """``agentkit serve`` as a user starts it; the link that it prints."""
    (tmp_path / "work").mkdir()
    with FakeDeepSeek(SCRIPT) as model:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentkit.cli", "serve", "--port", "0", "--sandbox", "local",
             "--workspace", tmp_path / "work", "--approve", "ask", "--home", tmp_path / "home"],
            env={**os.environ, "AGENTKIT_BASE_URL": model.base_url, "DEEPSEEK_API_KEY": "fake"},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            yield [process.stdout.readline() for _ in range(5)][-1].split()[1]
        finally:
            process.terminate()
            process.wait(30)
            process.stdout.close()


def test_a_task_from_the_first_click_to_the_undo(page: Page, link: str, tmp_path: Path) -> None:
    made = tmp_path / "work" / "greeting.py"
    page.goto(link)
    _begin(page, made)
    _look(page)
    _go_on(page, made)
    _fork_and_undo(page, made)


def _begin(page: Page, made: Path) -> None:
    expect(page.get_by_text("No sessions yet")).to_be_visible()
    assert "token" not in page.url
    page.get_by_label("What is to be done?").fill("Greet people")
    page.get_by_role("button", name="Start").click()
    # The edit waits for a yes, and has not happened.
    question = page.get_by_role("group", name="Approval of str_replace_editor")
    expect(question).to_contain_text("return f'Hello, {name}'")
    expect(page.get_by_text("needs an answer")).to_be_visible()
    shoot(page, "approval")
    assert not made.exists()
    question.get_by_role("button", name="Allow").click()
    # The next call is declined, and the model reads why.
    question = page.get_by_role("group", name="Approval of bash")
    expect(question).to_contain_text("rm greeting.py")
    assert made.exists()
    question.get_by_role("button", name="Decline").click()
    page.get_by_label("The model reads the reason").fill("we keep it")
    page.get_by_role("dialog").get_by_role("button", name="Decline").click()
    end = page.locator(".entry.finished")
    expect(end).to_contain_text("The file stays.")
    expect(end.locator("strong")).to_have_text("Done")
    expect(end.locator("code")).to_have_text("greet")
    expect(page.locator(".call.refused")).to_contain_text("we keep it")
    assert made.exists()


def _look(page: Page) -> None:
    """What the turn changed, and what it thought."""
    turn = page.locator(".entry.turn").first
    turn.get_by_text("Reasoning").click()
    expect(turn).to_contain_text("First a file is needed.")
    turn.get_by_text("Changes of files").click()
    expect(turn.locator(".files")).to_contain_text("greeting.py")
    expect(turn.locator(".fold .plus").first).to_contain_text("+2")
    expect(page.get_by_role("img", name="Input tokens of 3 requests")).to_be_visible()
    shoot(page, "session")


def _go_on(page: Page, made: Path) -> None:
    """More work on the same session."""
    page.get_by_label("Message", exact=True).fill("Again, please")
    page.get_by_label("Message", exact=True).press("Control+Enter")
    page.get_by_role("group", name="Approval of bash").get_by_role("button", name="Allow").click()
    expect(page.locator(".entry.finished").nth(1)).to_contain_text("Nothing more to do.")
    assert made.read_text() == "spoilt\n"


def _fork_and_undo(page: Page, made: Path) -> None:
    """Fork after the first turn, then undo everything after it in the session itself."""
    was, turn = page.url, page.locator(".entry.turn").first
    turn.hover()
    turn.get_by_role("button", name="Fork after turn 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Fork").click()
    expect(page.locator(".entry.forked")).to_contain_text("A fork of")
    assert page.url != was
    page.goto(was)
    turn.hover()
    turn.get_by_role("button", name="Undo to the end of turn 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Undo").click()
    expect(page.locator(".entry.forked")).to_contain_text("An undo of")
    assert "def greet" in made.read_text()
    page.keyboard.press("l")
    expect(page.locator(".sessions .row")).to_have_count(3)


def test_a_run_is_seen_steered_and_cancelled(eye: Eye, serve: MakeServer) -> None:
    page = eye.page
    waits = Reply(calls=[Call("wait", {"name": "first"})])
    server = serve(
        {"": [waits, Reply(calls=[Call("wait", {"name": "second"})]), "Never said."]},
    )
    session = server.client().post("/sessions", json={"message": "Take your time"}).json()["id"]
    enter(page, server, session)
    expect(page.locator(".call.running")).to_be_visible()
    expect(page.locator(".session-head .chip")).to_have_text("running")
    page.get_by_label("Message", exact=True).fill("Rather the second")
    page.get_by_role("button", name="Steer").click()
    expect(page.get_by_label("Message", exact=True)).to_have_value("")
    server.open("first")
    expect(page.locator(".entry.steered")).to_contain_text("Rather the second")
    expect(page.locator(".call.running")).to_be_visible()
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator(".entry.finished h3")).to_have_text("Cancelled")
    expect(page.locator("#spoken")).to_have_text("The run ended: cancelled")
    expect(page.get_by_role("button", name="Go on")).to_be_enabled()
    expect(page.get_by_role("button", name="Cancel run")).to_be_hidden()


def test_an_answer_is_read_while_it_is_written(page: Page, serve: MakeServer) -> None:
    words, thought = "The answer is long. " * 40, "Let me think. " * 20
    script = [Reply(calls=[Call("wait", {"name": "seen"})]), Reply(words, reasoning=thought)]
    server = serve(FakeDeepSeek(script, faults={2: "stall-middle:600"}).start())
    session = server.client().post("/sessions", json={"message": "Tell"}).json()["id"]
    enter(page, server, session)
    expect(page.locator(".call.running")).to_be_visible()
    server.open("seen")
    live = page.locator(".entry.live")
    expect(live).to_contain_text("Let me think. Let me think.")
    expect(live.locator(".thought")).to_be_visible()
    # Nothing of it is in the log yet.
    stored = server.client().get(f"/sessions/{session}/export").text
    assert "Let me think" not in stored
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator(".entry.finished")).to_be_visible()
    expect(page.locator(".entry.live")).to_have_count(0)
