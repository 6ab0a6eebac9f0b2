"""Run a failure story: real loop, real workspace, real checks; only the model is scripted.

Each story is run three times from the same files: on Flash alone and on Pro alone, which never
react, and on the ``flash-pro`` ladder with its default policy. The bill is the fake provider's,
and whether the task is *really* done is looked up in the workspace afterwards, not in the checks
that the agent was held to and not in what it says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentkit import Agent, Ladder, Limits, Result
from agentkit.errors import ModelError
from agentkit.escalation import Policy
from agentkit.events import Event, RungChanged
from agentkit.ladder import FLASH, PRO
from agentkit.log import read
from agentkit.models.types import Usage
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import FakeDeepSeek, Reply
from agentkit.tools import coder
from benchmarks.ladder.actors import Model, View

OFF_PEAK = datetime(2026, 11, 24, 12, tzinfo=UTC)
CONTENDERS = ("flash-only", "pro-only", "ladder")


@dataclass(frozen=True, slots=True)
class Story:
    """A task, the way in which a weak model fails at it, and what a strong one does."""

    name: str
    task: str
    files: Mapping[str, str]
    checks: tuple[str, ...]
    weak: Model
    strong: Model
    done: Callable[[Path], bool]
    """Whether the task is really done, seen from outside."""
    solves: Mapping[str, bool] = field(
        default_factory=lambda: {"flash-only": False, "pro-only": True, "ladder": True}
    )
    """Who is expected to solve it."""
    limits: Limits = field(default_factory=lambda: Limits(cost_usd=1.0, turns=80))
    max_tokens: int = 0
    """Limit of one answer; 0 is the rung's own."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one contender made of a story."""

    story: str
    contender: str
    result: Result
    really: bool
    """The task is really done."""
    usd: float
    """The provider's bill."""
    bill: Usage
    requests: int
    violations: tuple[str, ...]
    forms: tuple[str, ...]
    """What the ladder did, in its order: ``note``, ``consult deepseek-v4-pro·high``, …"""
    events: tuple[Event, ...]

    @property
    def false_success(self) -> bool:
        return self.result.ok and not self.really

    @property
    def outcome(self) -> str:
        """``solved``, ``failed``, ``limit``, or ``FALSE``."""
        if self.false_success:
            return "FALSE"
        return "solved" if self.result.ok else self.result.status


def ladder_of(contender: str, max_tokens: int = 0) -> Ladder:
    """The ladder of a contender; the first two never react to anything."""
    calm = Policy(forms=frozenset())
    ladder = {
        "flash-only": Ladder("flash-only", (FLASH,), policy=calm),
        "pro-only": Ladder("pro-only", (PRO,), policy=calm),
        "ladder": Ladder.preset("flash-pro"),
    }[contender]
    if not max_tokens:
        return ladder
    return replace(
        ladder, rungs=tuple(replace(rung, max_tokens=max_tokens) for rung in ladder.rungs)
    )


async def tell(story: Story, contender: str, folder: Path, sandbox: Any = Local) -> Run:
    """Run a story in a new folder."""
    _lay_out(folder, story.files)

    def answer(request: dict[str, Any]) -> Reply:
        view = View(request)
        return (story.strong if "pro" in view.model else story.weak)(view)

    with FakeDeepSeek(answer, clock=lambda: OFF_PEAK, exact=False) as server:
        agent = Agent(
            "story",
            instructions="You are a software engineer who completes tasks in a terminal.",
            tools=coder(),
            sandbox=sandbox(workspace=str(folder)),
            ladder=ladder_of(contender, story.max_tokens),
            limits=story.limits,
            base_url=server.base_url,
            api_key="scripted",
            store=MemoryStore(),
        )
        result, events = await _run(agent, story)
        return Run(
            story.name,
            contender,
            result,
            story.done(folder),
            server.bill.usd,
            server.bill.usage,
            len(server.requests),
            tuple(server.violations),
            tuple(_forms(events)),
            tuple(events),
        )


def _lay_out(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir()
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


async def _run(agent: Agent, story: Story) -> tuple[Result, Sequence[Event]]:
    assert agent.store is not None
    async with agent.session() as session:
        try:
            result = await session.run(story.task, checks=story.checks)
        except ModelError:  # an end as well; the session says which
            result = session.result
        return result, list(read(agent.store, session.id))


def _forms(events: Sequence[Event]) -> list[str]:
    quiet = ("note", "step-down", "retry")
    return [
        each.form if each.form in quiet else f"{each.form} {short(each.to_rung)}"
        for each in events
        if isinstance(each, RungChanged)
    ]


def short(rung: str) -> str:
    """``deepseek-v4-pro·high`` as ``pro·high``."""
    return rung.removeprefix("deepseek-").removeprefix("v4-")


async def tell_all(stories: Sequence[Story]) -> list[Run]:
    """All stories with all contenders, each in a folder of its own."""
    runs: list[Run] = []
    for story in stories:
        for contender in CONTENDERS:
            with tempfile.TemporaryDirectory() as folder:
                runs.append(await tell(story, contender, Path(folder) / "work"))
    return runs
