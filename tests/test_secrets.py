"""The key is nowhere but in the request's header: not in store, exports, container, errors."""

from __future__ import annotations

import json
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit import Agent, Limits
from agentkit.errors import AgentkitError, ModelError
from agentkit.events import ModelResponded, ToolFinished, ToolOutput
from agentkit.exports import export
from agentkit.log import read
from agentkit.models.retry import RetryPolicy
from agentkit.models.types import ToolCall
from agentkit.sandboxes import Docker, Local
from agentkit.secrets import Redactor
from agentkit.stores.sqlite import SQLiteStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable
from agentkit.tools import coder

pytestmark = pytest.mark.anyio
KEY = "sk-0123456789abcdef0123456789abcdef"
OTHER = "ghp_" + "Ab1" * 13


def everything_in(folder: Path) -> bytes:
    """All bytes below the folder, and all texts and contents of the stores in it."""
    found = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for path in folder.rglob("sessions.db"):
        db = sqlite3.connect(path)
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for table in tables:
            found += repr(db.execute(f"SELECT * FROM {table}").fetchall()).encode()
        db.close()
    return found


@pytest.mark.parametrize("kind", ["local", pytest.param("docker", marks=pytest.mark.docker)])
async def test_the_key_is_nowhere(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    workspace, home = tmp_path / "work", tmp_path / "home"
    workspace.mkdir()
    (workspace / ".env").write_text(f"KEY={KEY}\n")
    show = "env; cat .env; printf 'sk-01234567'; sleep 0.1; printf '89abcdef0123456789abcdef'"
    script = [
        Reply(calls=[Call("bash", {"command": show})]),
        Reply(calls=[Call("bash", {"command": f"echo {KEY} | rev; echo {OTHER}"})]),
        "Done.",
    ]
    sandbox = Local(workspace=workspace) if kind == "local" else Docker(workspace=workspace)
    store = SQLiteStore(home)
    with FakeDeepSeek(script, api_key=KEY) as server:
        agent = Agent(
            "t", tools=coder(), sandbox=sandbox, store=store, base_url=server.base_url,
            limits=Limits(turns=10),
        )  # fmt: skip
        async with agent.session("s") as session:
            seen = [event async for event in session.stream(f"use {KEY} if you must")]
            inside = await (await session.sandbox()).exec("env; tr '\\0' '\\n' </proc/1/environ")
            facts = await _inspected(session)
    assert KEY.encode() not in inside.output.data
    assert KEY not in facts
    events = read(store, "s")
    outputs = [x for x in events if isinstance(x, ToolFinished)]
    assert "KEY=[redacted: DEEPSEEK_API_KEY]" in outputs[0].content
    assert "[redacted: looks like a key]" in outputs[1].content
    sent = json.dumps([request.body for request in server.requests])
    stored = everything_in(home)
    shown = "".join(x.text for x in seen if isinstance(x, ToolOutput))
    for name, where in {
        "store": stored.decode("utf-8", "replace"),
        "jsonl": export(events, "jsonl").decode(),
        "atif": export(events, "atif").decode(),
        "html": export(events, "html").decode(),
        "requests": sent,
        "stream": shown,
    }.items():
        assert KEY not in where, name
    assert OTHER not in outputs[1].content
    assert_prefix_stable(server)
    # What the model sees is what is logged.
    last = server.requests[-1].body["messages"]
    assert [m["content"] for m in last if m["role"] == "tool"] == [x.content for x in outputs]
    store.close()


async def _inspected(session: Any) -> str:
    ref = dict((await session.sandbox()).ref)
    if "container" not in ref:
        return ""
    import docker

    client: Any = docker.from_env()  # pyright: ignore[reportUnknownMemberType]
    try:
        return json.dumps(client.api.inspect_container(ref["container"]))
    finally:
        client.close()


async def test_a_provider_that_echoes_the_key_is_not_quoted(tmp_path: Path) -> None:
    error = ModelError(f"the key {KEY} is wrong", tried=f"with {KEY}", hint="Mend it")
    Redactor({"DEEPSEEK_API_KEY": KEY}).error(error)
    assert KEY not in str(error)
    assert "[redacted: DEEPSEEK_API_KEY]" in str(error)
    assert KEY not in repr(error.args)
    with FakeDeepSeek(["x"], api_key="another key altogether") as server:
        store = SQLiteStore(tmp_path)
        agent = Agent(
            "t", store=store, base_url=server.base_url, api_key=KEY, retry=RetryPolicy(base=0.01)
        )
        with pytest.raises(AgentkitError) as caught:
            await agent.run("hello")
        store.close()
    assert KEY not in str(caught.value)
    assert KEY.encode() not in everything_in(tmp_path)
    assert KEY not in repr(agent)


def test_only_known_values_are_replaced_in_what_the_model_writes() -> None:
    redactor = Redactor({"K": KEY})
    fixture = "sk-" + "x" * 30
    answer = ModelResponded(
        content=f"{KEY} {fixture}", calls=(ToolCall("c", "bash", f'{{"command": "{KEY}"}}'),)
    )
    clean = redactor.event(answer)
    assert clean.content == f"[redacted: K] {fixture}"
    assert KEY not in clean.calls[0].arguments
    plain = ModelResponded(content="nothing", calls=answer.calls[:0])
    assert redactor.event(plain) is plain


@given(st.lists(st.integers(0, 80), max_size=6), st.sampled_from([KEY, OTHER]))
def test_a_key_across_pieces_is_never_shown(cuts: list[int], key: str) -> None:
    redactor = Redactor({"K": KEY})
    text = f"before {key} after it there is more"
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in pairwise(places)]
    shown = "".join(redactor.event(ToolOutput(call_id="c", text=each)).text for each in pieces)
    assert key not in shown
    assert shown.startswith("before [redacted")
    assert shown.endswith("more")


@pytest.mark.parametrize(
    "text", ["sk-1", "task-0123456789abcdef0123456789", "a skill", "AKIA", "password", "x" * 10_000]
)
def test_what_is_no_key_stays(text: str) -> None:
    assert Redactor({"K": KEY, "short": "k"}, {"MY_TOKEN": "tiny"}).text(text) == text
