"""Play a recorded session again, offline, and find where it goes another way.

The model's answers come from the log, through ``FakeDeepSeek`` over HTTP: client, loop, dispatch
and history are the real ones. Tools answer from the log, or run live. Then both logs are compared
event by event; with tools from the log, each request must have the very bytes that it had.

    report = await replay(read_file(Path("session.jsonl")))
    assert report.drift is None, report
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from anyio.lowlevel import checkpoint

from agentkit import events as e
from agentkit.agent import Agent
from agentkit.checkpoints.folder import Bounds
from agentkit.errors import AgentkitError, SessionError, ToolError
from agentkit.escalation.policy import Policy
from agentkit.hooks import Call as AskedCall
from agentkit.hooks import Hooks, Refuse
from agentkit.ladder import Ladder, Rung
from agentkit.limits import Limits
from agentkit.log import read
from agentkit.models.types import ToolCall
from agentkit.sandbox import Capabilities, ExecResult, Output
from agentkit.session import Session
from agentkit.state import State
from agentkit.stores.memory import MemoryStore
from agentkit.testing.script import Call, Reply
from agentkit.testing.server import FakeDeepSeek
from agentkit.tool import PLAN, READS_ALL, WRITES_ALL, Tool, ToolContext, ToolResult

Tools = Literal["log", "live"]

_FIELDS: dict[str, tuple[str, ...]] = {
    "lane.opened": ("system", "tools"),
    "message": ("text", "source"),
    "steered": ("text",),
    "model.requested": ("model", "prefix"),
    "model.responded": ("content", "reasoning", "calls", "finish_reason"),
    "tool.started": ("call_id", "tool", "arguments"),
    "tool.finished": ("call_id", "tool", "status", "content"),
    "check.passed": ("command",),
    "check.failed": ("command", "exit_code"),
    "session.finished": ("status", "exit_code"),
}
"""What is compared. Times, costs, places and what the provider served may differ."""

_SURROUNDINGS = (
    "[The sandbox was replaced",
    "[The session goes on in the sandbox",
    "[The workspace was put back",
    "[The user took back",
    "[There are ",
    "[Used so far: ",
    "[It is now ",
    "[Since you last worked, ",
    "[AGENTS.md was ",
)
"""Starts of notes that tell of the world, which a replay does not have."""


_STOPPED = ("cancelled", "unknown", "limit", "error")
"""How runs and calls end that were stopped from outside."""
_UNANSWERED = ("model.requested", "session.finished")
"""What follows on a request that got no answer."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The first place where the replay differs."""

    seq: int | None
    """Of the recorded event; None where the replay went on longer."""
    type: str
    field: str
    """"" where the events are of different kinds."""
    recorded: str
    replayed: str

    def __str__(self) -> str:
        where = f"event {self.seq} ({self.type})" if self.seq is not None else f"a {self.type} more"
        field = f", field {self.field!r}" if self.field else ""
        return f"{where}{field}: recorded {self.recorded}, replayed {self.replayed}"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found."""

    compared: int
    """Events that were alike, or both were looked at before the drift."""
    turns: int
    drift: Drift | None
    rebuilt: int = 0
    """Requests of all lanes that the log determines byte for byte."""
    until: str = ""
    """Where playing ended before the session's end, and why; "" where all of it was played."""


