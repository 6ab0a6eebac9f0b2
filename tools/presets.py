"""Sets of tools, and presets: a system prompt with its tools and its way of asking."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agentkit.errors import UsageError
from agentkit.ladder import Effort
from agentkit.tool import Tool

if TYPE_CHECKING:
    from agentkit.ladder import Ladder
    from agentkit.sandbox import Sandbox

# The tools' modules are imported on first use: their schemas need pydantic. None is named like a
# set: its import would put the module in the function's place (hence ``searcher``, ``editor``).


def shell() -> list[Tool]:
    """The persistent shell: ``bash``."""
    from agentkit.tools.bash import bash

    return [bash]


def edit() -> list[Tool]:
    """View and edit files: ``str_replace_editor``."""
    from agentkit.tools.editor import str_replace_editor

    return [str_replace_editor]


def search() -> list[Tool]:
    """Search contents and file names: ``search``."""
    from agentkit.tools.searcher import search

    return [search]


def coder() -> list[Tool]:
    """The full set: shell, editor and search, and ``plan``, ``consult`` and ``finish``."""
    from agentkit.tools.adviser import consult
    from agentkit.tools.finish import finish
    from agentkit.tools.plan import plan

    return [*shell(), *edit(), *search(), plan, consult, finish]


def subagents() -> list[Tool]:
    """Give parts of the work away: ``task``. In no preset: few tasks need it."""
    from agentkit.tools.subagent import task

    return [task]


def minimal() -> list[Tool]:
    """The vendor's benchmark shape: ``bash(command)`` and ``str_replace_editor``."""
    from agentkit.tools.bash import minimal_bash

    return [minimal_bash, *edit()]


async def _environment(sandbox: Sandbox) -> str:
    from agentkit.tools.environment import environment_facts

    return await environment_facts(sandbox)


@dataclass(frozen=True, slots=True)
class Preset:
    """What an agent of this kind is told, given, and asked with.

    The four hints on asking are for a ladder's rungs; None leaves the rung as it is.
    """

    name: str
    instructions: str
    """The system prompt. Constant: facts that change are appended as messages."""
    tools: Callable[[], list[Tool]]
    briefing: Callable[[Sandbox], Awaitable[str]] | None = None
    """Gives the facts about the sandbox that are appended before the first message."""
    effort: Effort | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None

    def asked(self, ladder: Ladder) -> Ladder:
        """The ladder with these wishes on asking; a ladder from a file has its own."""
        wishes: dict[str, Any] = {
            name: value
            for name in ("effort", "max_tokens", "temperature", "top_p")
            if (value := getattr(self, name)) is not None
        }
        # With one effort for all, rungs that differed in nothing else have become one.
        rungs = dict.fromkeys(replace(rung, **wishes) for rung in ladder.rungs)
        return replace(ladder, rungs=tuple(rungs))


MINIMAL = Preset(
    name="minimal",
    instructions="You are a capable software engineer who works in a terminal.",
    tools=minimal,
    effort="max",
    max_tokens=256_000,
    temperature=1.0,
    top_p=0.95,
)
"""The shape in which the vendor measures its models (benchmarks.md §5): nothing else is said."""

# Each rule below gained points, or saved turns, in a published comparison on one model
# (benchmarks.md §5, rivals.md §7): no questions back (ForgeCode), work on the environment's facts
# (Deep Agents), a plan that is kept (ForgeCode: 38 to 66), checks against the task's own words
# before the end (Terminus-KIRA), and an end once they pass (V4.1-Flash goes on for 30 turns).
CODER_INSTRUCTIONS = """\
You are a software engineer who completes tasks in a sandboxed terminal.

You work alone: nobody reads along, answers questions or checks your work later. Never ask back; \
decide what the task means, and say so at the end.

Work
- Look before you change: read the code that matters, its callers and its tests.
- Reproduce a bug before you fix it. Fix the cause, keep the change small, keep the style.
- Make independent calls together in one turn.
- For work of more than a few steps, set a plan and keep its statuses true.
- When something fails twice in the same way, stop, find out why; try another way.
- Results say what they left out. Never guess at what you have not seen.

Verify
- Reread the task. For each thing it demands (names, paths, formats, values, edge cases), run \
something that would fail if it were missing.
- Do not weaken, skip or delete tests to make them pass.
- Remove your scratch files; leave running what the task wants running.
- Once each demand has been seen to hold after your last change, call finish at once: no second \
round of checks, no polish. A one-line change needs one check."""

CODER = Preset(
    name="coder",
    instructions=CODER_INSTRUCTIONS,
    tools=coder,
    briefing=_environment,
)

PRESETS: Mapping[str, Preset] = MappingProxyType({each.name: each for each in (CODER, MINIMAL)})


def preset(name: str) -> Preset:
    """The preset of that name: ``coder`` or ``minimal``.

    Raises:
        UsageError: there is none.
    """
    if name not in PRESETS:
        raise UsageError(
            f"there is no preset {name!r}", hint=f"Presets: {', '.join(sorted(PRESETS))}"
        )
    return PRESETS[name]
