"""Agents in a FastAPI service whose sessions live in PostgreSQL; fifty customers ask at once.

DATABASE_URL=postgresql://… python examples/fastapi_service.py      (without it: a SQLite file)
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx2
import uvicorn
from _model import call, model
from fastapi import Depends, FastAPI, Header, HTTPException
from starlette.requests import Request

from agentkit import Agent, Limits, tool
from agentkit.serve import Capacity, router
from agentkit.stores import open_store
from agentkit.testing import Reply

CUSTOMERS = 50
KEYS = {secrets.token_urlsafe(): f"customer-{number}" for number in range(1, CUSTOMERS + 1)}
"""Your users, as your own database has them."""
store = open_store(os.environ.get("DATABASE_URL", ""))


@tool(read_only=True)
async def stock(article: int) -> str:
    """Return how many pieces of an article are in stock."""
    await asyncio.sleep(0.05)  # a slow warehouse
    return f"{article * 7 % 30} pieces"


clerk = Agent(
    "clerk",
    instructions="You answer questions about our stock in one sentence.",
    tools=[stock],
    limits=Limits(cost_usd=0.05, turns=10, deadline=60),
    store=store,
)


async def customer(authorization: Annotated[str, Header()] = "") -> str:
    """Your own authentication, as a dependency of your own routes."""
    name = KEYS.get(authorization.removeprefix("Bearer "))
    if name is None:
        raise HTTPException(401, "who are you?")
    return name


async def tenant(request: Request) -> str | None:
    """The same for the mounted service: each customer sees only their own sessions."""
    return KEYS.get(request.headers.get("authorization", "").removeprefix("Bearer "))


service = router(
    clerk,
    store=store,
    authenticate=tenant,
    capacity=Capacity(runs=CUSTOMERS, tenant_runs=2),
)
app = FastAPI(lifespan=service.lifespan)
app.mount("/agents", service)


@app.get("/stock/{article}")
async def answer(article: int, name: Annotated[str, Depends(customer)]) -> dict[str, str]:
    """A route of your own that runs an agent and waits for its end."""
    result = await clerk.run(f"How many of article {article}?")
    return {"customer": name, "answer": result.output}


async def ask(client: httpx2.AsyncClient, key: str, article: int) -> str:
    """One customer: begin a session, follow its events, give its answer."""
    headers = {"Authorization": f"Bearer {key}"}
    question = {"message": f"How many of article {article}?"}
    begun = await client.post("/agents/sessions", json=question, headers=headers)
    begun.raise_for_status()
    events = f"{begun.headers['location']}/events?until=finished&deltas=false"
    output = ""
    async with client.stream("GET", events, headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                output = json.loads(line[6:]).get("output", output)
    return output


async def talk(address: str) -> None:
    """All customers at once, each with a session of their own."""
    limits = httpx2.Limits(max_connections=CUSTOMERS)
    async with httpx2.AsyncClient(base_url=address, timeout=60, limits=limits) as client:
        own = await client.get("/stock/60", headers={"Authorization": f"Bearer {next(iter(KEYS))}"})
        print(own.json())
        began = time.monotonic()
        answers = await asyncio.gather(
            *(ask(client, key, number) for number, key in enumerate(KEYS, 1))
        )
    right = sum(f"article {n} we have {n * 7 % 30} " in a for n, a in enumerate(answers, 1))
    print(f"{right} of {CUSTOMERS} answered in {time.monotonic() - began:.1f} s, in {store.where}")


@asynccontextmanager
async def serving() -> AsyncGenerator[str]:
    """The service on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        running = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


async def main() -> None:
    """Serve, and be the customers too."""
    async with serving() as address:
        await talk(address)
    store.close()


def script() -> dict[str, list[Reply | str]]:
    """Each conversation has answers of its own, found by a part of its question."""
    return {
        f"article {number}?": [
            call("stock", article=number),
            f"Of article {number} we have {number * 7 % 30} pieces.",
        ]
        for number in (*range(1, CUSTOMERS + 1), 60)
    }


if __name__ == "__main__":
    with model(script()):
        asyncio.run(main())
