"""Who answers in the examples: DeepSeek where a key is set, else a script, which needs none."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from agentkit.testing import FakeDeepSeek, Reply
from agentkit.testing.script import ScriptLike


@contextmanager
def model(script: ScriptLike, *, per_conversation: bool = False) -> Generator[None]:
    """Point the environment at a scripted server, unless it holds a key for the real one."""
    if os.environ.get("DEEPSEEK_API_KEY"):
        yield
        return
    print("(DEEPSEEK_API_KEY is not set: the model's answers come from a script)\n", flush=True)
    with FakeDeepSeek(script, per_conversation=per_conversation) as server:
        os.environ |= {"AGENTKIT_BASE_URL": server.base_url, "DEEPSEEK_API_KEY": "scripted"}
        try:
            yield
        finally:
            del os.environ["AGENTKIT_BASE_URL"], os.environ["DEEPSEEK_API_KEY"]


def call(name: str, reasoning: str = "", **arguments: object) -> Reply:
    """A scripted answer that calls one tool."""
    return Reply.of({"reasoning": reasoning, "calls": [{"name": name, "arguments": arguments}]})
