"""A model without a network: the fake's script behind the endpoint's interface."""

from __future__ import annotations

import json
from typing import Any

from agentkit.models.catalogue import estimate_tokens
from agentkit.models.types import Answer, Delta, DeltaCallback, FinishReason, ToolCall, Usage
from agentkit.testing.script import Reply, Script, ScriptLike


class ScriptedModel:
    """Stands in for ``agentkit.models.endpoint.Endpoint`` where HTTP does not matter.

    It keeps the bodies it was sent (``requests``) and answers from a script. It checks nothing
    and knows no faults and no cache; ``FakeDeepSeek`` does.
    """

    base_url = "scripted://model"

    def __init__(self, script: ScriptLike, *, per_conversation: bool = False) -> None:
        self.requests: list[bytes] = []
        self._script = Script(script, per_conversation=per_conversation)

    async def ask(
        self,
        body: bytes,
        *,
        stream: bool,
        on_delta: DeltaCallback | None = None,
        idle_timeout: float = 300.0,
    ) -> Answer:
        """The script's next reply; ``ScriptExhausted`` when there is none."""
        self.requests.append(body)
        request: dict[str, Any] = json.loads(body)
        reply, given = self._script.reply(request)
        given()
        if stream and on_delta and reply.content:
            on_delta(Delta("content", reply.content))
        return _answer(reply, request, len(self.requests), estimate_tokens(body))

    async def models(self) -> list[str]:
        return ["scripted"]

    async def balance(self) -> dict[str, Any]:
        return {"is_available": True, "balance_infos": []}

    async def aclose(self) -> None:
        """Nothing is held."""


def _answer(reply: Reply, request: dict[str, Any], number: int, prompt: int) -> Answer:
    calls = tuple(
        ToolCall(call.id or f"call_{number}_{index}", call.name, call.text)
        for index, call in enumerate(reply.calls)
    )
    said = reply.reasoning + reply.content + "".join(call.arguments for call in calls)
    known: dict[str, FinishReason] = {
        "length": "length", "content_filter": "content_filter", "tool_calls": "tool_calls"
    }  # fmt: skip
    return Answer(
        content=reply.content,
        reasoning=reply.reasoning,
        calls=calls,
        finish_reason=known.get(reply.finish, "stop"),
        usage=Usage(prompt, 0, prompt, estimate_tokens(said), estimate_tokens(reply.reasoning)),
        served_model=str(request.get("model", "")),
    )
