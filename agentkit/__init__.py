"""agentkit: agents for DeepSeek-class models, defined in Python, run in real sandboxes.

Nothing heavy is imported before it is used; ``import agentkit`` alone stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Eager, and it must be: importing a submodule binds it to its package, so the decorator can only
# take the name of its module by being bound after it. The module is light.
from agentkit.tool import Claim, Tool, ToolContext, ToolResult, tool

if TYPE_CHECKING:
    from agentkit.agent import Agent, __version__
    from agentkit.errors import (
        AgentkitError,
        LimitReached,
        ModelError,
        SandboxError,
        StoreError,
        TaskFailed,
        ToolError,
        UsageError,
    )
    from agentkit.hooks import Call, Hooks, Refuse
    from agentkit.ladder import Ladder, Rung
    from agentkit.limits import Limits
    from agentkit.result import Result
    from agentkit.session import Session

__all__ = [
    "Agent",
    "AgentkitError",
    "Call",
    "Claim",
    "Hooks",
    "Ladder",
    "LimitReached",
    "Limits",
    "ModelError",
    "Refuse",
    "Result",
    "Rung",
    "SandboxError",
    "Session",
    "StoreError",
    "TaskFailed",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolResult",
    "UsageError",
    "__version__",
    "tool",
]

_HOME = {
    "Agent": "agent",
    "__version__": "agent",
    "Call": "hooks",
    "Hooks": "hooks",
    "Refuse": "hooks",
    "Ladder": "ladder",
    "Rung": "ladder",
    "Limits": "limits",
    "Result": "result",
    "Session": "session",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"agentkit.{_HOME.get(name, 'errors')}"), name)
    globals()[name] = found
    return found
