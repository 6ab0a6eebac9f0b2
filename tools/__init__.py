"""Tools for coding and terminal work, each a file of its own.

``coder()``, ``minimal()``, ``shell()``, ``edit()``, ``search()`` and ``subagents()`` give lists of
tools for an ``Agent``; ``preset(name)`` gives a system prompt together with its tools. The tools
need nothing of the sandbox but its protocol. See ``docs/tools.md``.
"""

from agentkit.tools.environment import environment_facts
from agentkit.tools.presets import Preset, coder, edit, minimal, preset, search, shell, subagents

__all__ = [
    "Preset",
    "coder",
    "edit",
    "environment_facts",
    "minimal",
    "preset",
    "search",
    "shell",
    "subagents",
]
