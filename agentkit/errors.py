"""Every error agentkit raises, in one tree.

    AgentkitError
    ├── UsageError            wrong arguments or configuration                     exit 2
    │   ├── ToolServerError   an MCP server that is needed cannot be reached       exit 2
    │   └── SessionError      no such session, an ambiguous id                     exit 2
    │       ├── SessionInUse  another living process works on it
    │       ├── AlreadyAnswered  the call's approval was given or declined before
    │       ├── NotAsked      no call of this id waits for an approval
    │       └── PrefixChanged the next request would not extend the last one
    ├── TaskFailed            ended without achieving the task                     exit 1
    │   └── UnusableAnswer    empty, leaked markup, broken calls without end       exit 1
    ├── LimitReached          money, turns, tokens or time used up                 exit 3
    ├── ApprovalNeeded        a call waits for a yes, and nobody is there to ask   exit 6
    ├── ModelError            the provider did not give an answer                  exit 4
    │   ├── AuthenticationFailed   401, 403
    │   ├── BalanceEmpty           402, or a 429 that speaks of the balance at zero
    │   ├── RequestInvalid         400, 413, 422
    │   │   ├── ModelUnknown       the name is not served
    │   │   │   └── ModelRetired   it was, until a known date; the hint names its successor
    │   │   └── ContextOverflow    the history does not fit the window
    │   ├── ContentRefused         the provider's filter stopped the answer
    │   └── TransientModelError    worth trying again with the same bytes
    │       ├── RateLimited        429
    │       │   └── ConcurrencyLimited  429 that states how many parallel requests are allowed
    │       ├── Overloaded         503, insufficient_system_resource, aborted
    │       ├── ServerFault        500, 502, 504
    │       ├── Unreachable        no route, refused, reset before the answer
    │       ├── StreamCut          the answer broke off
    │       └── Stalled            silence past the idle limit
    ├── SandboxError          the sandbox cannot do its work                       exit 5
    │   ├── EngineUnavailable no engine answers, or it stopped answering
    │   ├── ImageError        missing, cannot be built, has no /bin/sh
    │   ├── WorkspaceError    missing, not a folder, unreadable, or not allowed
    │   ├── SandboxGone       the container was removed or has died
    │   └── FileError         one path could not be read or written
    ├── StoreError            sessions cannot be written or read                   exit 1
    │   └── LogDamaged        an event is not what was written, or is missing
    └── ToolError             a tool's own words to the model; never ends a run

Each message says what happened; ``tried`` says what was attempted; ``hint`` says what to do
next. ``str()`` joins the three, so a single line is enough for a person at a terminal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class AgentkitError(Exception):
    """Base of every error of this package.

    Args:
        what: what happened, as a sentence without a full stop.
        tried: what was attempted, if that helps.
        hint: what the reader can do next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, tried: str = "", hint: str = "") -> None:
        self.what = what
        self.tried = tried
        self.hint = hint
        super().__init__(what, tried, hint)

    def __str__(self) -> str:
        parts = [self.what]
        if self.tried:
            parts.append(f"Tried: {self.tried}")
        if self.hint:
            parts.append(self.hint)
        return ". ".join(part.rstrip(".") for part in parts) + "."


class UsageError(AgentkitError):
    """The caller's arguments or configuration cannot be used."""

    exit_code = 2


class ToolServerError(UsageError):
    """An MCP server that the agent needs did not start, or did not answer."""


class SessionError(UsageError):
    """The named session does not exist, is ambiguous, or is in use."""


class SessionInUse(SessionError):
    """Another process, which lives, works on the session.

    Attributes:
        owner: which process on which machine, in words.
    """

    def __init__(self, session_id: str, owner: str, *, ends: float | None = None) -> None:
        self.owner = owner
        hint = "Wait for its end, or stop it, then try again"
        if ends is not None:
            hint += f"; if it is dead, its lease ends in {max(1, round(ends))} s"
        super().__init__(f"session {session_id} is in use by {owner}", hint=hint)


class AlreadyAnswered(SessionError):
    """A question can be answered once."""

    def __init__(self, call_id: str, *, allowed: bool) -> None:
        self.call_id = call_id
        self.allowed = allowed
        super().__init__(
            f"the call {call_id} was {'approved' if allowed else 'declined'} already",
            hint="The first answer holds",
        )


class NotAsked(SessionError):
    """The call waits for no approval."""


class PrefixChanged(SessionError):
    """The next request would not extend the lane's last one, so the cache would be cold."""


class TaskFailed(AgentkitError):
    """The run ended without achieving its task."""

    exit_code = 1


class UnusableAnswer(TaskFailed):
    """The model kept answering with nothing that can be used."""


class LimitReached(AgentkitError):
    """A hard limit was reached; the session can be resumed with a larger one."""

    exit_code = 3

    def __init__(self, limit: str, used: float, allowed: float, *, hint: str = "") -> None:
        self.limit = limit
        self.used = used
        self.allowed = allowed
        super().__init__(f"the {limit} limit was reached ({used:g} of {allowed:g})", hint=hint)


