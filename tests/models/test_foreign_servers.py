"""Servers that are not ours and take the protocol lightly."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from agentkit.ladder import Rung
from agentkit.models import wire
from agentkit.models.endpoint import connect

pytestmark = pytest.mark.anyio

WHOLE = {
    "choices": [{"message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}]
}
CHUNK = {"choices": [{"index": 0, "delta": {"content": "Hello."}, "finish_reason": "stop"}]}


class Handler(BaseHTTPRequestHandler):
    """Answers every request in one way, whatever was asked."""

    style: ClassVar[str] = "json"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.style == "json":
            kind, data = "application/json", json.dumps(WHOLE)
        else:
            kind, data = "text/event-stream", f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture(params=["json", "sse"])
def url(request: pytest.FixtureRequest) -> Generator[str]:
    handler = type("One", (Handler,), {"style": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("stream", [True, False])
async def test_streamed_or_not_whatever_was_asked(url: str, stream: bool) -> None:
    head = wire.head(Rung("some-model"), system="s", tools=[])
    tail = wire.tail(max_tokens=100, stream=stream, dialect="openai")
    endpoint = connect(url)
    try:
        answer = await endpoint.ask(wire.body(head, [wire.user("hi")], tail), stream=stream)
    finally:
        await endpoint.aclose()
    assert answer.content == "Hello."
    assert not answer.usage.reported
