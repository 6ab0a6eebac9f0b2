"""What a turn costs as the history grows: agentkit beside a bare loop on the openai package.

    python -m benchmarks.history [TURNS] [BYTES]

One job for both: a tool is called TURNS times and gives BYTES of text each time; a fake provider
in a process of its own answers. Each contender runs in a process of its own; the figures are the
CPU time of that process per turn, so the provider's own work is not in them. Quote the ratio: the
machine's speed is in both.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import anyio

from agentkit import Agent, Limits, tool
from agentkit.stores import Store
from agentkit.stores.memory import MemoryStore
from agentkit.stores.sqlite import SQLiteStore

TASK = "Call the tool until you are told that it is enough."
MODEL = "deepseek-flash"


def provider(turns: int) -> None:
    """Serve the scripted model until standard input closes."""
    from agentkit.testing import Call, FakeDeepSeek, Reply

    def answer(request: dict[str, Any]) -> Reply:
        done = sum(message["role"] == "assistant" for message in request["messages"])
        if done >= turns:
            return Reply(content="enough")
        return Reply(reasoning="again", calls=[Call("get", {"number": done})])

    with FakeDeepSeek(answer) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


class Clock:
    """CPU seconds of this process at each call of the tool."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def tick(self) -> None:
        """Note the time of a call."""
        self.marks.append(time.process_time())

    def report(self) -> dict[str, float]:
        """Milliseconds a turn, and the peak of memory."""
        spans = [after - before for before, after in zip(self.marks, self.marks[1:], strict=False)]
        tenth = max(1, len(spans) // 10)
        return {
            "mean": 1000 * sum(spans) / len(spans),
            "first": 1000 * sum(spans[:tenth]) / tenth,
            "last": 1000 * sum(spans[-tenth:]) / tenth,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def run_agentkit(url: str, size: int, store: Store) -> dict[str, float]:
    """The job through agentkit."""
    clock = Clock()

    @tool(read_only=True)
    async def get(number: int) -> str:  # pyright: ignore[reportUnusedFunction]
        """Get a text."""
        clock.tick()
        return "x" * size

    agent = Agent(
        "bench",
        tools=[get],
        base_url=url,
        api_key="none",
        store=store,
        limits=Limits(cost_usd=None, turns=None),
    )
    result = agent.run_sync(TASK)
    assert result.ok, result.output
    return clock.report()


def run_sdk(url: str, size: int) -> dict[str, float]:
    """The loop that everybody writes first."""
    clock = Clock()
    entry: Any = {
        "type": "function",
        "function": {
            "name": "get",
            "description": "Get a text.",
            "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
        },
    }

    async def loop() -> None:
        from openai import AsyncOpenAI

        client = AsyncOpenAI(base_url=url, api_key="none")
        messages: list[Any] = [{"role": "user", "content": TASK}]
        while True:
            response = await client.chat.completions.create(
                model=MODEL, messages=messages, tools=[entry], max_tokens=1000
            )
            message: Any = response.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return
            for call in message.tool_calls:
                clock.tick()
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "x" * size})

    anyio.run(loop)
    return clock.report()


def contender(name: str, url: str, size: int) -> dict[str, float]:
    """Run one contender in this process."""
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[str, Callable[[], dict[str, float]]] = {
            "agentkit": lambda: run_agentkit(url, size, SQLiteStore(folder)),
            "agentkit, memory": lambda: run_agentkit(url, size, MemoryStore()),
            "openai create": lambda: run_sdk(url, size),
        }
        return runs[name]()


def measure(turns: int, size: int) -> dict[str, dict[str, float]]:
    """All contenders, one after the other, against one provider."""
    rows: dict[str, dict[str, float]] = {}
    for name in ("agentkit", "agentkit, memory", "openai create"):
        command = [sys.executable, "-m", "benchmarks.history"]
        with subprocess.Popen(
            [*command, "--provider", str(turns)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            done = subprocess.run(
                [*command, "--contender", name, url, str(size)],
                capture_output=True,
                text=True,
                check=True,
            )
            server.terminate()
        rows[name] = json.loads(done.stdout)
    return rows


def main() -> None:
    """Print the table, or play one part of it."""
    match sys.argv[1:]:
        case ["--provider", turns]:
            provider(int(turns))
        case ["--contender", name, url, size]:
            print(json.dumps(contender(name, url, int(size))))
        case [turns, size]:
            table(int(turns), int(size))
        case _:
            table(500, 200)


def table(turns: int, size: int) -> None:
    """Measure and print."""
    rows = measure(turns, size)
    base = rows["openai create"]["mean"]
    print(f"{turns} turns of {size} bytes; CPU ms per turn of the contender's process")
    print(f"{'':18}{'mean':>8}{'first 10%':>11}{'last 10%':>10}{'peak MB':>9}{'ratio':>8}")
    for name, row in rows.items():
        print(
            f"{name:18}{row['mean']:8.2f}{row['first']:11.2f}{row['last']:10.2f}"
            f"{row['peak_mb']:9.0f}{base / row['mean']:7.1f}x"
        )


if __name__ == "__main__":
    main()
