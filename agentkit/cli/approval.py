"""Ask a person before a call that may change something."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

import anyio

from agentkit.cli import text
from agentkit.cli.stdin import Lines
from agentkit.errors import UsageError
from agentkit.hooks import Call, Refuse

if TYPE_CHECKING:
    from agentkit.cli.views import View

_QUESTION = "run it? [y]es, [n]o, [a]lways: "


class Asker:
    """The ``approve`` hook of a terminal. ``always`` holds for a tool until the program ends."""

    def __init__(self, view: View, lines: Lines) -> None:
        self._view = view
        self._lines = lines
        self._always: set[str] = set()
        self._shown: defaultdict[str, anyio.Event] = defaultdict(anyio.Event)

    def shown(self, call_id: str) -> None:
        """The view has come to this call's question; all that went before is on the screen."""
        self._shown[call_id].set()

    async def __call__(self, call: Call) -> bool | Refuse:
        if call.tool in self._always:
            return True
        with anyio.move_on_after(1):
            await self._shown[call.id].wait()
        self._view.pause()
        for line in _whole(call):
            _prompt(line + "\n")
        while True:
            _prompt(_QUESTION)
            answer = await self._lines.next()
            if answer is None:
                _prompt("\n")
                return Refuse("The user declined this call.")
            word = answer.strip().lower()
            if word in ("a", "always"):
                self._always.add(call.tool)
            if word in ("y", "yes", "a", "always"):
                return True
            if word in ("n", "no"):
                return False
            if word:
                _prompt("please answer y, n or a\n")


def require_terminal() -> None:
    """Refuse to ask where nobody can answer.

    Raises:
        UsageError: input or error output is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "--approve ask needs a terminal to ask on",
            hint="Without one say --approve auto (every call runs) or --approve read-only",
        )


def _whole(call: Call) -> list[str]:
    """All of the call: nobody can approve what they cannot see."""
    lines = [f"{call.tool} wants to run:"]
    for name, value in call.arguments.items():
        shown = value if isinstance(value, str) else json.dumps(value, default=str)
        first, *rest = text.clean(shown).splitlines() or [""]
        lines.append(f"  {name}: {first}")
        lines += [f"    {line}" for line in rest]
    return lines


def _prompt(words: str) -> None:
    print(text.for_stream(words, sys.stderr), end="", file=sys.stderr, flush=True)
