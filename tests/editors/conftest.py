"""``agentkit acp`` as a process of its own, and the SDK's client as the editor.

The folder is not named ``acp``: that name is the SDK's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from acp import spawn_agent_process, text_block
from acp.client.connection import ClientSideConnection
from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse

from agentkit.testing import FakeDeepSeek


async def until(what: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition; fail where it does not come."""
    give_up = time.monotonic() + seconds
    while not what():
        if time.monotonic() > give_up:
            pytest.fail(f"did not happen within {seconds} s: {what}")
        await asyncio.sleep(0.02)


class Client:
    """What the person at the editor sees, and what they answer."""

    def __init__(self, answers: Sequence[str] = ()) -> None:
        self.updates: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[dict[str, Any]] = []
        self._answers = list(answers)
        """Option ids, ``cancelled``, or ``wait`` for no answer at all."""

    async def session_update(self, session_id: str, update: Any, **_meta: Any) -> None:
        shown = update.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.updates.append((session_id, shown))

    async def request_permission(
        self, session_id: str, tool_call: Any, options: Any, **_meta: Any
    ) -> RequestPermissionResponse:
        self.asked.append(tool_call.model_dump(mode="json", by_alias=True, exclude_none=True))
        answer = self._answers.pop(0)
        if answer == "wait":
            await asyncio.Event().wait()
        if answer == "cancelled":
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        assert answer in [each.option_id for each in options]
        chosen = AllowedOutcome(outcome="selected", option_id=answer)
        return RequestPermissionResponse(outcome=chosen)

    def on_connect(self, conn: Any) -> None:
        pass

    def of(self, kind: str, session_id: str = "") -> list[dict[str, Any]]:
        """The updates of one kind, in order."""
        return [
            each
            for session, each in self.updates
            if each["sessionUpdate"] == kind and session_id in ("", session)
        ]

    def text(self, kind: str = "agent_message_chunk", session_id: str = "") -> str:
        return "".join(each["content"]["text"] for each in self.of(kind, session_id))

    def call(self, title: str) -> dict[str, Any]:
        """A tool call as it stands after all of its updates."""
        started = next(each for each in self.of("tool_call") if title in each["title"])
        merged = dict(started)
        for each in self.of("tool_call_update"):
            if each["toolCallId"] == started["toolCallId"]:
                merged |= each
        return merged


@dataclass
class Editor:
    """A connection to one process."""

    connection: ClientSideConnection
    client: Client
    process: asyncio.subprocess.Process
    folder: Path
    sessions: list[str] = field(default_factory=list[str])

    async def new(self, folder: Path | None = None) -> str:
        made = await self.connection.new_session(cwd=str(folder or self.folder), mcp_servers=[])
        self.sessions.append(made.session_id)
        return made.session_id

    async def say(self, text: str, session_id: str = "") -> str:
        """The reason why the turn ended."""
        to = session_id or self.sessions[-1]
        response = await self.connection.prompt(session_id=to, prompt=[text_block(text)])
        return response.stop_reason


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a bug in it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    return folder


@asynccontextmanager
async def editor(
    folder: Path,
    server: FakeDeepSeek | None,
    *options: str,
    answers: Sequence[str] = (),
    sandbox: str = "local",
    env: Mapping[str, str] | None = None,
) -> AsyncGenerator[Editor]:
    """An editor with ``agentkit acp`` behind it, introduced to each other."""
    client = Client(answers)
    key = {"DEEPSEEK_API_KEY": "key-of-the-tests"} if server is not None else {}
    where = {"AGENTKIT_BASE_URL": server.base_url} if server is not None else {}
    keep = {"AGENTKIT_HOME": os.environ["AGENTKIT_HOME"], "HOME": os.environ.get("HOME", "/")}
    with tempfile.TemporaryFile() as log:
        arguments = ["-m", "agentkit.cli", "acp", "--sandbox", sandbox, *options]
        async with spawn_agent_process(
            client,  # type: ignore[arg-type] - the SDK's type names methods that we do not offer
            sys.executable,
            *arguments,
            env={**keep, **key, **where, **(env or {})},
            transport_kwargs={"stderr": log.fileno(), "shutdown_timeout": 30.0},
        ) as (connection, process):
            await connection.initialize(protocol_version=1)
            yield Editor(connection, client, process, folder)
        log.seek(0)
        told = log.read().decode()
        assert "Traceback" not in told, told
