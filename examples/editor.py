"""Offer your own agent to editors, over the Agent Client Protocol.

``python examples/editor.py agent`` is what an editor's settings name. Without ``agent`` this plays
an editor, which starts the agent and says one thing to it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from _model import call, model
from acp import spawn_agent_process, text_block
from acp.schema import AllowedOutcome, RequestPermissionResponse

from agentkit import Agent, tool
from agentkit.acp import speak

NOTES: dict[str, str] = {}


@tool
def note(title: str, text: str) -> str:
    """Keep a note for the user."""
    NOTES[title] = text
    return f"kept as {title!r}"


agent = Agent("secretary", instructions="You keep notes.", tools=[note], approval="ask")


class Editor:
    """What a person sees, and answers."""

    async def session_update(self, session_id: str, update: Any, **_meta: Any) -> None:
        """Show one update."""
        content = getattr(update, "content", None)
        words = getattr(content, "text", "") or getattr(update, "title", None) or ""
        print(f"{update.session_update:20} {words}".rstrip())

    async def request_permission(
        self, session_id: str, tool_call: Any, options: Any, **_meta: Any
    ) -> RequestPermissionResponse:
        """Say yes."""
        print(f"{'allowed':20} {tool_call.title}")
        return RequestPermissionResponse(
            outcome=AllowedOutcome(outcome="selected", option_id="allow")
        )

    def on_connect(self, _conn: Any) -> None:
        """Nothing to do."""


async def main() -> None:
    """Start the agent as an editor does, and say one thing."""
    client: Any = Editor()
    command = [sys.executable, __file__, "agent"]
    async with spawn_agent_process(
        client, *command, env=dict(os.environ), transport_kwargs={"stderr": None}
    ) as (connection, _process):
        await connection.initialize(protocol_version=1)
        made = await connection.new_session(cwd=str(Path.cwd()), mcp_servers=[])
        response = await connection.prompt(
            session_id=made.session_id, prompt=[text_block("Note that Oulu is cold.")]
        )
        print(f"{'stopped':20} {response.stop_reason}")


SCRIPT = [call("note", title="Oulu", text="It is cold."), "I kept a note."]

if __name__ == "__main__":
    if sys.argv[1:] == ["agent"]:
        asyncio.run(speak(agent))
    else:
        with model(SCRIPT):
            asyncio.run(main())
