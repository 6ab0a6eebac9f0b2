"""A ladder's policy as TOML, and what must be true of a ladder before any money is spent on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from agentkit.errors import ModelUnknown, UsageError
from agentkit.escalation.policy import Caps, Policy, Thresholds
from agentkit.escalation.prices import FORMS, Sizes

if TYPE_CHECKING:
    from agentkit.ladder import Ladder, Rung
    from agentkit.models.catalogue import Catalogue

_GROUPS: Mapping[str, type[Any]] = {"thresholds": Thresholds, "caps": Caps, "sizes": Sizes}


def read_policy(table: object, where: str) -> Policy:
    """The policy of a ``[policy]`` table; what it does not name keeps its default.

    Raises:
        UsageError: an unknown setting or a value of the wrong kind.
    """
    values: dict[str, Any] = dict(_settings(Policy, _table(table, where), where))
    for name, kind in _GROUPS.items():
        if name in values:
            there = f"{where}.{name}"
            values[name] = kind(**_settings(kind, _table(values[name], there), there))
    if "chances" in values:
        values["chances"] = {**Policy().chances, **_table(values["chances"], f"{where}.chances")}
    if "forms" in values:
        values["forms"] = frozenset(forms(values["forms"], where))
    return Policy(**values)


def forms(value: object, where: str) -> tuple[str, ...]:
    """Names of forms.

    Raises:
        UsageError: not a list, or an unknown form.
    """
    names = cast("list[object]", value) if isinstance(value, list | tuple) else [value]
    for name in names:
        if name not in FORMS:
            raise UsageError(
                f"{where}: there is no form {name!r}", hint=f"The forms are {', '.join(FORMS)}"
            )
    return tuple(str(name) for name in names)


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table, not {value!r}")
    return cast("dict[str, Any]", value)


def _settings(kind: type[Any], table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table's values under the names of the fields, with the kind of their defaults."""
    defaults = kind()
    known = {field.name: getattr(defaults, field.name) for field in fields(kind)}
    out: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        name = name if name in known else name.replace("_", "")  # hand-off, re-plan
        if name not in known:
            raise UsageError(
                f"{where}: unknown setting {key!r}", hint=f"Known: {', '.join(sorted(known))}"
            )
        out[name] = _number(value, known[name], f"{where}: {key}")
    return out


def _number(value: object, default: object, where: str) -> object:
    if is_dataclass(default) or not isinstance(default, int | float):
        return value  # checked by whoever reads that table
    if isinstance(value, bool) != isinstance(default, bool) or not isinstance(value, int | float):
        raise UsageError(f"{where} must be a number, not {value!r}")
    if value < 0:
        raise UsageError(f"{where} must not be below 0")
    return float(value) if isinstance(default, float) else value


def require_sound(
    ladder: Ladder, catalogue: Catalogue, *, own_endpoint: bool, connect: Callable[[Rung], object]
) -> None:
    """Refuse a ladder on which a climb would fail or could not be weighed.

    Args:
        own_endpoint: the session asks another address than DeepSeek's, which may serve anything.
        connect: makes a rung's endpoint; it knows which keys are there.

    Raises:
        UsageError: which rung, and what is wrong with it.
    """
    names: dict[tuple[object, ...], str] = {}
    for number, rung in enumerate(ladder.rungs, 1):
        where = f"ladder {ladder.name!r}, rung {number} ({rung.name})"
        if len(ladder.rungs) == 1:
            connect(rung)
            return
        facts = catalogue.model(rung.model)
        if not facts.known and not own_endpoint and not rung.base_url:
            _refuse_unknown(rung.model, where, catalogue)
        try:
            connect(rung)
            catalogue.require(rung.model)
        except ModelUnknown as error:
            raise UsageError(f"{where}: {error.what}", hint=error.hint) from error
        if catalogue.price(rung.model, datetime.now(UTC)) is None:
            raise UsageError(
                f"{where} has no price, so a climb to it cannot be weighed",
                hint=f'Give hit, miss and output (0 where it is free) under [models."{rung.model}"]'
                " of the ladder's file or of agentkit.toml",
            )
        same = (facts.name, rung.thinking, rung.effort, rung.base_url, rung.temperature, rung.top_p)
        if same in names:
            raise UsageError(
                f"{where} leads back to {names[same]}: both ask the same model in the same way",
                hint="Leave one of them out",
            )
        names[same] = f"rung {number}"


def _refuse_unknown(model: str, where: str, catalogue: Catalogue) -> None:
    known = [facts.name for facts in catalogue]
    near = get_close_matches(model, known, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    raise UsageError(
        f"{where}: no model of this name is known",
        hint=f"{guess}`agentkit models` lists them; one that is served elsewhere needs a base_url",
    )
