"""Loaded by schemathesis (``SCHEMATHESIS_HOOKS``) in ``test_document.py``."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType] - its types leave arguments open
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """A stream ends only with the run that it waits for; here it ends with what is stored."""
    query: dict[str, Any] = case.query or {}
    if case.path.endswith("/events") and query.get("until") in (None, "finished"):
        case.query = {**query, "until": "now"}
