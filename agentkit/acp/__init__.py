"""Agents in editors: the Agent Client Protocol, through its official package.

``speak`` is one connection: an editor on one side, an agent's sessions on the other. The command
``agentkit acp`` is this over standard input and output.
"""

from agentkit.acp.connection import speak
from agentkit.acp.opening import Factory, Opening

__all__ = ["Factory", "Opening", "speak"]
