"""A service in a process of its own: ``program.py STORE SCHEMA GATE``; prints its address.

Its agent has one tool that only looks, one that changes a file, and one that waits for the gate: a
folder in which the tests open it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from agentkit import Agent, logs, tool
from agentkit.hooks import Approval
from agentkit.serve import Capacity, router
from agentkit.stores import Store, postgres
from agentkit.stores.postgres import PostgresStore
from agentkit.stores.sqlite import SQLiteStore

GATE = Path(sys.argv[3])


@tool(read_only=True)
async def look(what: str) -> str:
    """Look at something."""
    return f"{what} is there"


@tool(read_only=True)
async def wait(name: str) -> str:
    """Wait until a gate is open."""
    (GATE / f"{name}.waits").touch()
    while not (GATE / name).exists():  # noqa: ASYNC110 - another process opens it
        await anyio.sleep(0.02)
    return f"{name} is open"


@tool
async def write(text: str) -> str:
    """Write a line into the file of the tests."""
    with (GATE / "written").open("a") as file:
        file.write(text + "\n")
    return "written"


def main() -> None:
    where, schema = sys.argv[1:3]
    postgres.PATIENCE = float(os.environ.get("PATIENCE", postgres.PATIENCE))
    store: Store = PostgresStore(where, schema=schema) if schema else SQLiteStore(where)
    approval: Approval = "ask" if os.environ.get("APPROVE") == "ask" else "auto"
    agent = Agent("tester", tools=[look, wait, write], approval=approval)
    service = router(
        agent,
        store=store,
        token=json.loads(os.environ["TOKENS"]),
        capacity=Capacity(**json.loads(os.environ.get("CAPACITY", "{}"))),
        origins=["https://known.example.com"],
    )
    sock = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    place = os.environ.get("MOUNT", "")
    app = Starlette(routes=[Mount(place, service)], lifespan=service.lifespan) if place else service
    print(f"http://127.0.0.1:{sock.getsockname()[1]}{place}", flush=True)
    logs.configure()
    config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[sock])
    store.close()


if __name__ == "__main__":
    main()
