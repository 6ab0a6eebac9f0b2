"""Tools: plain typed functions that the model may call.

``@tool`` reads the schema from annotations and docstring. Nothing a model sends can crash a run:
bad arguments, unknown names and exceptions become results that the model reads.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, get_type_hints, overload

from agentkit.errors import ToolError, UsageError
from agentkit.schema import normalise

if TYPE_CHECKING:
    from agentkit.limits import Budget
    from agentkit.sandbox import Sandbox
    from agentkit.subagents import Order

P = ParamSpec("P")
T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""DeepSeek refuses other names (deepseek-recipe 0.2.0)."""


OUTPUT_LIMIT = 50_000
"""Characters of a result, where its tool says nothing else: some 12,000 tokens."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a call touches, so that calls of one turn can run side by side.

    Two calls run in the model's order when they claim the same resource (``*`` is every
    resource) and at least one of them writes it, or both claim it in turn; others may overlap.
    """

    resource: str = "*"
    write: bool = True
    in_turn: bool = False
    """Nothing that belongs to the workspace is written, yet the order counts."""

    def conflicts(self, other: Claim) -> bool:
        ordered = self.write or other.write or (self.in_turn and other.in_turn)
        return ordered and _meet(self.resource, other.resource)


def _meet(one: str, other: str) -> bool:
    """Whether two resources have something in common: equal, one in the other's folder, or all."""
    if one == other or "*" in (one, other):
        return True
    return one.startswith(f"{other}/") or other.startswith(f"{one}/")


READS_ALL = Claim("*", write=False)
WRITES_ALL = Claim("*", write=True)
PLAN = Claim("plan", write=False, in_turn=True)
"""The plan and its checks: what sets it, and what ends the work by them, go one after the other."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call gives back.

    Attributes:
        content: the text that the model reads.
        ok: False marks a failed call; the text then says what went wrong.
        display: a short line for people, "" derives one from the content.
        data: facts for the log and for other parts of agentkit, never shown to the model.
    """

    content: str
    ok: bool = True
    display: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class ToolContext:
    """What a tool may use. Annotate a first parameter with it and it is passed in."""

    session_id: str
    call_id: str
    lane: str
    budget: Budget
    emit_output: Callable[[str], None]
    """Show a piece of output to whoever watches; it is not stored."""
    state: dict[str, Any]
    """Belongs to the session: tools keep what they must remember between calls here."""
    record: Callable[[str, Mapping[str, Any]], None]
    """Append a fact to the session's log under a tool's own kind (``observed``, …). Facts are
    given back in ``facts`` after a resume."""
    facts: Callable[[str], list[Mapping[str, Any]]]
    """All facts of one kind, oldest first, also those of before a resume."""
    update_plan: Callable[[list[Mapping[str, Any]]], None]
    """Replace the visible plan; each step has ``step`` and ``status``."""
    _sandbox: Callable[[], Awaitable[Sandbox]] | None = None
    _run_checks: Callable[[Sequence[str]], Awaitable[Mapping[str, str]]] | None = None
    _consult: Callable[[str], Awaitable[ToolResult]] | None = None
    _delegate: Callable[[Order], Awaitable[ToolResult]] | None = None
    _keep: Callable[[bytes], Awaitable[str]] | None = None

    async def keep(self, data: bytes) -> str:
        """Keep bytes in the session's content store, each content once.

        Returns:
            Their name there, for ``ToolResult.data``; "" where there is no session.
        """
        return "" if self._keep is None else await self._keep(data)

    async def run_checks(self, checks: Sequence[str]) -> Mapping[str, str]:
        """Run checks that have not passed since the last change; what the failing ones say.

        Raises:
            ToolError: the agent has no sandbox.
        """
        return await _given(self._run_checks)(checks)

    async def consult(self, question: str) -> ToolResult:
        """Ask a stronger rung of the ladder, if its policy and the money left allow it."""
        return await _given(self._consult)(question)

    async def delegate(self, order: Order) -> ToolResult:
        """Have a subagent carry out an order.

        Raises:
            ToolError: it could not be started, or did not come to its end.
        """
        return await _given(self._delegate)(order)

    async def sandbox(self) -> Sandbox:
        """The session's sandbox, started at first use.

        Raises:
            ToolError: the agent has none.
        """
        if self._sandbox is None:
            raise ToolError("this agent has no sandbox, so this tool cannot work here")
        return await self._sandbox()


def _given(function: Callable[P, T] | None) -> Callable[P, T]:
    if function is None:
        raise ToolError("this is not possible outside a session")
    return function


