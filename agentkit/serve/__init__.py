"""Agents over HTTP: sessions, resumable event streams, approvals (extra ``serve``).

service = agentkit.serve.router(agent, token=os.environ["AGENTS_TOKEN"])
app = FastAPI(lifespan=service.lifespan)
app.mount("/agents", service)
"""

from agentkit.errors import UsageError

try:
    import sse_starlette as _sse
    import starlette as _starlette
except ImportError as error:
    raise UsageError(
        "the HTTP service needs starlette and sse-starlette, which are not installed",
        hint="pip install 'agentkit-deepseek[serve]'",
    ) from error

from agentkit.serve.agents import Factory, Opening
from agentkit.serve.openapi import document
from agentkit.serve.queue import Capacity
from agentkit.serve.service import Service, router
from agentkit.serve.token import Authenticate, kept_token

del _sse, _starlette

__all__ = [
    "Authenticate",
    "Capacity",
    "Factory",
    "Opening",
    "Service",
    "document",
    "kept_token",
    "router",
]
