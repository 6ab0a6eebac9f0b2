"""A recorded session, played again by the fake provider, asks for the very same bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentkit import Agent, tool
from agentkit.errors import UsageError
from agentkit.events import to_dict
from agentkit.log import read
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.testing.script import recorded

Start = Callable[..., FakeDeepSeek]


@tool(read_only=True)
def look(path: str) -> str:
    """Show a file."""
    return f"all of {path}"


STEPS = [
    Reply("", "Two.", [Call("look", {"path": "a"}), Call("look", '{"path": "b",}')]),
    Reply("", "", [Call("nothing", {})]),
    "Done.",
]


async def play(server: FakeDeepSeek, store: MemoryStore) -> list[bytes]:
    agent = Agent("a", tools=[look], base_url=server.base_url, api_key="k", store=store)
    async with agent.session("s") as session:
        assert (await session.run("Look.")).output == "Done."
    return [request.raw for request in server.requests]


async def test_it_asks_for_the_same_bytes(fake_deepseek: Start) -> None:
    store = MemoryStore()
    first = await play(fake_deepseek(STEPS), store)
    replies = recorded(map(to_dict, read(store, "s")))
    assert await play(fake_deepseek(replies), MemoryStore()) == first


def test_a_file_without_answers_is_named() -> None:
    with pytest.raises(UsageError, match=r"no model\.responded"):
        recorded([{"type": "message"}])
