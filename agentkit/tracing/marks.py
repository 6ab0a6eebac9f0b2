"""What happens at one moment, as an event on a span: a name and its attributes.

Words (reasons, commands, details) are content, and told only where that was asked for.
"""

from __future__ import annotations

import json
from typing import Any

from agentkit import events as e

Mark = tuple[str, dict[str, Any]]


def mark(event: e.Event, with_content: bool) -> Mark | None:  # noqa: C901, PLR0911, PLR0912 - a case per kind
    """The mark of an event; None for what is told in another way, or not at all."""
    match event:
        case e.Evidence():
            told = {"kind": event.kind, "weight": event.weight}
            return _made("evidence", told, with_content, detail=event.detail)
        case e.RungChanged():
            return _change(event, with_content)
        case e.RungSkipped():
            return _made("rung.skipped", {"rung": event.rung}, with_content, reason=event.reason)
        case e.CheckPassed() | e.CheckFailed():
            passed = isinstance(event, e.CheckPassed)
            code = 0 if passed else event.exit_code
            told = {"passed": passed, "exit_code": code, "duration": event.duration}
            return _made("check", told, with_content, command=event.command)
        case e.PrefixBroken():
            told = {"region": event.region, "tokens": event.tokens, "usd": event.price_usd}
            return _made("prefix.broken", told, with_content, cause=event.cause)
        case e.ModelChanged():
            told = {"model": event.model, "served": event.served_now}
            return _made("model.changed", told, with_content)
        case e.LimitNear():
            told = {"limit": event.limit, "used": event.used, "allowed": event.allowed}
            return _made("limit.near", told, with_content)
        case e.ApprovalAsked():
            return _made("approval.asked", {"tool": event.tool}, with_content)
        case e.ApprovalAnswered():
            told = {"allowed": event.allowed}
            return _made("approval.answered", told, with_content, reason=event.reason)
        case e.Folded():
            return _made("folded", {"to": event.to}, with_content)
        case e.Waited():
            return _made("waited", {"seconds": event.seconds}, with_content)
        case e.Steered():
            return _made("steered", {}, with_content)
        case _:
            return None


def _change(event: e.RungChanged, with_content: bool) -> Mark:
    """A reaction of the ladder, with the price of each form that was weighed."""
    told = {
        "form": event.form,
        "from": event.from_rung,
        "to": event.to_rung,
        "prices": json.dumps(event.prices, default=str) if event.prices else "",
    }
    return _made("rung.changed", told, with_content, reason=event.reason)


def _made(name: str, told: dict[str, Any], with_content: bool, **words: str) -> Mark:
    values = {**told, **(words if with_content else {})}
    return (
        f"agentkit.{name}",
        {f"agentkit.{name}.{key}": value for key, value in values.items() if value != ""},
    )
