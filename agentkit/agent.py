"""Define an agent: its words, tools, sandbox, ladder and limits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio

from agentkit.approvals.policy import Decide, Policy
from agentkit.checkpoints.folder import Bounds
from agentkit.errors import UsageError
from agentkit.events import JsonObject, LaneOpened, SessionStarted
from agentkit.facts import DEFAULT, Surrounding
from agentkit.ground import Endpoints, Ground
from agentkit.hooks import Approval, Hooks
from agentkit.ladder import Dialect, Ladder, Rung
from agentkit.limits import Budget, Limits
from agentkit.models import wire
from agentkit.recall import recall_tool
from agentkit.result import Result
from agentkit.run import Briefing, Run
from agentkit.secrets import Redactor
from agentkit.session import Session, new_id
from agentkit.structured import Structured
from agentkit.tool import Tool, ToolContext, ToolResult, as_tool, tool
from agentkit.tracing import Tracing, traced

if TYPE_CHECKING:
    from agentkit.log import EventLog
    from agentkit.mcp import MCPServer
    from agentkit.models.catalogue import Catalogue
    from agentkit.models.endpoint import Endpoint
    from agentkit.models.retry import RetryPolicy
    from agentkit.sandbox import Progress, SandboxProvider
    from agentkit.skills import Skill
    from agentkit.state import State
    from agentkit.stores import Store

__version__ = "0.1.0"
DEFAULT_INSTRUCTIONS = "You are a helpful assistant that works with tools."
KEY_VARIABLE = "DEEPSEEK_API_KEY"
URL_VARIABLE = "AGENTKIT_BASE_URL"
_USER_ID = re.compile(r"[A-Za-z0-9_-]{1,512}")
"""What DeepSeek takes (api-docs rate_limit page, 2026-11)."""


@dataclass(frozen=True)
class Agent:
    """A definition; it holds no connection and no state, and may run many sessions at once.

    agent = Agent("fixer", tools=[*coder()], sandbox=Docker(workspace="."))
    result = await agent.run("Fix the failing test", checks=["pytest -q"])
    """

    name: str
    instructions: str = DEFAULT_INSTRUCTIONS
    """The system prompt. Constant text only: whatever changes belongs into messages."""
    tools: Sequence[Tool | Callable[..., Any]] = ()
    sandbox: SandboxProvider | None = None
    ladder: Ladder = field(default_factory=lambda: Ladder.preset("flash-pro"))
    limits: Limits = field(default_factory=Limits)
    checks: Sequence[str] = ()
    """Commands that must exit 0 in the sandbox before any run may finish."""
    skills: Sequence[Skill | str | os.PathLike[str]] = ()
    """Folders with a ``SKILL.md``, read now: listed in the head, read on demand; see ``skills``."""
    output_type: Any = None
    """A pydantic model, or any type pydantic knows: ``Result.data`` is a validated instance."""
    planner: Rung | None = None
    """Plans larger tasks before the work on them begins; None plans nothing beforehand."""
    attempts: int = 1
    """Hand-offs that are made side by side, each in a fork of the sandbox; checks pick one."""
    off_peak_wait: float = 0.0
    """Seconds that a run may wait for off-peak prices before it begins."""
    hooks: Hooks = field(default_factory=Hooks)
    approval: Approval | Policy | Decide = "auto"
    """What needs somebody's yes: a mode, a policy with rules, or a callback."""
    briefing: Briefing | None = None
    """Gives a text about the sandbox, appended before the first message."""
    surroundings: Sequence[Surrounding] = DEFAULT
    """What the model is told when it changes (the day, money and time left, …), see ``facts``."""
    base_url: str = ""
    """Endpoint of rungs that name none; "" is ``AGENTKIT_BASE_URL``, else DeepSeek's own."""
    api_key: str = field(default="", repr=False)
    """"" is read late from the variable that the rung names, else ``DEEPSEEK_API_KEY``."""
    user_id: str = ""
    """Constant per tenant: DeepSeek keeps caches apart by it."""
    store: Store | None = None
    """Where sessions live; None is what ``stores.open_store`` finds: ``AGENTKIT_STORE``, or
    SQLite under ``AGENTKIT_HOME`` or ``~/.agentkit``."""
    retry: RetryPolicy | None = None
    catalogue: Catalogue | None = None
    """Prices and facts of models; None is the one that is shipped."""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Kept in ``session.started`` for whoever resumes the session."""
    checkpoints: Bounds = field(default_factory=Bounds)
    """How much checkpoints of the workspace may hold; ``Bounds(files=0)`` takes none."""
    keep_sandbox: bool = False
    """Leave the sandbox of a session that was interrupted, or stopped by a limit or a fault, for
    whoever resumes it; its lease ends it if nobody does."""
    tracing: Tracing = field(default_factory=Tracing)
    """What OpenTelemetry is told, where the application has set it up."""
    progress: Progress | None = None
    """Told what slow preparations (an image to build) are doing."""
    mcp: Sequence[MCPServer] = ()
    """Servers whose tools it has too, as they are when a session begins (extra ``mcp``)."""

    def __post_init__(self) -> None:
        if not self.instructions.strip():
            raise UsageError(f"agent {self.name!r} has empty instructions")
        if self.attempts < 1 or not self.off_peak_wait >= 0:
            raise UsageError(
                f"agent {self.name!r}: attempts must be 1 or more and off_peak_wait 0 or more,"
                f" not {self.attempts!r} and {self.off_peak_wait!r}"
            )
        Policy.of(self.approval)
        table: dict[str, Tool] = {}
        for each in self._all_tools():
            if each.name in table:
                raise UsageError(f"two tools are named {each.name!r}")
            table[each.name] = each
        if len({each.name for each in self.mcp}) < len(self.mcp):
            raise UsageError(f"agent {self.name!r} has two MCP servers of one name")
        if self.user_id and not _USER_ID.fullmatch(self.user_id):
            raise UsageError(
                f"the user_id {self.user_id[:40]!r} cannot be sent",
                hint="Use 1 to 512 letters, digits, '-' and '_'",
            )
        object.__setattr__(self, "ladder", self._in_their_dialects())
        # Sorted: the tool list is part of the frozen head, and must not depend on import order.
        object.__setattr__(self, "_tools", dict(sorted(table.items())))

    def _all_tools(self) -> list[Tool]:
        tools = [as_tool(each) for each in self.tools]
        if self.skills:
            from agentkit.skills import loaded, skill_tool

            object.__setattr__(self, "skills", loaded(self.skills))
            tools += [skill_tool(cast("Sequence[Skill]", self.skills))] if self.skills else []
        if self.output_type is None:
            object.__setattr__(self, "_structured", None)
            return tools
        structured = Structured.of(self.output_type)
        object.__setattr__(self, "_structured", structured)
        return [each for each in tools if not each.ends_run] + [structured.finish_tool()]

    def _in_their_dialects(self) -> Ladder:
        """The ladder with each rung's dialect written down: by itself, the catalogue, its name.

        What is written down goes into the log, so that a later catalogue changes no old session.
        """
        rungs = tuple(
            rung if rung.dialect else replace(rung, dialect=self._dialect(rung))
            for rung in self.ladder.rungs
        )
        return replace(self.ladder, rungs=rungs)

    def _dialect(self, rung: Rung) -> Dialect:
        facts = self._facts().model(rung.model)
        return facts.dialect if facts.known else rung.speaks

    def _facts(self) -> Catalogue:
        from agentkit.models.catalogue import Catalogue, shipped

        own = self.ladder.models
        return self.catalogue or (Catalogue.load(own) if own else shipped())

    @property
    def table(self) -> Mapping[str, Tool]:
        """All tools by name, in the order in which the model reads them."""
        return self._tools

    def as_tool(self, name: str = "", description: str = "") -> Tool:
        """This agent as a tool of another: a subagent with its own words, tools and first rung.

        It works in the other's sandbox, reads only, and its cost counts in the other's limits.

        Args:
            name: default: the agent's name, with ``-`` in the place of what no name may hold.
            description: what the other model is told it is for.
        """
        from agentkit.subagents import Order

        if self.mcp:
            raise UsageError(
                f"the agent {self.name!r} has MCP servers, which subagents cannot have",
                hint="Give them to the agent that calls it",
            )

        @tool(
            name=name or re.sub(r"[^A-Za-z0-9_-]+", "-", self.name),
            description=description or f"Ask the agent {self.name}: it looks and answers.",
            read_only=True,
            repeatable=False,
        )
        async def ask(context: ToolContext, prompt: str) -> ToolResult:
            return await context.delegate(Order(prompt, agent=self))

        return ask

    @property
    def rung(self) -> Rung:
        """The rung on which work starts."""
        return self.ladder.rungs[0]

    async def run(
        self, task: str, *, checks: Sequence[str] = (), output_type: Any = None
    ) -> Result:
        """Run one task to its end, in a session of its own.

        Raises:
            UsageError, ModelError, SandboxError, StoreError: see ``Session.run``.
        """
        agent = self if output_type is None else replace(self, output_type=output_type)
        async with agent.session() as session:
            return await session.run(task, checks=checks)

    def run_sync(self, task: str, *, checks: Sequence[str] = (), output_type: Any = None) -> Result:
        """``run`` for programs without an event loop."""
        return anyio.run(partial(self.run, task, checks=checks, output_type=output_type))

    def session(self, session_id: str = "", *, resume: bool = False, cold: bool = False) -> Session:
        """A session for many messages, streaming and steering: ``async with agent.session()``.

        Args:
            session_id: its name; "" makes one up.
            resume: go on with the stored session of that name.
            cold: accept a cold cache: go on with this definition's instructions, tools and model
                where the session began with others, and also where its history can no longer be
                sent as it was. Logged as ``prefix.broken``, with what it costs.
        """
        if resume and not session_id:
            raise UsageError("which session is to be resumed?")
        return Session(self, self._open_store(), session_id or new_id(), resume=resume, cold=cold)

    # For Session: how a definition becomes something live.

    def bring_up(self, log: EventLog, state: State) -> Run:
        """Join the definition with a log and the state that it adds up to."""
        from agentkit.escalation.settings import require_sound
        from agentkit.models.retry import RetryPolicy

        own = bool(self.base_url or os.environ.get(URL_VARIABLE))
        require_sound(self.ladder, self._facts(), own_endpoint=own, connect=self._connect)
        log.guard(Redactor.of(self._keys()))
        run = Run(
            log=log,
            state=state,
            budget=Budget(self.limits, state),
            tools=self._tools,
            hooks=self.hooks,
            approval=Policy.of(self.approval),
            endpoints=Endpoints(self._connect),
            catalogue=self._facts(),
            retry=self.retry or RetryPolicy(),
            ground=Ground(self.sandbox, self.progress),
            ladder=self.ladder,
            planner=self.planner,
            attempts=self.attempts,
            bounds=self.checkpoints,
            parse_output=self._structured.parse if self._structured else None,
            lane_name=state.current,
            surroundings=self.surroundings,
        )
        if state.current != "main":
            run.tools = {**run.tools, "recall": recall_tool(log)}
        if state.session is None:
            run.append(
                SessionStarted(
                    session_id=log.session_id,
                    agent=self.name,
                    version=__version__,
                    workspace=str(getattr(self.sandbox, "workspace", "") or ""),
                    settings=dict(self.settings),
                )
            )
        return run

    def traced(self, run: Run) -> AbstractContextManager[None]:
        """Around one run of a session: its spans, where somebody listens."""
        return traced(run, self.name, __version__, self.tracing)

    def opening(self, run: Run | None = None) -> LaneOpened:
        """The main lane's frozen head, as this definition has it.

        Args:
            run: a session that has begun: its rung, if the ladder still has it, and ``recall``,
                where its head has that.
        """
        tools, on = dict(self._tools), self.rung
        if run is not None:
            on = run.lane.rung if run.lane.rung in self.ladder.rungs else on
            head = run.state.opened[run.lane_name].tools
            if any(each["function"]["name"] == "recall" for each in head):
                tools["recall"] = run.tools["recall"]
        entries = tuple(
            wire.tool_entry(each.name, each.description, each.parameters)
            for _, each in sorted(tools.items())
        )
        rung: JsonObject = asdict(on)
        return LaneOpened(rung=rung, system=self.instructions, tools=entries, user_id=self.user_id)

    def result_of(self, data: Any) -> tuple[Any, Any]:
        """A structured result: the instance of ``output_type``, and how it is logged."""
        if self._structured is None or data is None:
            return data, data
        instance = self._structured.validate(data)
        return instance, self._structured.plain(instance)

    def _keys(self) -> dict[str, str]:
        """The keys that requests may carry, by the names to show for them."""
        names = {KEY_VARIABLE, *(rung.api_key_env for rung in self.ladder.rungs)} - {""}
        found = {name: value for name in sorted(names) if (value := os.environ.get(name))}
        servers = {name: value for each in self.mcp for name, value in each.secrets().items()}
        return {
            **servers,
            **found,
            **({"API key": self.api_key} if self.api_key not in found.values() else {}),
        }

    def _connect(self, rung: Rung) -> Endpoint:
        from agentkit.models.endpoint import connect

        url = rung.base_url or self.base_url or os.environ.get(URL_VARIABLE, "")
        variable = rung.api_key_env or KEY_VARIABLE
        key = self.api_key or os.environ.get(variable, "")
        if not key and not url:
            raise UsageError(
                f"there is no API key: the variable {variable} is not set",
                hint=f"Set {variable}, or see `agentkit demo`, which needs no key",
            )
        if not url:  # DeepSeek's own; under another address the name may mean something else
            self._facts().require(rung.model)
        return connect(url, key)

    def _open_store(self) -> Store:
        if self.store is not None:
            return self.store
        from agentkit.stores import open_store

        return open_store()

    _tools: Mapping[str, Tool] = field(init=False, repr=False, compare=False)
    _structured: Structured | None = field(init=False, repr=False, compare=False)
