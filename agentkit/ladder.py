"""Rungs and ladders: which model works at which price, as data.

A *rung* is one way of asking: model, thinking, effort, sampling, endpoint. A *ladder* lists rungs
from the cheapest to the strongest. Nothing here talks to a provider.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit.escalation.policy import Policy

Effort = Literal["low", "high", "max"]
"""DeepSeek's real levels; others are mapped onto these by the provider (api-docs, 2026-11)."""

Dialect = Literal[
    "deepseek",
    "openai",
    "openai-reasoning",
    "vllm-v4",
    "vllm-v4.1",
    "sglang-v4",
    "llama.cpp",
]
"""How a server wants to be asked. ``deepseek``: its own API. ``openai``: plain OpenAI-compatible
chat completions. The others are profiles in ``agentkit.models.profiles``."""
DIALECTS: tuple[str, ...] = get_args(Dialect)


@dataclass(frozen=True, slots=True)
class Rung:
    """One way of asking a model. Changing any of it means a cold cache (design §3)."""

    model: str
    thinking: bool = True
    effort: Effort = "high"
    """How hard to think; without meaning where ``thinking`` is off."""
    max_tokens: int = 65_536
    """Limit of one answer in tokens, reasoning included."""
    temperature: float | None = None
    """None sends nothing. DeepSeek ignores it while thinking."""
    top_p: float | None = None
    base_url: str = ""
    """"" is the session's endpoint."""
    api_key_env: str = ""
    """Name of the environment variable that holds this rung's key; "" is the session's."""
    dialect: Dialect | None = None
    """None: decided from the model's name (``deepseek…`` speaks deepseek)."""
    forms: tuple[str, ...] = ()
    """In which forms it may be entered (``agentkit.escalation``); empty is in any."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "forms", tuple(self.forms))  # logs and files have lists

    @property
    def name(self) -> str:
        """Short form for people and logs: ``deepseek-flash·high``."""
        return f"{self.model}·{self.effort if self.thinking else 'non-thinking'}"

    @property
    def speaks(self) -> Dialect:
        if self.dialect is not None:
            return self.dialect
        return "deepseek" if "deepseek" in self.model.lower() else "openai"


FLASH = Rung("deepseek-flash")
PRO = Rung("deepseek-v4-pro")

_BENCHMARK: dict[str, Any] = {"effort": "max", "temperature": 1.0, "top_p": 0.95}
"""How the vendor ran its agent benchmarks with its minimal harness (release notes, 2026-09)."""

_PRESETS: dict[str, tuple[Rung, ...]] = {
    "flash": (FLASH, replace(FLASH, effort="max")),
    "pro": (PRO, replace(PRO, effort="max")),
    "flash-pro": (FLASH, replace(FLASH, effort="max"), PRO, replace(PRO, effort="max")),
    "minimal": (replace(FLASH, **_BENCHMARK), replace(PRO, **_BENCHMARK)),
}


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rungs from the cheapest to the strongest; work starts on the first."""

    name: str
    rungs: tuple[Rung, ...]
    policy: Policy | None = None
    """When to climb and in which form; None is the default policy."""
    models: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Facts and prices of models on top of the catalogue's, as under ``[models]``."""

    def __post_init__(self) -> None:
        if not self.rungs:
            raise UsageError(f"the ladder {self.name!r} has no rungs", hint="Name at least one")

    @classmethod
    def preset(cls, name: str) -> Ladder:
        """One of the built-in ladders: ``flash``, ``pro``, ``flash-pro``, ``minimal``.

        Raises:
            UsageError: there is no ladder of that name.
        """
        if name not in _PRESETS:
            raise UsageError(
                f"there is no ladder named {name!r}",
                hint=f"Choose one of {', '.join(_PRESETS)}, or give a TOML file",
            )
        return cls(name, _PRESETS[name])

    @classmethod
    def single(cls, model: str, **settings: Any) -> Ladder:
        """A ladder of one rung, for any OpenAI-compatible model."""
        return cls(model, (Rung(model, **settings),))

    @classmethod
    def load(cls, name_or_file: str) -> Ladder:
        """A preset by its name, or a ladder from a TOML file.

        The file has ``[[rung]]`` tables, and where wanted ``[policy]`` and ``[models.NAME]``.

        Raises:
            UsageError: neither a preset nor a readable file, or the file is not a ladder.
        """
        path = Path(name_or_file)
        if name_or_file in _PRESETS or not (path.suffix == ".toml" or path.is_file()):
            return cls.preset(name_or_file)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"the ladder file {path} cannot be read: {error}") from error
        tables: object = data.get("rung")
        if not isinstance(tables, list) or not tables:
            raise UsageError(f"the ladder file {path} has no [[rung]] table")
        rungs = tuple(
            _rung(table, f"{path}, rung {number}")
            for number, table in enumerate(cast("list[object]", tables), 1)
        )
        unknown = sorted(set(data) - {"name", "rung", "policy", "models"})
        if unknown:
            raise UsageError(
                f"the ladder file {path}: unknown table or setting {unknown[0]!r}",
                hint="Known: name, [[rung]], [policy], [models.NAME]",
            )
        from agentkit.escalation.settings import read_policy

        policy = read_policy(data["policy"], f"{path}, [policy]") if "policy" in data else None
        models = data.get("models", {})
        if not isinstance(models, dict):
            raise UsageError(f"the ladder file {path}: models must be a table")
        return cls(str(data.get("name", path.stem)), rungs, policy, cast("dict[str, Any]", models))


def _rung(table: object, where: str) -> Rung:
    if not isinstance(table, dict):
        raise UsageError(f"{where} is not a table")
    return _rung_of(cast("dict[str, Any]", table), where)


def _rung_of(table: Mapping[str, Any], where: str) -> Rung:
    known = {field.name for field in fields(Rung)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise UsageError(
            f"{where}: unknown setting {unknown[0]!r}", hint=f"Known: {', '.join(sorted(known))}"
        )
    try:
        rung = Rung(**table)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from error
    if rung.effort not in get_args(Effort):
        raise UsageError(f"{where}: effort {rung.effort!r} is none of low, high, max")
    if rung.dialect is not None and rung.dialect not in DIALECTS:
        hint = f"Known: {', '.join(DIALECTS)}"
        raise UsageError(f"{where}: no dialect {rung.dialect!r}", hint=hint)
    _check_kinds(rung, where)
    if rung.forms:
        from agentkit.escalation.settings import forms

        forms(rung.forms, where)
    return rung


def _check_kinds(rung: Rung, where: str) -> None:
    number = (int, float)
    kinds: dict[str, tuple[type, ...]] = {
        "thinking": (bool,),
        "model": (str,), "base_url": (str,), "api_key_env": (str,), "max_tokens": (int,),
        "temperature": (*number, NoneType), "top_p": (*number, NoneType),
    }  # fmt: skip
    for name, wanted in kinds.items():
        value = getattr(rung, name)
        if not isinstance(value, wanted) or isinstance(value, bool) is not (wanted == (bool,)):
            raise UsageError(f"{where}: {name} cannot be {value!r}")
    if not rung.model or rung.max_tokens < 1:
        raise UsageError(f"{where}: a rung needs a model and a max_tokens of 1 or more")
