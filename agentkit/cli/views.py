"""Who watches a run: plain lines, or one JSON object per line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Protocol, TextIO

from agentkit.cli import text
from agentkit.cli.story import Line, story
from agentkit.events import Event, to_dict


class View(Protocol):
    """Shows a run. ``say`` and ``error`` are for lines that are no events."""

    def event(self, event: Event) -> None: ...
    def say(self, line: str) -> None:
        """A line of ours: header, progress of slow preparations, summary."""
        ...

    def aside(self, line: str) -> None:
        """A line about now, not about the run: what is being prepared, that it stops."""
        ...

    def lines(self, lines: Iterable[Line]) -> None: ...
    def pause(self) -> None:
        """Leave the screen alone: somebody is to be asked something."""
        ...

    def close(self) -> None: ...


class Plain:
    """Lines on standard output, as they happen, without colour and without moving the cursor."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def event(self, event: Event) -> None:
        self.lines(story(event))

    def say(self, line: str) -> None:
        self.lines([Line(text.clean(line))])

    def aside(self, line: str) -> None:
        self.say(line)

    def lines(self, lines: Iterable[Line]) -> None:
        shown = [text.for_stream(line.text, self._stream) for line in lines]
        if shown:
            print("\n".join(shown), file=self._stream, flush=True)

    def pause(self) -> None:
        pass

    def close(self) -> None:
        pass


class Json:
    """One event per line on standard output; everything else on standard error."""

    def __init__(self, *, deltas: bool) -> None:
        self._deltas = deltas
        self._aside = Plain(sys.stderr)

    def event(self, event: Event) -> None:
        if event.stored or self._deltas:
            # ASCII, so that no encoding of the pipe can break it.
            print(json.dumps(to_dict(event), separators=(",", ":")), flush=True)

    def say(self, line: str) -> None:
        pass

    def aside(self, line: str) -> None:
        self._aside.say(line)

    def lines(self, lines: Iterable[Line]) -> None:
        pass

    def pause(self) -> None:
        pass

    def close(self) -> None:
        pass


def make_view(*, as_json: bool, deltas: bool) -> View:
    """The view that fits to what standard output is."""
    if as_json:
        return Json(deltas=deltas)
    if sys.stdout.isatty():
        from agentkit.cli.live import Live

        return Live()
    return Plain()
