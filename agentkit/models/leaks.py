"""Tool calls that a model wrote as text: recognise them, and parse them when there is no doubt.

A call that stays text is the worst fault there is: the run seems to end well and nothing was
done. Spellings (deepseek.md §3.6-3.7 and the vendor's encodings, 2026-10):

- V4.1 ``<｜DSML｜ calls>`` with ``<｜DSML｜ invoke name=…>``, V4 ``<｜DSML｜tool_calls>``, V3.2
  ``<｜DSML｜function_calls>``; with ASCII bars; with misspelt openers and closers;
- V3 and R1 ``<｜tool▁calls▁begin｜>…<｜tool▁sep｜>``;
- ``<tool_call>{"name": …, "arguments": …}</tool_call>``, common with self-hosted models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from agentkit.models.types import ToolCall

_BAR = "[｜|]"
_DSML = rf"<\s*{_BAR}\s*DSML\s*{_BAR}\s*"
_END = rf"</\s*(?:{_BAR}\s*DSML\s*{_BAR}\s*)?"
_CLOSE = rf"</\s*{_BAR}\s*DSML\s*{_BAR}\s*"

_INVOKE = re.compile(rf'{_DSML}invoke\s+name="([^"<>]+)"\s*>(.*?){_END}invoke\s*>', re.DOTALL)
_PARAMETER = re.compile(
    rf'{_DSML}parameter\s+name="([^"<>]+)"\s+string="(true|false)"\s*>(.*?){_END}parameter\s*>',
    re.DOTALL,
)
_BLOCK_TAG = re.compile(rf"(?:{_DSML}|{_CLOSE})(?!invoke|parameter)[\w ]*\s*>")
_OLD_CALL = re.compile(
    rf"<{_BAR}tool▁call▁begin{_BAR}>(?:function<{_BAR}tool▁sep{_BAR}>)?\s*([\w.-]+)\s*"
    rf"(?:<{_BAR}tool▁sep{_BAR}>)?\s*(?:```json\s*)?(\{{.*?\}})\s*(?:```)?\s*"
    rf"<{_BAR}tool▁call▁end{_BAR}>",
    re.DOTALL,
)
_OLD_TAG = re.compile(rf"<{_BAR}tool▁calls▁(?:begin|end){_BAR}>")
_TAGGED_CALL = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)

_SPECIAL = re.compile(rf"</?\s*{_BAR}\s*DSML\s*{_BAR}|<{_BAR}tool▁(?:calls?▁begin|sep)")
"""Special tokens of the vendor: no sane text holds them by chance."""
_TAGGED = re.compile(r"(?m)^<tool_call>\s*\{")
_FENCED = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)


def leaked_markup(text: str) -> bool:
    """Whether a text holds a tool call that was meant to be one; quoted code does not count."""
    if "<" not in text:
        return False
    bare = _FENCED.sub("", text) if "`" in text else text
    return bool(_SPECIAL.search(bare) or _TAGGED.search(bare))


def recover(text: str) -> tuple[str, tuple[ToolCall, ...]] | None:
    """The text before leaked calls and the calls themselves; None where there is doubt.

    Without doubt means: the calls end the text, every tag is closed, each value is given with
    its kind, and nothing else stands between them.
    """
    if not leaked_markup(text):
        return None
    start = min(
        (match.start() for match in (_SPECIAL.search(text), _TAGGED.search(text)) if match),
        default=-1,
    )
    before, block = text[:start], text[start:]
    for reader in (_dsml, _old, _tagged):
        found = reader(block)
        if found:
            calls = [
                ToolCall(f"call_leaked_{number}", name, arguments)
                for number, (name, arguments) in enumerate(found)
            ]
            return before.rstrip(), tuple(calls)
    return None


def _dsml(block: str) -> list[tuple[str, str]] | None:
    if _BLOCK_TAG.sub("", _INVOKE.sub("", block)).strip():
        return None
    calls: list[tuple[str, str]] = []
    for name, inside in _INVOKE.findall(block):
        arguments = _parameters(inside)
        if arguments is None:
            return None
        calls.append((name, json.dumps(arguments, ensure_ascii=False)))
    return calls


def _parameters(inside: str) -> dict[str, Any] | None:
    if _PARAMETER.sub("", inside).strip():
        return None
    arguments: dict[str, Any] = {}
    for name, is_string, value in _PARAMETER.findall(inside):
        if name in arguments or _SPECIAL.search(value):
            return None
        try:
            arguments[name] = value if is_string == "true" else json.loads(value)
        except (ValueError, RecursionError):
            return None
    return arguments


def _old(block: str) -> list[tuple[str, str]] | None:
    if _OLD_TAG.sub("", _OLD_CALL.sub("", block)).strip():
        return None
    calls = _OLD_CALL.findall(block)
    return calls if all(_is_object(arguments) for _, arguments in calls) else None


def _tagged(block: str) -> list[tuple[str, str]] | None:
    if _TAGGED_CALL.sub("", block).strip():
        return None
    texts = _TAGGED_CALL.findall(block)
    calls = list(_named(texts))
    return calls if len(calls) == len(texts) else None  # one unreadable call spoils them all


def _named(texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        try:
            call = json.loads(text)
            name, arguments = call["name"], call["arguments"]
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        if isinstance(name, str) and isinstance(arguments, dict):
            yield name, json.dumps(arguments, ensure_ascii=False)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
