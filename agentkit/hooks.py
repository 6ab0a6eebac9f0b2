"""Where callers look into a run, refuse, or append. Nothing already sent can be edited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agentkit.errors import UsageError
from agentkit.events import ModelResponded, RungChanged, ToolFinished
from agentkit.events.tools import Risk


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that is about to run, or has run."""

    id: str
    tool: str
    arguments: Mapping[str, Any]
    writes: bool
    """It may change something."""
    is_shell: bool = False
    """It runs a shell command, or types into one."""
    risk: Risk = ""
    """What it could do, where it was judged."""
    reasons: tuple[str, ...] = ()
    """Why, in words for the person who is asked."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Returned by a hook: the call does not run, and the model reads the reason."""

    reason: str


def appended(hook: str, given: object) -> str:
    """The text that a hook wants appended, "" for none.

    Raises:
        UsageError: it gave something else, for instance messages in place of the history.
    """
    if given is None or isinstance(given, str):
        return given or ""
    raise UsageError(
        f"the hook {hook} returned a {type(given).__name__}; it may return a text, which is"
        " appended, or None: what was sent to the model is never edited, as that would make the"
        " provider read the whole history again at the miss price",
        hint="Return the text that the model is to read next",
    )


Approval = Literal["auto", "ask", "read-only"]
"""``auto`` lets every call run; ``ask`` asks the ``approve`` hook before each call that may
change something; ``read-only`` refuses those."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Plain async callables, each optional. An exception in one ends the run with that error."""

    before_model: Callable[[int], Awaitable[str | None]] | None = None
    """Gets the number of the coming turn; a text is appended as a user-role note."""
    after_model: Callable[[ModelResponded], Awaitable[None]] | None = None
    before_tool: Callable[[Call], Awaitable[Refuse | None]] | None = None
    after_tool: Callable[[Call, ToolFinished], Awaitable[str | None]] | None = None
    """A text is appended to the result before the model reads it."""
    on_escalate: Callable[[RungChanged], Awaitable[Refuse | None]] | None = None
    """Sees each reaction of the ladder, with its prices, before it is carried out; a refusal
    leaves the work as it is."""
    approve: Callable[[Call], Awaitable[bool | Refuse]] | None = None
    """Answers where the policy asks, however long it takes; ``Session.approve`` may be quicker,
    then this is cancelled. Without it the run stops and waits (status ``waiting``)."""
