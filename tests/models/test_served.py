"""What the provider says it served is logged, and a change of it is an event."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentkit import Agent
from agentkit.events import ModelChanged, ModelResponded
from agentkit.ladder import Ladder
from agentkit.log import read
from agentkit.stores.memory import MemoryStore

SERVED = [
    ("deepseek-flash", "fp_1"),
    ("deepseek-flash", "fp_1"),
    ("deepseek-flash", "fp_2"),
    ("deepseek-v5-flash", "fp_2"),
]


class Moving(ThreadingHTTPServer):
    """A provider that changes what it serves under one name."""

    answered = 0


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Moving)
        model, fingerprint = SERVED[self.server.answered]
        self.server.answered += 1
        message = {"role": "assistant", "content": "Hello."}
        data = json.dumps(
            {
                "model": model,
                "system_fingerprint": fingerprint,
                "choices": [{"message": message, "finish_reason": "stop"}],
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def moving() -> Generator[str, None, None]:
    server = Moving(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_change_is_an_event_also_across_a_resume(moving: str) -> None:
    store = MemoryStore()
    ladder = Ladder.single("deepseek-flash")
    agent = Agent("a", ladder=ladder, base_url=moving, api_key="k", store=store)
    for number in range(len(SERVED)):  # each message in a process of its own, as it were
        async with replace(agent).session("s", resume=number > 0) as session:
            await session.run("Hello.")
    events = read(store, "s")
    answers = [event for event in events if isinstance(event, ModelResponded)]
    assert [(each.served_model, each.fingerprint) for each in answers] == SERVED
    changes = [event for event in events if isinstance(event, ModelChanged)]
    assert [(each.served_before, each.served_now) for each in changes] == [
        ("deepseek-flash", "deepseek-flash"),
        ("deepseek-flash", "deepseek-v5-flash"),
    ]
    assert (changes[0].fingerprint_before, changes[0].fingerprint_now) == ("fp_1", "fp_2")
