"""The live view: a story that scrolls, and below it what is going on at the moment.

Nothing that a model or a command wrote is ever read as markup: all of it goes through
``rich.text.Text``, after ``text.clean``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agentkit import events as e
from agentkit.cli import text
from agentkit.cli.story import Line, plan, story
from agentkit.cli.views import Plain
from agentkit.models.types import Usage

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {
    "plain": "",
    "dim": "dim",
    "bold": "bold",
    "good": "green",
    "bad": "red",
    "warn": "yellow",
}
_TAIL = 5
_PER_SECOND = 8


class Now:
    """What is going on, folded from events."""

    def __init__(self) -> None:
        self.doing = "starting"
        self.rung = ""
        self.steps: tuple[e.JsonObject, ...] = ()
        self.output = ""
        self.turns = 0
        self.usage = Usage()
        self.cost = 0.0
        self.started = time.monotonic()
        self.running: dict[str, str] = {}

    def take(self, event: e.Event) -> None:
        match event:
            case e.LaneOpened():
                rung = event.rung
                thinks = rung.get("effort") if rung.get("thinking") else "non-thinking"
                self.rung = f"{rung.get('model')}·{thinks}"
            case e.RungChanged():
                self.rung = event.to_rung
            case e.ModelRequested():
                again = f", attempt {event.attempt}" if event.attempt > 1 else ""
                self.doing, self.output = f"waiting for {event.model}{again}", ""
            case e.ModelDelta():
                verb = {"reasoning": "thinking", "content": "writing", "call": "calling"}
                self.doing = verb[event.kind]
                self.output = (self.output + event.text)[-4_000:] if event.kind != "call" else ""
            case e.ModelResponded():
                self.turns += 1
                self._spend(event.usage, event.cost_usd)
                self.output = ""
            case e.ModelFailed():
                self._spend(event.usage, event.cost_usd)
                self.doing = f"waiting after {event.error}"
            case e.ToolStarted():
                self.running[event.call_id] = text.call_line(event.tool, event.arguments)
                self._run_on()
            case e.ToolOutput():
                self.output = (self.output + event.text)[-4_000:]
            case e.ToolFinished():
                self.running.pop(event.call_id, None)
                self.output = ""
                self._run_on()
            case e.PlanUpdated():
                self.steps = event.steps
            case e.ApprovalAsked():
                self.doing = "waiting for your answer"
            case _:
                pass

    def _spend(self, usage: Usage, cost: float) -> None:
        self.usage += usage
        self.cost += cost

    def _run_on(self) -> None:
        # The first that began is the one that the others may wait for.
        self.doing = next(iter(self.running.values()), "checking")

    def totals(self) -> list[str]:
        used = self.usage
        return [
            *([self.rung] if self.rung else []),
            f"turn {self.turns}",
            f"{text.tokens(used.prompt_tokens + used.completion_tokens)} tokens",
            f"{text.percent(used.hit_ratio)} cached",
            text.dollars(self.cost),
            text.seconds(time.monotonic() - self.started),
        ]


class Live:
    """A view for terminals. The screen is taken at the first request, for a quick start."""

    def __init__(self) -> None:
        self._plain = Plain()
        self._now = Now()
        self._screen: Any = None
        self._console: Any = None

    def event(self, event: e.Event) -> None:
        self._now.take(event)
        if isinstance(event, e.SessionFinished):
            self.close()
        elif self._screen is None and isinstance(event, e.ModelRequested | e.ToolStarted):
            self._open()
        self.lines(story(event))

    def say(self, line: str) -> None:
        self.lines([Line(text.clean(line))])

    aside = say

    def lines(self, lines: Iterable[Line]) -> None:
        if self._console is None:
            self._plain.lines(lines)
            return
        shown = [_text(line) for line in lines]
        if shown:
            from rich.console import Group

            self._console.print(Group(*shown))

    def pause(self) -> None:
        """Give the screen back until the next request or call."""
        if self._screen is not None:
            self._screen.stop()
            self._screen = None

    close = pause

    def _open(self) -> None:
        from rich.console import Console
        from rich.live import Live as Screen

        self._console = self._console or Console(markup=False, highlight=False, emoji=False)
        self._screen = Screen(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._screen.start()

    def _render(self) -> RenderableType:
        from rich.console import Group

        now = self._now
        tail = deque(text.overwritten(now.output).splitlines(), maxlen=_TAIL)
        lines = [Line(f"    {line}", "dim") for line in tail if line.strip()]
        return Group(
            *map(_row, plan(now.steps)),
            *map(_row, lines),
            _row(Line(f"● {text.clip(text.clean(now.doing), 300)}", "bold")),
            _wrapped(Line(" · ".join(now.totals()), "dim")),
        )


def _text(line: Line) -> Any:
    from rich.text import Text

    return Text(text.for_stream(line.text), style=_STYLES[line.style])


def _row(line: Line) -> Any:
    """One line of the screen, cut at its edge."""
    row = _text(line)
    row.no_wrap, row.overflow = True, "ellipsis"
    return row


def _wrapped(line: Line) -> Any:
    return _text(line)
