"""What requests and answers hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from agentkit.events.tools import Risk

Command = Annotated[str, Field(min_length=1, max_length=10_000)]
Checks = Annotated[list[Command], Field(max_length=50)]


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: 2.0 is an integer, too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Turn = Annotated[int, Field(ge=0), BeforeValidator(_whole)]
State = Literal["idle", "queued", "running", "elsewhere"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewSession(_Body):
    """A session to begin."""

    model_config = ConfigDict(json_schema_extra={
        "if": {"properties": {"checks": {"minItems": 1}}, "required": ["checks"]},
        "then": {"properties": {"message": {"pattern": r"\S"}}, "required": ["message"]},
    })  # fmt: skip

    message: str = Field("", description="The task; without one the session waits for it.")
    checks: Checks = Field([], description="Commands that must exit 0 before the run may finish.")
    metadata: dict[str, Any] = Field({}, description="Kept with the session; the agent's maker may"
                                     " decide by it.")  # fmt: skip


class NewMessage(_Body):
    """Something to work on."""

    message: str = Field("", description="Empty: go on where the last run stopped.")
    checks: Checks = Field([], description="Commands that must exit 0 before the run may finish.")


class _AgUi(BaseModel):
    """What front ends of the AG-UI protocol send. Later versions may say more."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)


class AgUiMessage(_AgUi):
    """A message of the conversation."""

    role: str
    content: str | list[dict[str, Any]] | dict[str, Any] | None = None


class AgUiTool(_AgUi):
    """A tool of the front end; not offered to the model."""

    name: str


class AgUiContext(_AgUi):
    """Something that the front end wants known."""

    description: str
    value: str


class AgUiAnswer(_AgUi):
    """A yes or a no."""

    allow: bool
    reason: Annotated[str, Field(max_length=10_000)] = ""


class AgUiResume(_AgUi):
    """An answer to what an earlier run asked; `cancelled` is a no."""

    interrupt_id: str
    status: Literal["resolved", "cancelled"]
    payload: bool | AgUiAnswer | None = None


class AgUiInput(_AgUi):
    """A run as front ends of the AG-UI protocol ask for it (`RunAgentInput`)."""

    thread_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = Field(
        description="The session; a new one where there is none of that id."
    )
    run_id: Annotated[str, Field(min_length=1, max_length=200)]
    messages: list[AgUiMessage] = Field(
        description="The conversation; what the user said last is taken."
    )
    tools: list[AgUiTool] | None = None
    context: list[AgUiContext] | None = None
    resume: list[AgUiResume] | None = None


class Steer(_Body):
    """A word in mid-run."""

    text: Annotated[str, Field(pattern=r"\S")]


class Fork(_Body):
    """Where to fork."""

    turn: Turn | None = Field(None, description="At the end of this turn; the last one by default.")


class Undo(_Body):
    """How far to go back."""

    to_turn: Turn | None = Field(
        None, description="To the end of this turn; by default before the last message."
    )
    files: bool = Field(True, description="Put the workspace back too.")


class Answer(_Body):
    """A yes or a no."""

    allow: bool
    reason: Annotated[str, Field(max_length=10_000)] = Field(
        "", description="Of a no: the model reads it."
    )


class Nothing(_Body):
    """No fields."""


class Question(BaseModel):
    """A call that waits for an answer."""

    call: str
    tool: str
    arguments: dict[str, Any] = Field(description="What would run, exactly.")
    risk: Risk = Field(default="", description="Of what it could do; empty where not judged.")
    reasons: list[str] = Field(default=[], description="Why, for the person who is asked.")


class SessionView(BaseModel):
    """A session."""

    id: str
    created: str
    updated: str
    title: str = Field(description="The start of the first task.")
    status: str = Field(description="How the last run ended; `open` where it has not, or none was.")
    state: State = Field(
        description="What this server does with it; `elsewhere`: another process works on it."
    )
    events: int = Field(description="The `seq` of its last event.")
    cost_usd: float
    questions: list[Question] = Field(default=[], description="Calls that wait for an answer.")
    metadata: dict[str, Any] = {}
    output: str | None = Field(
        default=None, description="What the last run said, where it has ended."
    )
    data: Any = Field(default=None, description="Its structured result, where the agent has one.")


class Sessions(BaseModel):
    """A page of sessions, the last used first."""

    sessions: list[SessionView]
    next: str | None = Field(description="Give it as `cursor` for the next page.")


class Taken(BaseModel):
    """What was asked for is taken in."""

    session_id: str
    state: State


class Branched(BaseModel):
    """A session that goes on from an earlier point of another."""

    session_id: str
    parent: str
    turn: int = Field(description="Answers of the model that it has.")
    files: int = Field(default=0, description="Paths of the workspace that were put back.")


RequestKind = Literal["answer", "advice", "failure"]


class RequestView(BaseModel):
    """One request to the model."""

    seq: int = Field(description="Of the event that ended it.")
    time: str
    lane: str
    turn: int = Field(description="Answers that the session had after it.")
    kind: RequestKind = Field(description="`advice` is an answer beside the history.")
    rung: str
    hit: int = Field(description="Input tokens read from the provider's cache.")
    miss: int = Field(description="Input tokens read without it.")
    expected: int | None = Field(
        description="Tokens that our model of the cache expected to hit; null: it knows none."
    )
    output: int
    cost_usd: float
    seconds: float
    inherited: bool = Field(default=False, description="Made and paid before a fork or an undo.")


class ToolTime(BaseModel):
    """All calls of one tool."""

    tool: str
    calls: int = 0
    failed: int = 0
    seconds: float = 0.0


class AccountView(BaseModel):
    """What a session cost and why."""

    session_id: str
    upto: int = Field(description="`seq` of the last event that is counted.")
    rung: str = Field(description="On which work goes on.")
    lane: str
    turns: int = Field(description="Answers of the model.")
    cost_usd: float
    priced: bool = Field(description="False: part of it is of unknown price.")
    usage: dict[str, Any] = Field(description="Tokens of all requests.")
    cache: dict[str, Any] = Field(
        description="Hits in all and by lane, beside what was expected; what misses and broken"
        " prefixes cost."
    )
    tools: list[ToolTime] = Field(description="The longest first.")
    requests: list[RequestView] = Field(description="Empty with `requests=false`.")


class ChangedFile(BaseModel):
    """A path that a turn changed."""

    path: str
    what: Literal["added", "deleted", "changed", "mode"]
    plus: int | None = Field(description="Lines added; null where they are not counted.")
    minus: int | None


class Changes(BaseModel):
    """What a turn changed in the workspace."""

    turn: int = Field(description="0 where none changed anything.")
    files: list[ChangedFile]
    patch: str = Field(description="In git's format.")
    cut: int = Field(description="Characters of it that are left out.")


class Health(BaseModel):
    """The service lives."""

    status: Literal["ok"]


class ProblemView(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