Check = Callable[[dict[str, Any]], dict[str, Any]]
Run = Callable[[ToolContext, dict[str, Any]], Awaitable[ToolResult]]
Claims = Callable[[dict[str, Any]], tuple[Claim, ...]]
Aftermath = Callable[[ToolContext, dict[str, Any]], Awaitable[str]]
"""Looks, after a crash in the middle of a call with these arguments, at what came of it: a sentence
for the model, "" where nothing can be known. ``facts`` are those of before the call."""


ScriptOf = Callable[[Mapping[str, Any]], str | Sequence[str] | None]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what the model reads of it, and what runs."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON Schema of the arguments, an object, as ``schema.normalise`` gives it."""
    run: Run
    """Runs with checked arguments. ``ToolError`` becomes a failed result."""
    check: Check
    """Validates arguments and gives them their Python types; raises ``ToolError`` that names
    the field and what was expected."""
    claims: Claims = field(default=lambda _arguments: (WRITES_ALL,))
    repeatable: bool = False
    """Safe to run again when a crash left its outcome unknown."""
    ends_run: bool = False
    """A successful call ends the run, if the required checks pass."""
    output_limit: int = OUTPUT_LIMIT
    """Characters of one result; the rest is left out of its middle, and the model is told."""
    aftermath: Aftermath | None = None
    """What can be known of a call that a crash cut off."""
    script: ScriptOf | None = None
    """The shell command that a call runs, or several that it runs one by one, for the approval
    policy; None for a call without one."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} cannot be a tool's name",
                hint="Use letters, digits, '_' and '-' only",
            )
        if self.parameters.get("type") != "object":
            raise UsageError(f"the parameters of tool {self.name!r} must be of type 'object'")

    @property
    def reads_only(self) -> bool:
        """Whether a call without arguments would write nothing (used by ``--approve``)."""
        return all(not claim.write for claim in self.claims({}))

    @classmethod
    def from_schema(
        cls,
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        function: Callable[[dict[str, Any]], Awaitable[object]],
        *,
        read_only: bool = False,
    ) -> Tool:
        """A tool whose arguments are described by JSON Schema (MCP, OpenAPI).

        They are checked with ``jsonschema``; the function gets them as one dictionary.
        """

        async def run(_context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
            return as_result(await function(arguments))

        closed = normalise(parameters)
        claim = READS_ALL if read_only else WRITES_ALL
        return cls(
            name, description, closed, run, schema_check(closed), lambda _: (claim,), read_only
        )


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str = ...,
    description: str = ...,
    read_only: bool = ...,
    claims: Claims | None = ...,
    repeatable: bool | None = ...,
    ends_run: bool = ...,
    output_limit: int = ...,
    aftermath: Aftermath | None = ...,
    script: ScriptOf | None = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    read_only: bool = False,
    claims: Claims | None = None,
    repeatable: bool | None = None,
    ends_run: bool = False,
    output_limit: int | None = None,
    aftermath: Aftermath | None = None,
    script: ScriptOf | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a typed function, sync or async.

    The description is the docstring's text, the arguments' descriptions its ``Args:`` section.
    A first parameter annotated ``ToolContext`` is passed in and hidden from the model. A sync
    function runs in a worker thread. Whatever it returns is shown to the model as text; return
    a ``ToolResult`` to say more.

    Args:
        read_only: it changes nothing: may run beside other calls, and again after a crash.
        claims: what a call touches, from its arguments; default: everything.
        repeatable: default: the same as ``read_only``.
        output_limit: characters of one result, which the description then tells the model; by
            default ``OUTPUT_LIMIT``, of which it is told where a result was cut.
        aftermath: finds out what came of a call that a crash cut off.
        script: the shell command that a call with these arguments runs, if it runs one.

    Raises:
        UsageError: a parameter has no annotation, or one that has no JSON Schema.
    """

    def make(function: Callable[..., Any]) -> Tool:
        claim = READS_ALL if read_only else WRITES_ALL
        summary, notes = _docstring(inspect.getdoc(function) or "")
        signature = _Signature.of(function, notes)
        words = description or summary
        if output_limit is not None:
            words += f" A result over {output_limit:,} characters loses its middle."
        return Tool(
            name or function.__name__,
            words,
            signature.schema,
            signature.call,
            signature.check,
            claims or (lambda _arguments: (claim,)),
            read_only if repeatable is None else repeatable,
            ends_run,
            OUTPUT_LIMIT if output_limit is None else output_limit,
            aftermath,
            script,
        )

    return make if function is None else make(function)


def as_tool(candidate: Tool | Callable[..., Any]) -> Tool:
    """The tool itself, or a tool made of a plain function."""
    return candidate if isinstance(candidate, Tool) else tool(candidate)


def as_result(value: object) -> ToolResult:
    """What a tool returned, as the text that the model reads."""
    if isinstance(value, ToolResult):
        return value
    if isinstance(value, str):
        return ToolResult(value)
    if value is None:
        return ToolResult("(no output)")
    return ToolResult(_to_json(value))