def read_file(path: Path) -> list[e.Event]:
    """The events of a file that ``sessions export --format jsonl`` wrote.

    Raises:
        SessionError: it cannot be read, or a line is no event; which one, and why.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SessionError(f"{path} cannot be read: {error}") from error
    events: list[e.Event] = []
    for number, line in enumerate(lines, 1):
        try:
            events.append(e.from_dict(json.loads(line)))
        except (ValueError, TypeError, AttributeError) as error:
            raise SessionError(
                f"line {number} of {path} is no event: {error}",
                hint="Give a file that `agentkit sessions export --format jsonl` wrote",
            ) from error
    if [each.seq for each in events] != list(range(1, len(events) + 1)):
        raise SessionError(
            f"{path} is no whole session: its events are not numbered 1 to {len(events)}"
        )
    return events


async def replay(
    events: Sequence[e.Event], agent: Agent | None = None, *, tools: Tools = "log"
) -> Replayed:
    """Play the session again and compare, and rebuild each request of it from the log.

    What is played ends where the work goes to another lane (``Replayed.until``): a climb, a plan,
    a subagent or a fold rests on prices, times and sizes of then. Requests are rebuilt to the end.

    Args:
        agent: whose definition to use, with its hooks and ladder; None makes one of the log.
        tools: ``log`` gives the recorded results, ``live`` runs the agent's own tools.

    Raises:
        SessionError: nothing was asked in this session, or live tools were asked of no agent.
    """
    opened = next((each for each in events if isinstance(each, e.LaneOpened)), None)
    if opened is None:
        raise SessionError("this session has no request that could be played again")
    if tools == "live" and agent is None:
        raise SessionError(
            "live tools need an agent that has them", hint="Give one, or tools='log'"
        )
    played, until = _one_lane(events)
    answers = [each for each in played if isinstance(each, e.ModelResponded | e.ModelAdvised)]
    with (
        FakeDeepSeek([_reply(each) for each in answers]) as server,
        TemporaryDirectory(prefix="agentkit-replay-") as folder,
    ):
        prepared = _prepared(agent, played, opened, server.base_url)
        if tools == "log":
            prepared = _recorded(prepared, played, opened, Path(folder))
        replayed = await _Player(played, prepared).play()
    compared, drift = compare(played, replayed, exact=tools == "log", whole=not until)
    rebuilt, broken = rebuild(events)
    return Replayed(compared, len(answers), drift or broken, rebuilt, until)


def rebuild(events: Sequence[e.Event]) -> tuple[int, Drift | None]:
    """Derive each request from the log: how many have the bytes that were sent, and which has not.

    Requests that sent a part of their lane's history, as summaries of a fold do, are left out.
    """
    state, rebuilt = State(), 0
    for event in events:
        state.apply(event)
        if isinstance(event, e.ModelRequested) and event.upto is None:
            prefix = state.lanes[event.lane].prefix
            if prefix != event.prefix:
                return rebuilt, Drift(event.seq, event.type, "prefix", event.prefix, prefix)
            rebuilt += 1
    return rebuilt, None


def _one_lane(events: Sequence[e.Event]) -> tuple[Sequence[e.Event], str]:
    """The events before another lane has a part in the work, and where and why they end."""
    lanes = 0
    for index, event in enumerate(events):
        lanes += isinstance(event, e.LaneOpened)
        what = ""
        if isinstance(event, e.RungChanged) and event.form != "note":
            what = f"{event.form} to {event.to_rung}"
        elif lanes > 1 or isinstance(event, e.Folded):
            what = f"lane {event.lane}"
        if what:
            return events[:index], f"event {event.seq} ({event.type}, {what})"
    return events, ""


def _reply(event: e.ModelResponded | e.ModelAdvised) -> Reply:
    if isinstance(event, e.ModelAdvised):
        return Reply(event.content)
    calls = [Call(each.name, each.arguments, each.id) for each in event.calls]
    return Reply(event.content, event.reasoning, calls, event.finish_reason)


def _prepared(
    agent: Agent | None, events: Sequence[e.Event], opened: e.LaneOpened, url: str
) -> Agent:
    """The agent at the fake server, without limits: what they said is in the log."""
    rung = replace(Rung(**opened.rung), base_url="", api_key_env="")
    if agent is None:
        started = next((x for x in events if isinstance(x, e.SessionStarted)), None)
        agent = Agent(started.agent if started else "replay", instructions=opened.system)
    policy = agent.ladder.policy
    if not any(isinstance(each, e.RungChanged) for each in events):
        policy = replace(
            policy or Policy(), forms=frozenset()
        )  # nothing was reacted to, whatever its policy
    return replace(
        agent,
        ladder=Ladder("replay", (rung,), policy=policy),
        base_url=url,
        api_key="replay",
        user_id=opened.user_id,
        store=MemoryStore(),
        limits=Limits(cost_usd=None, turns=None, tokens=None, deadline=None),
        checkpoints=Bounds(files=0),
    )


def _recorded(agent: Agent, events: Sequence[e.Event], opened: e.LaneOpened, folder: Path) -> Agent:
    """The agent with tools, answers of people and checks as the log has them."""
    results = _Results(events)
    return replace(
        agent,
        tools=[results.tool(dict(entry["function"])) for entry in opened.tools],
        hooks=Hooks(before_tool=results.refusal),
        approval="auto",
        sandbox=_Recorded(events, folder),
        output_type=None,
        briefing=None,
        instructions=opened.system,
        checks=(),
        checkpoints=Bounds(),
    )


class _Results:
    """What the recorded calls came to."""

    def __init__(self, events: Sequence[e.Event]) -> None:
        self.by_call: dict[str, list[e.ToolFinished]] = {}
        self.plans: dict[str, tuple[tuple[str, ...], e.PlanUpdated]] = {}
        """By call, the plan that it set, and the checks that were looked at before."""
        self.invalid: dict[tuple[str, str], str] = {}
        """By tool and arguments, what was wrong with them."""
        self.writers: set[str] = set()
        self.enders: set[str] = {"finish"}
        asked: dict[str, ToolCall] = {}
        looked_at: list[str] = []
        planning: list[e.ToolStarted] = []
        for each in events:
            if isinstance(each, e.ModelResponded):
                asked.update({call.id: call for call in each.calls})
            elif isinstance(each, e.CheckPassed | e.CheckFailed):
                looked_at.append(each.command)
            elif isinstance(each, e.ToolStarted) and each.tool == "plan":
                planning.append(each)  # several of one answer take turns
                looked_at = looked_at if len(planning) > 1 else []
            elif isinstance(each, e.PlanUpdated):
                while planning and _names(planning[0].arguments["steps"]) != _names(each.steps):
                    planning.pop(0)  # that one was refused
                if planning:
                    self.plans[planning.pop(0).call_id] = tuple(looked_at), each
                looked_at = []
            elif isinstance(each, e.ToolFinished):
                self._take(each, asked.get(each.call_id))
                planning = [other for other in planning if other.call_id != each.call_id]

    def _take(self, finished: e.ToolFinished, call: ToolCall | None) -> None:
        if finished.status == "invalid":
            if call is not None:
                said = finished.content.removeprefix(NOT_EXECUTED)
                self.invalid[call.name, _key(call.arguments)] = said
            return
        self.by_call.setdefault(finished.call_id, []).append(finished)
        if finished.writes:
            self.writers.add(finished.tool)
        if finished.tool != "plan" and finished.data.keys() & {"achieved", "checks_failed"}:
            self.enders.add(finished.tool)

    async def refusal(self, call: AskedCall) -> Refuse | None:
        """As a hook or a person refused it."""
        waiting = self.by_call.get(call.id)
        if waiting and waiting[0].status == "refused":
            return Refuse(waiting.pop(0).content.removeprefix(NOT_EXECUTED))
        return None

    def tool(self, function: Mapping[str, Any]) -> Tool:
        """A tool with the recorded schema, which gives the recorded results."""
        name = str(function["name"])
        claims = (WRITES_ALL if name in self.writers else READS_ALL, *((PLAN,) * (name == "plan")))

        async def run(context: ToolContext, _arguments: dict[str, Any]) -> ToolResult:
            waiting = self.by_call.get(context.call_id)
            if not waiting:
                return ToolResult("[this call has no recorded result]", ok=False)
            recorded = waiting.pop(0)
            if context.call_id in self.plans:
                checks, plan = self.plans[context.call_id]
                await context.run_checks(checks)
                context.update_plan([dict(step) for step in plan.steps])
            # Checks that kept the run from its end are looked at again.
            held = name in self.enders and "checks_failed" in recorded.data
            return ToolResult(
                recorded.content, held or recorded.status == "done", "", recorded.data
            )

        def check(arguments: dict[str, Any]) -> dict[str, Any]:
            wrong = self.invalid.get((name, _key(json.dumps(arguments))))
            if wrong is not None:
                raise ToolError(wrong)
            return arguments

        return Tool(
            name,
            str(function.get("description", "")),
            function.get("parameters") or {"type": "object", "properties": {}},
            run,
            check=check,
            claims=lambda _: claims,
            ends_run=name in self.enders,
        )


NOT_EXECUTED = "ERROR: not executed. "


def _key(arguments: str) -> str:
    """Arguments in one spelling."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except ValueError:
        return arguments


