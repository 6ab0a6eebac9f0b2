"""What users test their agents with: a fake provider, scripts, prefix assertions.

Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentkit.testing.prefix import assert_prefix_stable
    from agentkit.testing.script import Call, Reply
    from agentkit.testing.scripted import ScriptedModel
    from agentkit.testing.server import FakeDeepSeek

__all__ = ["Call", "FakeDeepSeek", "Reply", "ScriptedModel", "assert_prefix_stable"]

_WHERE = {
    "Call": "script",
    "FakeDeepSeek": "server",
    "Reply": "script",
    "ScriptedModel": "scripted",
    "assert_prefix_stable": "prefix",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
