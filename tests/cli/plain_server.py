"""A scripted OpenAI-compatible server made of ``http.server`` only: a judge that is not ours.

It knows nothing of DeepSeek and nothing of agentkit. From a shell: ``plain_server.py STEPS.json``
prints its address and the time of each request's arrival.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = dict[str, Any]
"""``content``, ``calls`` (name, arguments as text or object), ``wait`` in seconds, ``status``."""


class PlainServer:
    """Answers the n-th request of a conversation (by its number of answers) with step n."""

    def __init__(self, steps: list[Step], *, announce: bool = False) -> None:
        self.steps = steps
        self.requests: list[dict[str, Any]] = []
        self.announce = announce
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                if owner.announce:
                    print(f"request {time.time():.4f}", flush=True)
                owner.answer(self, json.loads(self.rfile.read(size)))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> PlainServer:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def answer(self, handler: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        self.requests.append(request)
        turns = sum(each["role"] == "assistant" for each in request["messages"])
        step = self.steps[min(turns, len(self.steps) - 1)]
        time.sleep(step.get("wait", 0))
        status = step.get("status", 200)
        try:
            if status != 200:
                body = {"error": {"message": step.get("message", "no"), "type": "error"}}
                _send(handler, status, "application/json", json.dumps(body).encode())
            elif request.get("stream"):
                _send(handler, 200, "text/event-stream", _stream(request, step))
            else:
                _send(handler, 200, "application/json", json.dumps(_whole(request, step)).encode())
        except (BrokenPipeError, ConnectionResetError):
            pass


def _send(handler: BaseHTTPRequestHandler, status: int, kind: str, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _message(step: Step) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": step.get("content")}
    calls: list[dict[str, Any]] = step.get("calls", [])
    if calls:
        message["tool_calls"] = [
            {
                "index": number,
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": call["name"], "arguments": _text(call["arguments"])},
            }
            for number, call in enumerate(calls)
        ]
    return message


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _frame(request: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "x", "created": 1, "model": request["model"], **fields}


_USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def _whole(request: dict[str, Any], step: Step) -> dict[str, Any]:
    reason = "tool_calls" if step.get("calls") else "stop"
    choice = {"index": 0, "message": _message(step), "finish_reason": reason}
    return _frame(request, object="chat.completion", choices=[choice], usage=_USAGE)


def _stream(request: dict[str, Any], step: Step) -> bytes:
    reason = "tool_calls" if step.get("calls") else "stop"
    first = {"index": 0, "delta": _message(step), "finish_reason": None}
    last: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": reason}
    kind = "chat.completion.chunk"
    chunks = [
        _frame(request, object=kind, choices=[first]),
        _frame(request, object=kind, choices=[last]),
        _frame(request, object=kind, choices=[], usage=_USAGE),
    ]
    lines = [f"data: {json.dumps(each)}\n\n" for each in chunks]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        script = json.load(file)
    with PlainServer(script, announce=True) as running:
        print(running.url, flush=True)
        running.thread.join()