def _names(steps: Iterable[Any]) -> list[str]:
    return [str(each["step"]) for each in steps]


class _Recorded:
    """A provider and sandbox in one, in which checks end as they are recorded to have ended.

    Its folder holds only the files that checks changed, so that they are seen to be changed again.
    """

    workdir = "/recorded"
    description = "recorded"
    capabilities = Capabilities(isolated=True)

    def __init__(self, events: Sequence[e.Event], folder: Path) -> None:
        self.host_workspace = folder
        self._checks = [x for x in events if isinstance(x, e.CheckPassed | e.CheckFailed)]
        self.ref: dict[str, str] = {}

    async def open(self, session_id: str, **_: Any) -> Any:
        return self

    async def exec(self, command: str, **_: Any) -> ExecResult:
        for index, each in enumerate(self._checks):
            if each.command == command:
                del self._checks[index]
                self._change(each.changed, len(self._checks))
                if isinstance(each, e.CheckPassed):
                    return ExecResult(0, Output())
                head = each.output.encode("utf-8", "surrogateescape")
                return ExecResult(each.exit_code, Output(head, total=len(head)))
        return ExecResult(1, Output())

    def _change(self, paths: Sequence[str], left: int) -> None:
        for path in paths:
            file = self.host_workspace / path
            if ".." not in file.parts and file.is_relative_to(self.host_workspace):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{left} checks before the end")

    async def close(self) -> None:
        """Nothing is open."""


