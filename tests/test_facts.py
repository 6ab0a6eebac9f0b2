"""What changes is told once, behind the history, never in the head."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Limits, facts, tool
from agentkit.cli.instructions import Instructions
from agentkit.events import Message
from agentkit.log import read
from agentkit.models.catalogue import Catalogue
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable
from agentkit.tools import shell
from agentkit.tools.meanwhile import Meanwhile

pytestmark = pytest.mark.anyio


@tool(read_only=True)
def look() -> str:
    """Look."""
    return "seen"


def told(store: MemoryStore) -> list[str]:
    events = read(store, "s")
    return [e.text for e in events if isinstance(e, Message) and e.source == "agentkit"]


def make(server: FakeDeepSeek, store: MemoryStore, **settings: Any) -> Agent:
    settings.setdefault("tools", [look])
    return Agent("a", base_url=server.base_url, api_key="k", store=store, **settings)


def calls(*answers: str) -> list[Reply]:
    return [Reply(reasoning="r", calls=[Call("look", {})]), *(Reply(content=a) for a in answers)]


async def test_another_day_is_told_once_and_also_not_after_a_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    with FakeDeepSeek([*calls("a"), *calls("b"), Reply(content="c")]) as server:
        agent = make(server, store)
        async with agent.session("s") as session:
            await session.run("one")
            assert told(store) == []
            monkeypatch.setattr(facts, "today", lambda: "2031-01-02")
            await session.run("two")
        async with agent.session("s", resume=True) as session:
            await session.run("three")
        assert_prefix_stable(server)
    assert told(store) == ["[It is now 2031-01-02 (UTC).]"]


async def test_half_of_the_money_is_told_once() -> None:
    store = MemoryStore()
    # Peak prices are twice the others, and this test runs at any hour.
    price = Catalogue.load().price("deepseek-flash", datetime.now(UTC))
    assert price is not None
    limit = 0.016 if price.peak else 0.008
    many = [Reply(reasoning="r" * 4_000, calls=[Call("look", {})]) for _ in range(8)]
    with FakeDeepSeek([*many, Reply(content="done")]) as server:
        limits = Limits(cost_usd=limit)
        async with make(server, store, limits=limits).session("s") as session:
            assert (await session.run("go")).ok
    used = [text for text in told(store) if text.startswith("[Used so far: $")]
    assert len(used) == 1
    assert f"of ${limit} of the money" in used[0]


async def test_edited_instructions_are_told_as_their_difference(tmp_path: Path) -> None:
    store, file = MemoryStore(), tmp_path / "AGENTS.md"
    file.write_text("Use tabs.\nBe brief.\n")

    @tool(read_only=True)
    def edit(text: str) -> str:
        """Somebody edits the file."""
        file.write_text(text)
        os.utime(file, ns=(1, len(text)))
        return "ok"

    script = [
        Reply(calls=[Call("edit", {"text": "Use spaces.\nBe brief.\n"})]),
        *(Reply(content="done") for _ in range(3)),
    ]
    with FakeDeepSeek(script) as server:
        agent = make(server, store, tools=[edit], surroundings=[Instructions(tmp_path)])
        async with agent.session("s") as session:
            await session.run("one")
            assert len(told(store)) == 1
            assert "-Use tabs.\n+Use spaces." in told(store)[0]
            await session.run("two")
        agent = make(server, store, tools=[edit], surroundings=[Instructions(tmp_path)])
        async with agent.session("s", resume=True) as session:
            file.unlink()
            await session.run("three")
        assert_prefix_stable(server)
    assert told(store)[1:] == ["[AGENTS.md was removed: its instructions no longer hold.]"]


@pytest.mark.parametrize("git", [True, False], ids=["git", "plain"])
async def test_what_others_changed_between_runs_is_told(tmp_path: Path, git: bool) -> None:
    def run_git(*words: str) -> None:
        name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *name, *words], check=True, capture_output=True)

    store = MemoryStore()
    (tmp_path / "old.txt").write_text("old\n")
    if git:
        run_git("init", "-q", "-b", "main")
        run_git("add", ".")
        run_git("commit", "-qm", "first")
    own = Reply(calls=[Call("bash", {"command": "echo mine > mine.txt"})])
    with FakeDeepSeek([own, *(Reply(content="done") for _ in range(4))]) as server:
        sandbox = Local(workspace=tmp_path)
        settings: dict[str, Any] = {"tools": shell(), "surroundings": [Meanwhile()]}
        agent = make(server, store, sandbox=sandbox, **settings)
        async with agent.session("s") as session:
            await session.run("one")
            assert told(store) == [], "the agent's own files are no news"
            await session.run("two")
            assert told(store) == []
            (tmp_path / "theirs.txt").write_text("theirs\n")
            (tmp_path / "mine.txt").write_text("longer than before\n")
            await session.run("three")
        assert len(told(store)) == 1
        assert "files changed: mine.txt, theirs.txt" in told(store)[0]
        if git:
            run_git("checkout", "-q", "-b", "other")
            run_git("add", ".")
            run_git("commit", "-qm", "second")
        else:
            (tmp_path / "old.txt").unlink()
        async with agent.session("s", resume=True) as session:
            await session.run("four")
    words = "\n".join(told(store)[1:])
    if git:
        assert "git branch main -> other; git head " in words
        assert "files changed" not in words, "they were committed as they were"
    else:
        assert "files changed: old.txt" in words
