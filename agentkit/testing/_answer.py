"""Completions in DeepSeek's shape: events of a stream, or one body."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agentkit.models.types import Usage
from agentkit.testing.script import Reply

_PIECE = 24
"""Characters in one delta."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of the fake, with everything that a client may read of it."""

    id: str
    created: int
    model: str
    reply: Reply
    usage: Usage | None
    late_usage: bool = False
    bad_usage: bool = False

    @property
    def envelope(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_agentkit_fake",
        }

    def message(self) -> dict[str, Any]:
        """The assistant message, as it stands in a body and in the next request's history."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self.reply.content,
            "reasoning_content": self.reply.reasoning,
        }
        if self.reply.calls:
            message["tool_calls"] = [
                {"index": index, "id": call.id, "type": "function"}
                | {"function": {"name": call.name, "arguments": call.text}}
                for index, call in enumerate(self.reply.calls)
            ]
        return message

    def body(self) -> dict[str, Any]:
        choice = {
            "index": 0,
            "message": self.message(),
            "logprobs": None,
            "finish_reason": self.reply.finish,
        }
        body = {**self.envelope, "object": "chat.completion", "choices": [choice]}
        return body | ({"usage": self._usage()} if self.usage else {})

    def events(self) -> Iterator[tuple[str, bytes]]:
        """Kind and bytes of each event up to the terminator, which the caller sends."""
        yield "start", self._event({"role": "assistant", "content": None, "reasoning_content": ""})
        for piece in _pieces(self.reply.reasoning):
            yield "reasoning", self._event({"content": None, "reasoning_content": piece})
        for piece in _pieces(self.reply.content):
            yield "content", self._event({"content": piece, "reasoning_content": None})
        for index, call in enumerate(self.reply.calls):
            opening = {"index": index, "id": call.id, "type": "function"}
            yield (
                "call",
                self._call({**opening, "function": {"name": call.name, "arguments": ""}}),
            )
            for piece in _pieces(call.text):
                yield "arguments", self._call({"index": index, "function": {"arguments": piece}})
        usage = None if self.late_usage else self._usage()
        last = {"content": "", "reasoning_content": None}
        yield "finish", self._event(last, finish=self.reply.finish, usage=usage)
        if self.late_usage:
            yield "usage", self._sse({"choices": [], "usage": self._usage()})

    def _call(self, piece: dict[str, Any]) -> bytes:
        return self._event({"tool_calls": [piece]})

    def _event(
        self, delta: dict[str, Any], *, finish: str | None = None, usage: object = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._sse({"choices": [choice], "usage": usage})

    def _sse(self, fields: dict[str, Any]) -> bytes:
        event = {**self.envelope, "object": "chat.completion.chunk", **fields}
        return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode("utf-8", "replace")

    def _usage(self) -> dict[str, Any] | None:
        usage = self.usage
        if usage is None:
            return None
        if self.bad_usage:
            return {"prompt_tokens": -1, "completion_tokens": "many"}
        return {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.hit_tokens},
            "prompt_cache_hit_tokens": usage.hit_tokens,
            "prompt_cache_miss_tokens": usage.miss_tokens,
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        }


def call_id(index: int, rng: random.Random) -> str:
    """An id in the provider's form, ``call_00_`` and 24 letters and digits."""
    letters = string.ascii_letters + string.digits
    return f"call_{index:02d}_{''.join(rng.choices(letters, k=24))}"


def _pieces(text: str) -> Sequence[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
