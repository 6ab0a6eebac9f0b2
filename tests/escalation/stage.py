"""A stage for stories of a ladder: scripted models, a real local sandbox, and what was logged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agentkit import Agent, Ladder, Result, Rung
from agentkit import events as e
from agentkit.escalation import Policy, Thresholds
from agentkit.escalation.policy import Caps
from agentkit.log import read
from agentkit.models.retry import RetryPolicy
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.tools import coder, subagents

FLASH = Rung("deepseek-flash")
PRO = Rung("deepseek-v4-pro", forms=("consult", "hand-off"))
CHECK = "grep -qx 42 answer.txt"
TASK = "Write the answer."

POLICY = Policy(
    forms=frozenset({"consult", "hand-off"}),
    thresholds=Thresholds(consult=2, handoff=3),
    caps=Caps(consult=1),
)
TWO = Ladder("two", (FLASH, PRO), POLICY)


def only(*forms: Any, **more: Any) -> Ladder:
    """Two rungs, and only these forms."""
    policy = replace(POLICY, forms=frozenset(forms), **more)
    return Ladder("two", (FLASH, replace(PRO, forms=())), policy)


def bash(command: str, reasoning: str = "so") -> Reply:
    return Reply(reasoning=reasoning, calls=[Call("bash", {"command": command})])


def call(tool: str, **arguments: Any) -> Reply:
    return Reply(reasoning="so", calls=[Call(tool, arguments)])


def finish(words: str = "It is done.", *, achieved: bool = True) -> Reply:
    return Reply(calls=[Call("finish", {"summary": words, "achieved": achieved})])


def write(text: object) -> Reply:
    return bash(f"echo {text} > answer.txt")


def texts(request: dict[str, Any]) -> list[str]:
    """What the model reads besides its own words."""
    return [str(m.get("content")) for m in request["messages"] if m["role"] != "assistant"]


def answers(request: dict[str, Any]) -> int:
    return sum(message["role"] == "assistant" for message in request["messages"])


def is_advice(request: dict[str, Any]) -> bool:
    return request["messages"][0]["content"].startswith("You advise")


def weak(request: dict[str, Any]) -> Reply:
    """Writes a wrong answer and says that it is done, until somebody stronger was there."""
    last = "\n".join(texts(request)[-3:])
    if "took over, and the work comes back" in last or "attempts were made" in last:
        return finish("Done at last.")
    number = answers(request)
    return finish() if number % 2 else write(number)


def strong(request: dict[str, Any]) -> Reply:
    """Mends it at once."""
    if is_advice(request):
        return Reply("The answer is 42.", "hm")
    lost = any("unknown" in text or "interrupted" in text for text in texts(request)[-2:])
    return write(42) if lost or not answers(request) else finish("It was 42.")


def cast(weak_one: Callable[..., Reply] = weak, strong_one: Callable[..., Reply] = strong) -> Any:
    """A script that depends on the request alone, so that a resumed run gets the same answers."""

    def answer(request: dict[str, Any]) -> Reply:
        return (strong_one if "pro" in request["model"] else weak_one)(request)

    return answer


@dataclass
class Told:
    """A run that ended, and its log."""

    result: Result
    events: list[e.Event]
    server: FakeDeepSeek

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.events if isinstance(each, kind)]

    @property
    def forms(self) -> list[str]:
        return [each.form for each in self.of(e.RungChanged)]

    @property
    def models(self) -> list[str]:
        return [each.body["model"] for each in self.server.requests]


def agent_on(folder: Path, server: FakeDeepSeek, ladder: Ladder = TWO, **more: Any) -> Agent:
    settings: dict[str, Any] = {
        "tools": [*coder(), *subagents()],
        "sandbox": Local(workspace=str(folder)),
        "base_url": server.base_url,
        "api_key": "k",
        "store": MemoryStore(),
        "retry": RetryPolicy(base=0.01, cap=0.02, budget_seconds=0.05),
        **more,
    }
    return Agent("actor", ladder=ladder, **settings)


async def play(
    folder: Path,
    script: Any,
    ladder: Ladder = TWO,
    *,
    task: str = TASK,
    checks: Sequence[str] = (CHECK,),
    **more: Any,
) -> Told:
    """Run a task against scripted models and give what happened."""
    with FakeDeepSeek(script) as server:
        agent = agent_on(folder, server, ladder, **more)
        result = await agent.run(task, checks=checks)
        assert agent.store is not None
        assert server.violations == []
        return Told(result, list(read(agent.store, result.session_id)), server)
