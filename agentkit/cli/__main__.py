"""``python -m agentkit.cli`` is ``agentkit``."""

from agentkit.cli import main

main()
