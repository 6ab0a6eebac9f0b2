"""Arguments of a tool call: strict JSON, three safe repairs, and a reason where neither helps.

The model's own text stays as it is in the history; what is repaired here is only what the tool
gets. Nothing is guessed: a text that ends in the middle is never completed.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, cast

_FENCE = re.compile(r"\s*```(?:json|JSON)?[ \t]*\n?(.*?)\n?[ \t]*```\s*", re.DOTALL)
_DEEPEST = 100
"""Levels of objects and arrays. No tool takes so many; what checks and keeps them ends at 255."""
_STRING = r'"(?:[^"\\]|\\.)*"'
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)
_STRINGS = re.compile(_STRING, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Arguments that can be checked against the tool's schema."""

    value: dict[str, Any]
    repairs: tuple[str, ...] = ()
    """What was mended, for the log: ``code fence``, ``raw newline``, ``trailing comma``."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Arguments that must not be executed."""

    reason: str
    """What is wrong, in words for the model, without a full stop."""
    truncated: bool = False
    """The text ends in the middle: ask again with a larger limit."""


def parse_arguments(text: str) -> Parsed | Broken:
    """The arguments as an object, or why they are none. Empty text means no arguments."""
    if not text.strip():
        return Parsed({})
    try:
        return _object(json.loads(text, **_STRICT), ())
    except _Refused as refused:
        return Broken(str(refused))
    except RecursionError:
        return Broken("it is nested too deeply")
    except ValueError:
        return _repaired(text)


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, "" where none is close."""
    names = list(known)
    folded = {each.lower().replace("-", "_"): each for each in names}
    wanted = name.lower().replace("-", "_")
    found = difflib.get_close_matches(wanted, folded, 1, 0.5)
    if found:
        return folded[found[0]]
    last = wanted.rpartition(".")[2]  # functions.bash, default_api.bash
    return folded.get(last, "")


def _repaired(text: str) -> Parsed | Broken:
    repairs: list[str] = []
    fenced = _FENCE.fullmatch(text)
    if fenced:
        text = fenced[1]
        repairs.append("code fence")
    lenient: dict[str, Any] = {**_STRICT, "strict": False}
    try:
        for repair in ("", "raw newline", "trailing comma"):
            if repair == "trailing comma":
                text = _TRAILING_COMMA.sub(lambda match: match[1] or "", text)
            try:
                value = json.loads(text, **(lenient if repair else _STRICT))
            except ValueError as error:
                if repair == "trailing comma":
                    return _broken(text, error)
                continue
            needed = [repair] if repair else []
            if repair == "trailing comma" and not _strictly_valid(text):
                needed.insert(0, "raw newline")
            return _object(value, (*repairs, *needed))
    except _Refused as refused:
        return Broken(str(refused))
    except RecursionError:
        pass
    return Broken("it is nested too deeply")


def _strictly_valid(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _object(value: object, repairs: tuple[str, ...]) -> Parsed | Broken:
    if not isinstance(value, dict):
        kind = "an array" if isinstance(value, list) else repr(value)[:40]
        return Broken(f"the arguments must be one JSON object, not {kind}")
    if _is_deep(cast("dict[str, Any]", value)):
        return Broken("it is nested too deeply")
    return Parsed(cast("dict[str, Any]", value), repairs)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [each for outer in level for each in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _broken(text: str, error: ValueError) -> Broken:
    outside = _STRINGS.sub("", text)
    opened = outside.count("{") + outside.count("[") > outside.count("}") + outside.count("]")
    if (opened or '"' in outside) and not text.rstrip().endswith("}"):
        return Broken(f"the text ends in the middle, after {text[-30:]!r}", truncated=True)
    if isinstance(error, json.JSONDecodeError):
        near = text[max(0, error.pos - 20) : error.pos + 20]
        return Broken(f"{error.msg.lower()} at character {error.pos}, near {near!r}")
    return Broken(str(error))


class _Refused(Exception):
    """Valid JSON that still cannot be meant."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in pairs:
        if name in out and out[name] != value:  # DeepSeek can write a parameter twice
            raise _Refused(f"{name!r} is given twice with different values")
        out[name] = value
    return out


def _number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused(f"the number {text[:20]} is too large")
    return number


def _constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not JSON")


_STRICT: dict[str, Any] = {
    "object_pairs_hook": _pairs,
    "parse_constant": _constant,
    "parse_float": _number,
}
