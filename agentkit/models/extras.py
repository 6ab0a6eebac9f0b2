"""What DeepSeek's API offers beyond chat: JSON answers, prefix completion, fill-in-the-middle.

Single questions outside any lane: they have no history, so nothing here touches its prefix.
(Source for all three: api-docs guides json_mode, chat_prefix_completion, fim_completion; 2026-11.)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from agentkit.errors import UnusableAnswer, UsageError
from agentkit.models import wire
from agentkit.models.endpoint import Endpoint
from agentkit.models.types import Answer

if TYPE_CHECKING:
    from agentkit.ladder import Rung

_T = TypeVar("_T")

FIM_LIMIT = 4096
"""Tokens that one fill-in-the-middle answer may have."""
_LARGEST = 393_216


class Typed(NamedTuple, Generic[_T]):
    """A validated value and every answer it took, for the account of what was spent."""

    value: _T
    answers: tuple[Answer, ...]


async def ask_json(
    endpoint: Endpoint,
    rung: Rung,
    question: str,
    output_type: type[_T],
    *,
    system: str = "You answer with JSON.",
    attempts: int = 3,
) -> Typed[_T]:
    """Ask for a value of a type that pydantic knows.

    The provider blanks out whatever is not JSON, so an answer can be a single space; it is asked
    for again. A cut one is asked for again with twice the limit, one that does not fit the type
    with the reason.

    Raises:
        UnusableAnswer: no attempt gave a value.
        ModelError: the provider gave no answer.
    """
    from pydantic import TypeAdapter

    adapter = TypeAdapter(output_type)
    schema = json.dumps(adapter.json_schema(), ensure_ascii=False)
    head = wire.head(rung, system=system, tools=[])
    fragments = [wire.user(f"{question}\n\nAnswer with JSON that fits this schema: {schema}")]
    answers: list[Answer] = []
    limit, problem = rung.max_tokens, ""
    for _ in range(attempts):
        tail = wire.tail(
            max_tokens=limit,
            stream=False,
            dialect=rung.speaks,
            extra={"response_format": {"type": "json_object"}},
        )
        answer = await endpoint.ask(wire.body(head, fragments, tail), stream=False)
        answers.append(answer)
        problem = _problem(answer)
        if answer.finish_reason == "length":
            limit = min(2 * limit, _LARGEST)
        elif not problem:
            try:
                return Typed(adapter.validate_json(answer.content.strip()), tuple(answers))
            except ValueError as error:
                problem = str(error)
                fragments += [
                    wire.assistant(answer.content, answer.reasoning, (), dialect=rung.speaks),
                    wire.user(f"This JSON does not fit the schema: {problem}\nAnswer again."),
                ]
    raise UnusableAnswer(f"{attempts} answers held no JSON of the wanted type: {problem}")


def _problem(answer: Answer) -> str:
    if answer.finish_reason == "length":
        return "it was cut at its limit"
    return "" if answer.content.strip() else "it was blank"


async def complete_prefix(
    endpoint: Endpoint,
    rung: Rung,
    question: str,
    prefix: str,
    *,
    system: str = "",
    stop: Sequence[str] = (),
) -> Answer:
    """Let the model go on from words put into its mouth; the answer is what follows them.

    Raises:
        UsageError: the rung thinks: it would have to go on from a thought, not from an answer.
        ModelError: the provider gave no answer.
    """
    _non_thinking(rung, "prefix completion")
    head = wire.head(rung, system=system, tools=[])
    begun = wire.encode({"role": "assistant", "content": prefix, "prefix": True})
    tail = wire.tail(
        max_tokens=rung.max_tokens,
        stream=False,
        dialect=rung.speaks,
        extra={"stop": list(stop)} if stop else None,
    )
    body = wire.body(head, [wire.user(question), begun], tail)
    return await endpoint.ask(body, stream=False, path="/beta/chat/completions")


async def fill_in(
    endpoint: Endpoint, rung: Rung, before: str, after: str = "", *, max_tokens: int = 1024
) -> Answer:
    """Write what stands between two texts.

    Raises:
        UsageError: the rung thinks, or the limit is above ``FIM_LIMIT``.
        ModelError: the provider gave no answer.
    """
    _non_thinking(rung, "fill-in-the-middle")
    if not 1 <= max_tokens <= FIM_LIMIT:
        raise UsageError(f"fill-in-the-middle gives 1 to {FIM_LIMIT} tokens, not {max_tokens}")
    fields: dict[str, Any] = {"model": rung.model, "prompt": before, "max_tokens": max_tokens}
    if after:
        fields["suffix"] = after
    return await endpoint.ask(wire.encode(fields), stream=False, path="/beta/completions")


def _non_thinking(rung: Rung, what: str) -> None:
    if rung.thinking:
        hint = f"Use {replace(rung, thinking=False)!r}"
        raise UsageError(f"{what} works without thinking only", hint=hint)