class _Player:
    """Says in a new session what people said in the recorded one, at the same places."""

    def __init__(self, events: Sequence[e.Event], agent: Agent) -> None:
        self._events = events
        self._agent = replace(agent, hooks=_with(agent.hooks, self._before_model))
        self._words = _words_by_request(events)
        self._requests = 0
        self._left: int | None = None
        """Answers until the recorded run was stopped from outside."""
        self._live: Session | None = None

    async def play(self) -> list[e.Event]:
        async with self._agent.session() as session:
            self._live = session
            for run in _runs(self._events):
                self._left = run.answers if run.stopped else None
                try:
                    await session.run(run.message, checks=run.checks)
                except AgentkitError:
                    break  # it is in the log, and so a drift, or it was recorded too
            return read(session.store, session.id)

    async def _before_model(self, _turn: int) -> None:
        words = self._words[self._requests] if self._requests < len(self._words) else []
        self._requests += 1
        assert self._live is not None
        if self._left is not None:
            self._left -= 1
        for each in words:
            if isinstance(each, e.Steered):
                await self._live.steer(each.text)
            else:
                self._live.say_aside(each.text, each.source)
        if self._left is not None and self._left < 0:
            self._live.cancel()
            await checkpoint()


def _with(hooks: Hooks, before_model: Any) -> Hooks:
    return replace(hooks, before_model=before_model)


