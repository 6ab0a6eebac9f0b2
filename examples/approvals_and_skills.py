"""An agent with rules for what it may run, a person who is asked, and a skill.

Run it as it is: the model is scripted and speaks HTTP; the shell is real.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import anyio

from agentkit import Agent
from agentkit.approvals import Policy, wait_for_session
from agentkit.events import ApprovalAsked
from agentkit.hooks import Hooks
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.tools import shell

RULES = Policy.from_table({"allow": ["mkdir *"], "ask": ["git push*"], "deny": ["rm -rf /*"]})
SKILL = """---
name: release
description: How a release is made here.
---
Make the folder dist, then touch dist/notes.
"""
SCRIPT = [
    Reply(calls=[Call("skill", {"name": "release"})]),
    Reply(
        calls=[
            Call("bash", {"command": "ls"}),  # provably only reads
            Call("bash", {"command": "mkdir dist"}),  # a rule allows it
            Call("bash", {"command": "touch dist/notes"}),  # asked
            Call("bash", {"command": "mkdir x; rm -rf /etc/x"}),  # denied, whatever is before it
        ]
    ),
    "Released.",
]


async def main() -> None:
    """Answer each question as a person would, in the stream."""
    with tempfile.TemporaryDirectory() as name, FakeDeepSeek(SCRIPT) as server:
        place = Path(name)
        (place / "skills/release").mkdir(parents=True)
        (place / "skills/release/SKILL.md").write_text(SKILL)
        (place / "work").mkdir()
        agent = Agent(
            "releaser",
            tools=shell(),
            skills=[place / "skills/release"],
            sandbox=Local(workspace=place / "work"),
            approval=RULES,
            hooks=Hooks(approve=wait_for_session),
            base_url=server.base_url,
            api_key="any",
            store=MemoryStore(),
        )
        async with agent.session() as session:
            async for event in session.stream("Release it."):
                if isinstance(event, ApprovalAsked):
                    command = event.arguments["command"]
                    print(f"asked: {command} (risk {event.risk}: {'; '.join(event.reasons)})")
                    await session.approve(event.call_id, allowed=command.startswith("touch"))
            print(session.result.output)
            made = await (await session.sandbox()).list_dir("dist")
            print(f"dist holds {', '.join(made)}")


if __name__ == "__main__":
    anyio.run(main)
