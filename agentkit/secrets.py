"""Secrets stay out of what is stored, sent and shown.

Known values (the API keys, and what the environment's names call secret) are replaced wherever
they turn up; text that has the shape of a well-known kind of key is replaced in what commands and
servers say. It happens where an event enters the log, so the model sees what is logged, and the
replacement says that it is one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from agentkit.errors import AgentkitError
from agentkit.events import (
    CheckFailed,
    Event,
    ModelFailed,
    SessionFinished,
    ToolFinished,
    field_names,
)
from agentkit.events import ToolOutput as Piece
from agentkit.models.types import ToolCall

E = TypeVar("E", bound=Event)

SHORTEST = 8
"""Characters of an API key below which it cannot be told from other text."""
SHORTEST_OTHER = 16
"""The same for other secrets of the environment."""

_NAMES = re.compile(
    r"(API|ACCESS|PRIVATE|SECRET|SIGNING|ENCRYPTION)_?KEY|TOKEN|SECRET|PASSW(OR)?D|PASSPHRASE"
    r"|CREDENTIAL|_PAT$",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"""\b(?:
      sk-[A-Za-z0-9_-]{20,}                       # DeepSeek, OpenAI, Anthropic
    | gh[pousr]_[A-Za-z0-9]{36,} | github_pat_[A-Za-z0-9_]{40,}
    | (?:AKIA|ASIA)[0-9A-Z]{16} | AIza[0-9A-Za-z_-]{35}
    | xox[abprs]-[0-9A-Za-z-]{20,} | npm_[A-Za-z0-9]{36} | hf_[A-Za-z0-9]{30,}
    | glpat-[0-9A-Za-z_-]{20,} | pypi-[A-Za-z0-9_-]{60,}
    )
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----[\s\S]*?-----END\ [A-Z ]*PRIVATE\ KEY-----""",
    re.VERBOSE,
)
_STARTS = (
    "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "AKIA", "ASIA", "AIza",
    "xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "npm_", "hf_", "glpat-", "pypi-",
)  # fmt: skip
_BEGUN = re.compile(
    r"\b(?:"
    + "|".join(sorted({start[:size] for start in _STARTS for size in range(1, len(start))}))
    + "|(?:"
    + "|".join(_STARTS)
    + r")[\w-]*)\Z"
)
"""The end of a piece of output in which a key may have begun."""
_LONGEST_HELD = 512
_SPOKEN = (ToolFinished, CheckFailed, ModelFailed, SessionFinished, Piece)
"""Events that carry what commands and servers said."""


class Redactor:
    """Replaces secrets in the events of one session.

    Args:
        keys: API keys by the name to show for them.
        environ: where further secrets are looked for, by their variables' names.
    """

    def __init__(
        self, keys: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        values = {value: name for name, value in (keys or {}).items() if len(value) >= SHORTEST}
        for name, value in (environ or {}).items():
            if _NAMES.search(name) and len(value) >= SHORTEST_OTHER:
                values.setdefault(value, name)
        # Longer ones first: one may be part of another.
        self._values = sorted(values.items(), key=lambda each: -len(each[0]))
        self._held: dict[str, str] = {}

    @classmethod
    def of(cls, keys: Mapping[str, str]) -> Redactor:
        """With the secrets of this process's environment."""
        return cls(keys, os.environ)

    def text(self, text: str, *, shapes: bool = True) -> str:
        """The text without secrets."""
        for value, name in self._values:
            if value in text:
                text = text.replace(value, f"[redacted: {name}]")
        return _SHAPES.sub("[redacted: looks like a key]", text) if shapes else text

    def holds_known(self, data: bytes) -> bool:
        """Whether a known secret is in these bytes."""
        return any(value.encode() in data for value, _ in self._values)

    def event(self, event: E) -> E:
        """The event without secrets; the very same one where it holds none."""
        if isinstance(event, Piece):
            return replace(event, text=self._piece(event.call_id, event.text))
        if isinstance(event, ToolFinished):
            self._held.pop(event.call_id, None)
        shapes = isinstance(event, _SPOKEN)
        changed: dict[str, Any] = {}
        for name in field_names(type(event)):
            value = getattr(event, name)
            if value and value is not True:
                clean = self._value(value, shapes)
                if clean is not value:
                    changed[name] = clean
        return replace(event, **changed) if changed else event

    def error(self, error: AgentkitError) -> None:
        """Take secrets out of an error's words."""
        error.what, error.tried, error.hint = (
            self.text(each) for each in (error.what, error.tried, error.hint)
        )
        error.args = (error.what, error.tried, error.hint)

    def _value(self, value: Any, shapes: bool) -> Any:
        if isinstance(value, str):
            clean = self.text(value, shapes=shapes)
            return value if clean == value else clean
        if isinstance(value, ToolCall):
            arguments = self.text(value.arguments, shapes=shapes)
            return value if arguments == value.arguments else replace(value, arguments=arguments)
        if isinstance(value, dict):
            found = cast("dict[str, Any]", value)
            made = {key: self._value(each, shapes) for key, each in found.items()}
            return made if any(made[key] is not found[key] for key in found) else found
        if isinstance(value, (list, tuple)):
            items = cast("tuple[Any, ...]", value)
            clean_items = [self._value(each, shapes) for each in items]
            if all(a is b for a, b in zip(clean_items, items, strict=True)):
                return items
            return tuple(clean_items) if isinstance(value, tuple) else clean_items
        return value

    def _piece(self, call_id: str, text: str) -> str:
        """A piece of output; its end is held back while a secret may have begun there."""
        text = self.text(self._held.pop(call_id, "") + text)
        keep = self._open_end(text)
        if keep:
            self._held[call_id] = text[-keep:]
            return text[:-keep]
        return text

    def _open_end(self, text: str) -> int:
        begun = _BEGUN.search(text[-_LONGEST_HELD:])
        keep = len(begun[0]) if begun else 0
        for value, _ in self._values:
            for size in range(min(len(value) - 1, len(text)), keep, -1):
                if text.endswith(value[:size]):
                    keep = size
                    break
        return keep