def _words_by_request(events: Sequence[e.Event]) -> list[list[e.Message | e.Steered]]:
    """Before each answer, what entered the history from outside the loop."""
    found: list[list[e.Message | e.Steered]] = []
    waiting: list[e.Message | e.Steered] = []
    first = True
    for event in events:
        if isinstance(event, e.Steered) or (
            isinstance(event, e.Message) and _outside(event, first)
        ):
            waiting.append(event)
        elif isinstance(event, e.ModelResponded):
            found.append(waiting)
            waiting, first = [], False
    return [*found, waiting]


def _outside(event: e.Message, first: bool) -> bool:
    if event.source == "hook":
        return True
    limit = " limit are used" in event.text
    return event.source == "agentkit" and (first or limit or event.text.startswith(_SURROUNDINGS))


@dataclass(slots=True)
class _Recording:
    """One recorded run."""

    checks: tuple[str, ...]
    message: str = ""
    """"" where it only went on."""
    answers: int = 0
    stopped: bool = True
    """By a limit, a person or a fault; a replay has none of them."""


def _runs(events: Sequence[e.Event]) -> list[_Recording]:
    runs: list[_Recording] = []
    for event in events:
        if isinstance(event, e.RunStarted):
            runs.append(_Recording(event.checks))
        elif not runs:
            continue
        elif isinstance(event, e.Message) and event.source == "user" and not runs[-1].message:
            runs[-1].message = event.text
        elif isinstance(event, e.SessionFinished):
            runs[-1].stopped = event.status in _STOPPED
        runs[-1].answers += isinstance(event, e.ModelResponded)
    return runs


def compare(
    recorded: Sequence[e.Event],
    replayed: Sequence[e.Event],
    *,
    exact: bool = True,
    whole: bool = True,
) -> tuple[int, Drift | None]:
    """How many events are alike, and the first that is not.

    Args:
        exact: compare the bytes of requests; else the arguments as tools took them.
        whole: what was replayed beyond the recorded events is a drift, too.
    """
    ours, theirs = _comparable(recorded), _comparable(replayed)
    for index, one in enumerate(ours):
        if index >= len(theirs):
            return index, Drift(one.seq, one.type, "", "it", "nothing more")
        other = theirs[index]
        drift = _difference(one, other, exact=exact)
        if drift is not None:
            return index, drift
    if whole and len(theirs) > len(ours):
        more = theirs[len(ours)]
        return len(ours), Drift(None, more.type, "", "nothing", _short(e.to_dict(more)))
    return len(ours), None


def _comparable(events: Sequence[e.Event]) -> list[e.Event]:
    """What both must have: retries of a request, and answers asked for again, do not count."""
    kept: list[e.Event] = []
    for event in events:
        if event.type not in _FIELDS:
            continue
        if kept and kept[-1].type == e.ModelRequested.type and event.type in _UNANSWERED:
            kept.pop()
        kept.append(event)
    return kept


def _difference(one: e.Event, other: e.Event, *, exact: bool) -> Drift | None:
    if one.type != other.type:
        return Drift(one.seq, one.type, "", one.type, f"{other.type} {_short(e.to_dict(other))}")
    for name in _FIELDS[one.type]:
        if name in (("arguments",) if exact else ("prefix",)):
            continue  # recorded tools do not know how theirs were completed
        if name in ("status", "exit_code") and getattr(one, "status", "") in _STOPPED:
            continue  # what stopped it is not there
        a, b = getattr(one, name), getattr(other, name)
        if _plain(a) != _plain(b):
            return Drift(one.seq, one.type, name, _short(a), _short(b))
    return None


def _plain(value: Any) -> Any:
    """As JSON would give it back: a file knows no tuples."""
    return json.loads(json.dumps(value, default=_fields, sort_keys=True))


def _fields(value: Any) -> Any:
    return [value.id, value.name, value.arguments] if isinstance(value, ToolCall) else str(value)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=_fields)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
