"""Ask a person before a call that may change something."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import anyio

from agentkit.approvals.visible import lines, visible
from agentkit.cli import text
from agentkit.cli.stdin import Lines
from agentkit.events import ApprovalAsked
from agentkit.hooks import Call, Refuse

if TYPE_CHECKING:
    from agentkit.cli.views import View

_QUESTION = "run it? [y]es, [n]o, [a]lways: "


class Asker:
    """The ``approve`` hook of a terminal.

    ``always`` holds until the program ends: for a tool, or, where it runs commands, for this
    command alone.
    """

    def __init__(self, view: View, lines: Lines) -> None:
        self._view = view
        self._lines = lines
        self._always: set[str] = set()
        self._one = anyio.Lock()
        self._shown: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)

    def shown(self, call_id: str) -> None:
        """The view has come to this call's question; all that went before is on the screen."""
        self._shown[call_id].set()

    async def __call__(self, call: Call) -> bool | Refuse:
        with anyio.move_on_after(1):
            await self._shown[call.id].wait()
        async with self._one:  # subagents may ask at the same time
            return _kind(call) in self._always or await self._ask(call)

    async def _ask(self, call: Call) -> bool | Refuse:
        self._view.pause()
        for line in whole(call):
            _prompt(line + "\n")
        while True:
            _prompt(_QUESTION)
            answer = await self._lines.next()
            if answer is None:
                _prompt("\n")
                return False
            word = answer.strip().lower()
            if word in ("a", "always"):
                self._always.add(_kind(call))
            if word in ("y", "yes", "a", "always"):
                return True
            if word in ("n", "no"):
                return await self._why()
            if word:
                _prompt("please answer y, n or a\n")

    async def _why(self) -> bool | Refuse:
        """A no, with the reason that the model is to read, if there is one."""
        _prompt("why not? (the agent reads it; Enter says nothing): ")
        reason = (await self._lines.next() or "").strip()
        return Refuse(reason) if reason else False


def _kind(call: Call) -> str:
    """What an "always" is for."""
    if not call.is_shell:
        return call.tool
    return f"{call.tool}: {json.dumps(dict(call.arguments), sort_keys=True, default=str)}"


def can_ask() -> bool:
    """Whether a person is there: input and error output are a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def whole(asked: Call | ApprovalAsked) -> list[str]:
    """All of the call, as it runs: nobody can approve what they cannot see."""
    call_id = asked.id if isinstance(asked, Call) else asked.call_id
    shown = [f"{visible(asked.tool)} wants to run ({visible(call_id)}):"]
    for name, value in asked.arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        first, *rest = lines(text) or [""]
        shown.append(f"  {visible(name)}: {first}")
        shown += [f"    {line}" for line in rest]
    if asked.risk:
        shown.append(f"  risk: {asked.risk}{''.join(f'; {visible(x)}' for x in asked.reasons)}")
    return shown


def _prompt(words: str) -> None:
    print(text.for_stream(words, sys.stderr), end="", file=sys.stderr, flush=True)
