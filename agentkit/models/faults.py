"""What a provider's failure means: pure functions from status and message to typed errors.

DeepSeek's ``error.code`` is nearly always ``invalid_request_error``, also for an empty balance,
so status *and* message decide, never the code (deepseek.md §6.2, bodies observed until 2026-10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, cast

from agentkit.errors import (
    AuthenticationFailed,
    BalanceEmpty,
    ConcurrencyLimited,
    ContentRefused,
    ContextOverflow,
    ModelError,
    ModelRetired,
    ModelUnknown,
    Overloaded,
    RateLimited,
    RequestInvalid,
    ServerFault,
)
from agentkit.models.leaks import leaked_markup

__all__ = ["classify", "leaked_markup", "message_of", "request_id", "retry_after"]

_CONCURRENCY = re.compile(r"concurrency limit of (\d+)")
_SUPPORTED = re.compile(r"supported API model names are (.+?),? but you passed (\S+?)\.?$")
_OVERFLOW = re.compile(
    r"maximum context length|exceeds? the (?:available|model'?s) (?:max\w* )?context"
    r"|context_length_exceeded|prompt is too long|maximum input length",
    re.IGNORECASE,
)
_UNKNOWN = re.compile(
    r"model[^.]{0,80}(?:does not exist|not found|not exist)|unknown model|no such model",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"insufficient[ _](?:balance|quota|funds|credit)", re.IGNORECASE)
_FILTER = re.compile(r"content[ _](?:filter|policy)|content exists risk", re.IGNORECASE)

REQUEST_ID_HEADERS = ("x-ds-trace-id", "x-request-id", "x-deepseek-request-id", "request-id")


def classify(
    status: int, text: str, headers: Mapping[str, str] | None = None, *, model: str = ""
) -> ModelError:
    """The typed error of an HTTP answer that is no success.

    Args:
        text: the body as it came; DeepSeek's, OpenAI's, FastAPI's and llama.cpp's shapes are
            understood, anything else is quoted.
        headers: looked up in lower case.
        model: the name that was asked for, for the hint about retired ones.
    """
    headers = headers or {}
    message = message_of(text)
    facts: dict[str, Any] = {
        "status": status,
        "retry_after": retry_after(headers),
        "request_id": request_id(headers),
    }
    what = f"the model provider answered {status}: {message}"
    if status in (401, 403):
        hint = "Check the key and which environment variable it is read from"
        return AuthenticationFailed(what, hint=hint, **facts)
    if status == 402 or (status == 429 and _QUOTA.search(message)):
        hint = "Top up the account, then resume the session"
        return BalanceEmpty(what, hint=hint, **facts)
    if status == 429:
        return _rate(what, message, facts)
    if status in (503, 529):
        return Overloaded(what, hint=_LATER, **facts)
    if status >= 500 or status in (408, 409, 425):
        return _server(what, message, facts)
    return _invalid(what, message, model, facts)


_LATER = "If it lasts, resume the session later"


def _server(what: str, message: str, facts: Mapping[str, Any]) -> ModelError:
    if _OVERFLOW.search(message):  # llama.cpp's older servers answer 500 here
        return ContextOverflow(what, **facts)
    return ServerFault(what, hint=_LATER, **facts)


def _rate(what: str, message: str, facts: Mapping[str, Any]) -> ModelError:
    stated = _CONCURRENCY.search(message)
    hint = _LATER
    if "remaining balance" in message:
        hint = "The allowed parallel requests shrink with the balance; top up the account"
    if stated and stated[1] == "0":
        return BalanceEmpty(what, hint="Top up the account, then resume the session", **facts)
    if stated:
        return ConcurrencyLimited(what, hint=hint, concurrency=int(stated[1]), **facts)
    return RateLimited(what, hint=hint, **facts)


def _invalid(what: str, message: str, model: str, facts: Mapping[str, Any]) -> ModelError:
    supported = _SUPPORTED.search(message)
    if supported or _UNKNOWN.search(message) or (facts["status"] == 404 and "model" in message):
        return _unknown_model(what, model or (supported[2] if supported else ""), supported, facts)
    if facts["status"] == 413 or _OVERFLOW.search(message):
        return ContextOverflow(what, hint="Fold the history or start a new lane", **facts)
    if "must be passed back" in message:
        # ``wire`` passes all reasoning back, so the refusal is the gateway's mistake; such 400s
        # came and went between May and August 2026 (deepseek.md §2.3). The same bytes may pass.
        return ServerFault(what, hint="The request holds all reasoning there is", **facts)
    if _FILTER.search(message):
        return ContentRefused(what, hint="Reword the request", **facts)
    if 300 <= facts["status"] < 400:
        hint = "The endpoint redirects; give the address it redirects to as the base URL"
        return RequestInvalid(what, hint=hint, **facts)
    return RequestInvalid(what, hint="The same request cannot succeed", **facts)


def _unknown_model(
    what: str, name: str, supported: re.Match[str] | None, facts: Mapping[str, Any]
) -> ModelUnknown:
    from agentkit.models.catalogue import shipped

    known = shipped().model(name)
    if known.retired:
        return ModelRetired(what, hint=known.farewell, **facts)
    hint = "`agentkit models` lists what the provider serves"
    return ModelUnknown(what, hint=f"It serves {supported[1]}" if supported else hint, **facts)


def message_of(text: str) -> str:
    """The human sentence of an error body, at most 1,000 characters of it."""
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError):
        plain = re.sub(r"<[^>]*>|\s+", " ", text).strip()
        return plain[:300] or "(no text)"
    for key in ("error", "message", "detail"):
        if isinstance(data, dict):
            data = cast("dict[str, object]", data).get(key, cast("object", data))
    return (data if isinstance(data, str) else json.dumps(data, ensure_ascii=False))[:1000]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from ``Retry-After``, in seconds or as a date; None without a usable one."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if seconds < 86_400 else None


def request_id(headers: Mapping[str, str]) -> str:
    """The provider's own id of a request, "" without one."""
    return next((headers[name] for name in REQUEST_ID_HEADERS if headers.get(name)), "")
