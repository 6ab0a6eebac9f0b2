"""What the fake model says: replies, and which of them a request gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from agentkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of a reply."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict[str, Any])
    """An object, or the very text to send, which need not be JSON."""
    id: str = ""
    """"" makes one up in DeepSeek's form."""

    @property
    def text(self) -> str:
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the fake model."""

    content: str = ""
    reasoning: str = ""
    calls: Sequence[Call] = ()
    finish_reason: str | None = None
    """None: ``tool_calls`` with calls, else ``stop``."""
    fault: str | None = None
    """A fault that goes with this step, see ``agentkit.testing.faults``."""

    @classmethod
    def of(cls, step: Reply | Mapping[str, Any] | str) -> Reply:
        """A reply from itself, from the words of a final answer, or from a JSON object.

        The object has the fields of ``Reply``; calls are ``{"name": …, "arguments": …}``.

        Raises:
            UsageError: unknown fields.
        """
        if isinstance(step, Reply):
            return step
        if isinstance(step, str):
            return cls(step)
        try:
            fields = dict(step)
            fields["calls"] = [_call(each) for each in fields.get("calls", ())]
            return cls(**fields)
        except (TypeError, KeyError, ValueError) as error:
            raise UsageError(f"this step of the script is no reply ({error}): {step!r}") from error

    @property
    def finish(self) -> str:
        return self.finish_reason or ("tool_calls" if self.calls else "stop")


def _call(each: Call | Mapping[str, Any]) -> Call:
    return each if isinstance(each, Call) else Call(**each)


Step = Reply | Mapping[str, Any] | str
Answerer = Callable[[dict[str, Any]], Step]
ScriptLike = Sequence[Step] | Mapping[str, Sequence[Step]] | Answerer


class ScriptExhausted(Exception):
    """More requests came than the script has steps."""


class Script:
    """Hands out one reply per request.

    - A list is used up in the order of the requests, whoever sends them.
    - A mapping has one list per conversation: the key is part of its first user text; of several
      that fit, the longest.
    - A list with ``per_conversation`` is played to each first user text from the start.
    - A function gets the request and decides; it is called in the server's thread.
    """

    def __init__(self, script: ScriptLike, *, per_conversation: bool = False) -> None:
        self._answer = script if callable(script) else None
        self._lists: dict[str, list[Reply]] = {}
        self._per_conversation = per_conversation
        self._used: dict[str, int] = {}
        self._lock = threading.Lock()
        if isinstance(script, Mapping):
            table = cast("Mapping[str, Sequence[Step]]", script)
            self._lists = {key: [Reply.of(each) for each in steps] for key, steps in table.items()}
        elif not callable(script):
            self._lists = {"": [Reply.of(each) for each in script]}

    def reply(self, request: dict[str, Any]) -> tuple[Reply, Callable[[], None]]:
        """The next reply and what to call when it was really given.

        Raises:
            ScriptExhausted: no step is left for this conversation.
        """
        if self._answer is not None:
            return Reply.of(self._answer(request)), lambda: None
        first = first_user_text(request)
        fitting = [key for key in self._lists if key in first]
        if not fitting:
            raise ScriptExhausted(f"no script has a key that is part of {first[:80]!r}")
        key = max(fitting, key=len)
        counter = first if self._per_conversation else key
        with self._lock:
            used = self._used.get(counter, 0)
        steps = self._lists[key]
        if used >= len(steps):
            raise ScriptExhausted(f"the script has {len(steps)} steps, and one more was asked for")

        def given() -> None:
            with self._lock:
                self._used[counter] = self._used.get(counter, 0) + 1

        return steps[used], given


def recorded(events: Iterable[Mapping[str, Any]]) -> list[Reply]:
    """The answers of a recorded session, to be played again.

    Args:
        events: the session's events as JSON objects, for instance the lines of an export, or
            ``map(to_dict, read(store, session_id))``. Only ``model.responded`` is looked at.

    Raises:
        UsageError: there is no answer among them, or something is no event.
    """
    replies: list[Reply] = []
    for event in events:
        try:
            if event.get("type") == "model.responded":
                replies.append(_recorded(event))
        except (AttributeError, LookupError, TypeError) as error:
            raise UsageError(f"this is no event of a session ({error}): {event!r}") from error
    if not replies:
        raise UsageError("there is no model.responded among these events")
    return replies


def _recorded(event: Mapping[str, Any]) -> Reply:
    return Reply(
        content=event.get("content", ""),
        reasoning=event.get("reasoning", ""),
        calls=[
            Call(each["name"], each["arguments"], each["id"]) for each in event.get("calls", ())
        ],
        finish_reason=event.get("finish_reason"),
    )


def first_user_text(request: Mapping[str, Any]) -> str:
    """The text of the first user message, which names the conversation."""
    for message in request.get("messages", ()):
        if message.get("role") == "user":
            content = message.get("content")
            return content if isinstance(content, str) else json.dumps(content)
    return str(request.get("prompt", ""))
