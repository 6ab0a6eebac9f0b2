"""Any OpenAI-compatible endpoint: here a toy one, on nothing but the standard library."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from agentkit import Agent, Ladder, tool


@tool(read_only=True)
def word_count(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


def main(port: int) -> None:
    """Run an agent against the server on that port."""
    agent = Agent(
        "counter",
        tools=[word_count],
        ladder=Ladder.single("toy-1", base_url=f"http://127.0.0.1:{port}/v1"),
        api_key="any",  # or name a variable: Ladder.single(…, api_key_env="MY_KEY")
    )
    result = agent.run_sync("How many words has 'the quick brown fox'?")
    print(result.output)
    price = f"${result.cost_usd:.4f}" if result.priced else "no known price"
    print(f"[{result.status}, {result.usage.prompt_tokens} tokens in, {price}]")


class Toy(BaseHTTPRequestHandler):
    """Speaks just enough of chat completions: one tool call, then an answer.

    It never streams: agentkit asks for a stream only where somebody watches (``session.stream``).
    """

    def do_POST(self) -> None:
        """Answer one request."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        last = body["messages"][-1]
        if last["role"] == "tool":
            message = {"role": "assistant", "content": f"It has {last['content']} words."}
        else:
            function = {"name": "word_count", "arguments": '{"text": "the quick brown fox"}'}
            call = {"id": "call_1", "type": "function", "function": function}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        finish = "tool_calls" if "tool_calls" in message else "stop"
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 80, "completion_tokens": 9, "total_tokens": 89},
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the example's own output is what matters."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), Toy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        main(server.server_port)
        server.shutdown()
