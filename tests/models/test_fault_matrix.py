"""All faults of the matrix in the reference, met by a whole agent at its fourth request.

The summary of the run has a line per fault: outcome, requests, what the log says about waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from agentkit import Agent, Result, Tool, tool
from agentkit.errors import AuthenticationFailed, BalanceEmpty, ModelError, ModelUnknown
from agentkit.events import ModelFailed, ModelResponded
from agentkit.ladder import Ladder
from agentkit.log import read
from agentkit.models.retry import RetryPolicy
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply, assert_prefix_stable

Start = Callable[..., FakeDeepSeek]
Record = Callable[[str, object], None]

WRONG = "def add(a, b):\n    return a - b\n"
RIGHT = "def add(a, b):\n    return a + b\n"


@dataclass(frozen=True)
class Quick(RetryPolicy):
    """The real policy's decisions, a hundredth of its waits."""

    def wait(
        self, error: ModelError, attempt: int, waited: float, rng: random.Random
    ) -> float | None:
        wait = RetryPolicy().wait(error, attempt, waited * 100, rng)
        return None if wait is None else wait / 100


class Workplace:
    """One file and its test, without a sandbox."""

    def __init__(self) -> None:
        self.files = {"calc.py": WRONG}
        self.edits = 0

    def tools(self) -> list[Tool]:
        @tool(read_only=True)
        def look(path: str) -> str:
            """Show a file."""
            return self.files[path]

        @tool
        def edit(path: str, text: str) -> str:
            """Write a file."""
            self.edits += 1
            self.files[path] = text
            return "written"

        @tool(read_only=True)
        def check(path: str) -> str:
            """Run the tests of a file."""
            return "passed" if self.files[path] == RIGHT else "FAILED"

        return [look, edit, check]


STEPS = [
    Reply("", "See it first.", [Call("look", {"path": "calc.py"})]),
    Reply("", "Does it fail?", [Call("check", {"path": "calc.py"})]),
    Reply("", "Once more.", [Call("look", {"path": "calc.py"})]),
    Reply("", "A minus.", [Call("edit", {"path": "calc.py", "text": RIGHT})]),
    Reply("", "Is it mended?", [Call("check", {"path": "calc.py"})]),
    Reply("I mended `add`."),
]

RECOVERABLE = [
    "429",
    "429*3",
    "500*2",
    "503*12",
    "reset",
    "reset-reasoning",
    "reset-arguments",
    "no-finish",
    "args-truncated",
    "args-comma",
    "args-newline",
    "args-fenced",
    "args-empty",
    "unknown-tool",
    "args-missing",
    "length",
    "400-reasoning",
    "400-context",
    "leak",
    "leak-broken",
    "empty",
    "insufficient",
    "keep-alive:0.5",
    "aborted",
    "garbage",
    "error-event",
    "usage-late",
    "no-usage",
    "429-balance",
    "args-mistyped",
]
HARD: dict[str, type[ModelError]] = {
    "401": AuthenticationFailed,
    "402": BalanceEmpty,
    "400-model": ModelUnknown,
}


def agent_for(server: FakeDeepSeek, place: Workplace, store: MemoryStore) -> Agent:
    return Agent(
        "fixer",
        tools=place.tools(),
        base_url=server.base_url,
        api_key="sk-test",
        store=store,
        retry=Quick(),
        ladder=Ladder.preset("flash"),
    )


async def run(
    server: FakeDeepSeek, place: Workplace
) -> tuple[Result, list[ModelFailed], list[ModelResponded]]:
    store = MemoryStore()
    result = await agent_for(server, place, store).run("Mend calc.py.")
    events = read(store, result.session_id)
    failed = [event for event in events if isinstance(event, ModelFailed)]
    return result, failed, [event for event in events if isinstance(event, ModelResponded)]


@pytest.mark.parametrize("fault", RECOVERABLE)
async def test_a_recoverable_fault_ends_solved(
    fake_deepseek: Start, fault: str, record_property: Record
) -> None:
    # A full window is folded: one more request, for the summary.
    steps = [*STEPS[:3], Reply("calc.py subtracts."), *STEPS[3:]] if "context" in fault else STEPS
    server, place = fake_deepseek(steps, faults={4: fault}), Workplace()
    result, failed, responded = await run(server, place)
    waits = [round((event.wait or 0) * 100, 1) for event in failed]
    outcome = "solved" if place.files["calc.py"] == RIGHT else result.status
    record_property(
        "matrix", f"{fault:24} {outcome:22} {len(server.requests):2} requests  waits {waits}"
    )
    assert (result.status, place.files["calc.py"]) == ("finished", RIGHT)
    assert place.edits == 1  # nothing ran twice, nothing half
    assert server.violations == []
    if fault != "no-usage":  # what was not reported cannot be billed
        assert result.cost_usd == pytest.approx(server.bill.usd, rel=1e-12)
    assert all(event.served_model == "deepseek-flash" for event in responded)


@pytest.mark.parametrize("fault", HARD)
async def test_a_hard_fault_stops_at_once_and_the_session_can_go_on(
    fake_deepseek: Start, fault: str, record_property: Record
) -> None:
    server, place = fake_deepseek(STEPS, faults={4: fault}), Workplace()
    agent = agent_for(server, place, MemoryStore())
    with pytest.raises(HARD[fault]):
        async with agent.session("hard") as session:
            await session.run("Mend calc.py.")
    name = HARD[fault].__name__
    record_property("matrix", f"{fault:24} {name:22} {len(server.requests):2} requests  waits []")
    assert len(server.requests) == 4
    async with agent.session("hard", resume=True) as session:
        result = await session.run("Go on.")
    assert (result.status, place.files["calc.py"]) == ("finished", RIGHT)
    assert_prefix_stable(server)


@pytest.mark.parametrize("fault", ["empty", "leak-broken", "args-truncated", "unknown-tool"])
async def test_what_never_gets_better_is_never_a_success(
    fake_deepseek: Start, fault: str, record_property: Record
) -> None:
    server, place = fake_deepseek(STEPS, faults={4: f"{fault}*200"}), Workplace()
    result, _, _ = await run(server, place)
    forever = f"{fault} for ever"
    record_property("matrix", f"{forever:24} {result.status:22} {len(server.requests):2} requests")
    assert result.status != "finished"
    assert len(server.requests) < 20
    assert place.files["calc.py"] == WRONG