class ApprovalNeeded(AgentkitError):
    """A call waits for somebody's yes, and nobody is there to ask; the session can be resumed.

    Attributes:
        calls: ids of the calls that wait.
    """

    exit_code = 6

    def __init__(self, session_id: str, calls: Mapping[str, str]) -> None:
        self.calls = tuple(calls)
        names = ", ".join(f"{tool} ({call_id})" for call_id, tool in calls.items())
        super().__init__(
            f"approval is needed for {names}",
            tried="nobody is here to ask; nothing of it was executed",
            hint=f"Answer with `agentkit sessions approve {session_id} {self.calls[0]}`, or"
            " --deny --reason WHY, and resume the session",
        )


class ModelError(AgentkitError):
    """The model provider did not give an answer.

    Attributes:
        status: the HTTP status, or None where none was received.
        retry_after: seconds the provider asked us to wait, or None.
        request_id: the provider's own id of the request, "" where it named none.
    """

    exit_code = 4

    def __init__(
        self,
        what: str,
        *,
        tried: str = "",
        hint: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(what, tried=tried, hint=hint)
        self.status = status
        self.retry_after = retry_after
        self.request_id = request_id


class AuthenticationFailed(ModelError):
    """The provider refused the key."""


class BalanceEmpty(ModelError):
    """The account has no money left."""


class RequestInvalid(ModelError):
    """The provider says that the request is wrong; sending it again cannot help."""


class ModelUnknown(RequestInvalid):
    """The provider does not serve a model of this name."""


class ModelRetired(ModelUnknown):
    """The name was served until a known date; the hint names what took its place."""


class ContextOverflow(RequestInvalid):
    """The history and the answer's limit together exceed the model's window."""


class ContentRefused(ModelError):
    """The provider's content filter stopped the answer."""


class TransientModelError(ModelError):
    """A fault that the same bytes, sent again, may not meet."""


class RateLimited(TransientModelError):
    """Too many requests."""


class ConcurrencyLimited(RateLimited):
    """Too many requests at once; the endpoint's limiter follows the stated number.

    Attributes:
        concurrency: the number of parallel requests that the provider says it allows. DeepSeek
            lowers it with the account's balance (seen 2026-10).
    """

    def __init__(
        self,
        what: str,
        *,
        tried: str = "",
        hint: str = "",
        status: int | None = 429,
        retry_after: float | None = None,
        request_id: str = "",
        concurrency: int,
    ) -> None:
        super().__init__(
            what,
            tried=tried,
            hint=hint,
            status=status,
            retry_after=retry_after,
            request_id=request_id,
        )
        self.concurrency = concurrency


class Overloaded(TransientModelError):
    """The provider has no capacity at the moment."""


class ServerFault(TransientModelError):
    """The provider failed on its side."""


class Unreachable(TransientModelError):
    """No connection to the provider, or it broke before the answer began."""


class StreamCut(TransientModelError):
    """The answer broke off before its end; nothing of it was executed."""


class Stalled(TransientModelError):
    """The provider was silent for longer than the idle limit."""


class SandboxError(AgentkitError):
    """The sandbox cannot do its work."""

    exit_code = 5


class EngineUnavailable(SandboxError):
    """No container engine answers, or it stopped answering in mid-run."""


class ImageError(SandboxError):
    """The image is missing, cannot be built, or has no ``/bin/sh``."""


class WorkspaceError(SandboxError):
    """The workspace is missing, not a folder, unreadable, or not allowed."""

    exit_code = 2


class SandboxGone(SandboxError):
    """The sandbox was removed or has died; what it held in memory is lost."""


class FileError(SandboxError):
    """One path inside the sandbox could not be read or written.

    Attributes:
        path: the path as it was asked for.
        reason: ``missing``, ``directory``, ``denied``, ``too-large``, ``no-space``,
            ``outside`` or ``other``.
    """

    def __init__(self, path: str, reason: str, what: str, *, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.path = path
        self.reason = reason


class StoreError(AgentkitError):
    """The session store cannot be read or written."""

    exit_code = 1


class LogDamaged(StoreError):
    """A session's log is not the one that was written.

    Attributes:
        session_id: whose log.
        seq: the first event that is missing, added or changed.
        intact: the last event before it; everything up to there is as it was written.
    """

    def __init__(self, session_id: str, seq: int, problem: str) -> None:
        self.session_id = session_id
        self.seq = seq
        self.intact = seq - 1
        super().__init__(
            f"the log of session {session_id} is damaged: event {seq} {problem}",
            hint=f"Events 1 to {seq - 1} are intact: `agentkit sessions check {session_id}"
            f" --rescue` makes a session of them"
            if seq > 1
            else "Nothing of it can be trusted; take it from a backup",
        )


class ToolError(AgentkitError):
    """Raise it in a tool to give the model words of your own; the run goes on.

    Args:
        data: facts for the log, never shown to the model; ``{"evidence": "edit-not-applied"}``
            tells the ladder what kind of failure it was.
    """

    def __init__(self, message: str, *, data: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.data: Mapping[str, Any] = data or {}

    def __str__(self) -> str:
        return self.what
