"""The sandboxes that agentkit ships: ``Docker`` (the default), ``Container`` and ``Local``.

``Pool`` keeps some of the first ready. Each is a frozen description that opens one sandbox per
session. Importing this package is cheap; the docker package is loaded when a sandbox that needs it
is opened.
"""

from agentkit.sandboxes.container import Container
from agentkit.sandboxes.docker import Docker
from agentkit.sandboxes.local import Local
from agentkit.sandboxes.pool import Pool

__all__ = ["Container", "Docker", "Local", "Pool"]