def _to_json(value: object) -> str:
    from pydantic_core import to_json

    return to_json(value, fallback=str).decode()


@dataclass(frozen=True, slots=True)
class _Signature:
    """A function's parameters as a pydantic model."""

    function: Callable[..., Any]
    takes_context: bool
    model: Any
    schema: dict[str, Any]

    @classmethod
    def of(cls, function: Callable[..., Any], notes: Mapping[str, str]) -> _Signature:
        from pydantic import ConfigDict, Field, PydanticUserError, create_model

        hints = _hints(function)
        parameters = list(inspect.signature(function).parameters.values())
        takes_context = bool(parameters) and hints.get(parameters[0].name) is ToolContext
        fields: dict[str, Any] = {}
        for parameter in parameters[1 if takes_context else 0 :]:
            if parameter.name not in hints or parameter.kind in (
                parameter.VAR_POSITIONAL,
                parameter.VAR_KEYWORD,
            ):
                raise UsageError(
                    f"parameter {parameter.name!r} of tool {function.__name__!r} has no schema",
                    hint="Give every parameter a type, and no *args or **kwargs",
                )
            default = ... if parameter.default is parameter.empty else parameter.default
            note = notes.get(parameter.name)
            fields[parameter.name] = (hints[parameter.name], Field(default, description=note))
        try:
            model = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
            schema = model.model_json_schema()
        except PydanticUserError as error:
            raise UsageError(
                f"tool {function.__name__!r}: its parameters have no JSON Schema: {error.message}"
            ) from error
        schema.pop("description", None)
        return cls(function, takes_context, model, normalise({"properties": {}, **schema}))

    def check(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from pydantic import ValidationError

        try:
            checked = self.model.model_validate(arguments)
        except ValidationError as error:
            raise ToolError(explain_errors(error, self.schema)) from error
        return {name: getattr(checked, name) for name in self.model.model_fields}

    async def call(self, context: ToolContext, arguments: dict[str, Any]) -> ToolResult:
        leading = (context,) if self.takes_context else ()
        if inspect.iscoroutinefunction(self.function):
            return as_result(await self.function(*leading, **arguments))
        from anyio import to_thread

        return as_result(await to_thread.run_sync(lambda: self.function(*leading, **arguments)))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise UsageError(
            f"tool {function.__name__!r}: the annotation {error.name!r} cannot be resolved",
            hint="Import its name at the top of the module, not in a function or for typing only",
        ) from error


def explain_errors(error: Any, schema: Mapping[str, Any]) -> str:
    """Pydantic's findings in the model's terms: the field, what was wrong, what is expected."""
    lines: list[str] = []
    for finding in error.errors(include_url=False):
        place = ".".join(str(part) for part in finding["loc"]) or "arguments"
        if finding["type"] == "missing":
            lines.append(f"missing argument {place!r}")
        elif finding["type"] == "extra_forbidden":
            lines.append(f"unknown argument {place!r}")
        else:
            got = repr(finding["input"])
            lines.append(f"argument {place!r}: {finding['msg']}, not {got[:80]}")
    expected = ", ".join(
        f"{name}: {_type_of(each)}{'' if name in schema.get('required', ()) else ' (optional)'}"
        for name, each in schema["properties"].items()
    )
    return f"{'; '.join(lines)}. Expected arguments: {expected or 'none'}"


def _type_of(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(repr(each) for each in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type_of(each) for each in schema["anyOf"])
    return str(schema.get("type", "any"))


def schema_check(schema: Mapping[str, Any]) -> Check:
    """A check of arguments against a JSON Schema, with words for the model."""

    def check(arguments: dict[str, Any]) -> dict[str, Any]:
        from jsonschema import Draft202012Validator

        validator = cast("Any", Draft202012Validator(schema))
        findings = sorted(validator.iter_errors(arguments), key=lambda each: list(each.path))
        if findings:
            places = "; ".join(
                f"{'.'.join(str(part) for part in each.path) or 'arguments'}: {each.message}"
                for each in findings[:5]
            )
            raise ToolError(f"the arguments do not fit the tool's schema: {places}")
        return arguments

    return check


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Summary text and the ``Args:`` section of a Google-style docstring."""
    summary, _, rest = text.partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", rest, maxsplit=1)[0]
    notes: dict[str, str] = {}
    last = ""
    for line in section.splitlines():
        match = re.fullmatch(r" {4}(\w+)(?: \([^)]*\))?: (.*)", line)
        if match:
            last = match[1]
            notes[last] = match[2].strip()
        elif last and line.strip():
            notes[last] += " " + line.strip()
    return re.split(r"\n(?:Returns|Raises|Yields):\n", summary)[0].strip(), notes
