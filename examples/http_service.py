"""An agent behind HTTP, mounted into your own Starlette (or FastAPI) app."""

from __future__ import annotations

import json
import secrets
import socket
import threading

import httpx2
import uvicorn
from _model import call, model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from agentkit import Agent, Limits, tool
from agentkit.serve import router


@tool(read_only=True)
async def stock(article: int) -> str:
    """Return how many pieces of an article are in stock."""
    return f"{article * 7 % 30} pieces"


clerk = Agent(
    "clerk",
    instructions="You answer questions about our stock in one sentence.",
    tools=[stock],
    limits=Limits(cost_usd=0.05, turns=10, deadline=60),
)
TOKENS = {secrets.token_urlsafe(): "shop", secrets.token_urlsafe(): "warehouse"}


async def home(_request: Request) -> PlainTextResponse:
    """Your own routes stay as they are."""
    return PlainTextResponse("our shop")


# FastAPI: app = FastAPI(lifespan=service.lifespan); app.mount("/agents", service)
service = router(clerk, token=TOKENS)
app = Starlette(routes=[Route("/", home), Mount("/agents", service)], lifespan=service.lifespan)


def talk(address: str) -> None:
    """What a client does: begin a session, follow its events, ask for its end."""
    shop, warehouse = TOKENS
    headers = {"Authorization": f"Bearer {shop}"}
    with httpx2.Client(base_url=address, headers=headers, timeout=60) as client:
        print(client.get("/").text)
        begun = client.post("/agents/sessions", json={"message": "How many of article 5?"})
        where = begun.headers["location"]
        with client.stream("GET", f"{where}/events?until=finished&deltas=false") as stream:
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    print("  ", line[7:])
                if line.startswith("data: ") and "output" in (event := json.loads(line[6:])):
                    print(event["output"])
        other = client.get(where, headers={"Authorization": f"Bearer {warehouse}"})
        print(f"another tenant sees: {other.status_code} {other.json()['detail']}")


def main() -> None:
    """Serve on a free port of this machine, and be the client too."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            talk(f"http://127.0.0.1:{sock.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    with model([call("stock", article=5), "Of article 5 we have 5 pieces."]):
        main()
