"""``python -m agentkit`` is ``agentkit``."""

from agentkit.cli import main

main()
