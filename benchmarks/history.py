"""What a turn costs as the history grows: agentkit beside a bare loop on the openai package.

    python -m benchmarks.history [SHAPE …]        (all of them without an argument)

One scripted job for all: a tool is called again and again and gives so many bytes of text each
time; a fake provider in a process of its own answers. Each contender runs in a process of its own
after a session of two turns to warm up; the figures are that process's CPU time per turn, so the
provider's work is not in them. Quote the ratios: the machine's speed is in both. Peers that are
installed in the environment run too (``benchmarks/history_peers.py``).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio

from agentkit import Agent, Ladder, Limits, tool
from agentkit.models.catalogue import Catalogue
from agentkit.stores.memory import MemoryStore
from agentkit.stores.sqlite import SQLiteStore
from benchmarks.history_peers import PEERS, GetText, Job

MODEL = "deepseek-flash"
WINDOW = 1_200_000
"""Tokens, so that a history of 1M is sent whole, as the others do, and not folded at 0.9."""
DELTA = 24
"""Characters of one delta of the fake provider."""


@dataclass(frozen=True)
class Shape:
    """One job."""

    name: str
    words: str
    turns: int
    size: int
    """Bytes of each result."""
    deltas: int = 0
    """Pieces of each answer, which is then streamed."""
    sessions: int = 1
    rounds: int = 1
    """Runs of each contender, of which the one with the median mean counts."""
    target: str = ""
    """What issue 4 of this project asked for, of the session with the durable log."""


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("10", "10 turns of 200 B", 10, 200, rounds=5, target="mean ≤ 2 ms"),
        Shape("100", "100 turns of 200 B", 100, 200, rounds=3, target="mean ≤ 2 ms"),
        Shape("500", "500 turns of 200 B", 500, 200, target="mean ≤ 3 ms, last ≤ 1.5 × first"),
        Shape("1M", "200 turns of 20 kB, 1.0M tokens, in a window of 1.2M: no fold", 200, 20_000,
              target="last ≤ 9 ms, peak ≤ 110 MB"),
        Shape("stream", "20 streamed answers of 330 deltas", 20, 200, 330, target="mean ≤ 5 ms"),
        Shape("1000", "1,000 sessions of 10 turns", 10, 200, sessions=1000,
              target="≥ 600 turns per CPU second, ≤ 120 KB a session"),
    )
}  # fmt: skip


def provider() -> None:
    """Serve the scripted model until standard input closes; the task says how many turns."""
    from agentkit.testing import Call, FakeDeepSeek, Reply

    def answer(request: dict[str, Any]) -> Reply:
        messages = request["messages"]
        task = next(each["content"] for each in messages if each["role"] == "user")
        turns, deltas = (int(word) for word in task.split()[1:3])
        done = sum(message["role"] == "assistant" for message in messages)
        if done >= turns:
            return Reply(content="enough")
        thought = "again " * 3 if not deltas else "x" * (DELTA * deltas)
        name = request["tools"][0]["function"]["name"]
        arguments = {"command": f"get {done}"} if name == "bash" else {"number": done}
        return Reply(reasoning=thought, calls=[Call(name, arguments)])

    with FakeDeepSeek(answer, keep=False, exact=False) as server:
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
        """Milliseconds a turn."""
        spans = [after - before for before, after in zip(self.marks, self.marks[1:], strict=False)]
        tenth = max(1, len(spans) // 10)
        return {
            "mean": 1000 * sum(spans) / len(spans),
            "first": 1000 * sum(spans[:tenth]) / tenth,
            "last": 1000 * sum(spans[-tenth:]) / tenth,
        }


def agentkit_job(url: str, get_text: GetText, store: Any) -> Job:
    """Sessions of one agent."""

    @tool  # each call may change files: reading on and on is evidence that work is stuck
    async def get(number: int) -> str:
        """Get a text."""
        return get_text(number)

    agent = Agent(
        "bench",
        tools=[get],
        base_url=url,
        api_key="none",
        store=store,
        ladder=Ladder.single(MODEL, max_tokens=8_000),
        catalogue=Catalogue.load({MODEL: {"context": WINDOW}}),
        limits=Limits(cost_usd=None, turns=None),
    )

    async def job(task: str, stream: bool) -> None:
        async with agent.session() as session:
            if stream:
                async for _ in session.stream(task):
                    pass
                result = session.result
            else:
                result = await session.run(task)
        assert result.ok, result.output

    return job


def sdk_job(url: str, get_text: GetText) -> Job:
    """The loop that everybody writes first; all sessions share a client, as one should."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none")
    entry: Any = {
        "type": "function",
        "function": {
            "name": "get",
            "description": "Get a text.",
            "parameters": {"type": "object", "properties": {"number": {"type": "integer"}}},
        },
    }

    async def job(task: str, stream: bool) -> None:
        messages: list[Any] = [{"role": "user", "content": task}]
        while True:
            ask = {"model": MODEL, "messages": messages, "tools": [entry], "max_tokens": 1000}
            message = await (_streamed if stream else _whole)(client, ask)
            messages.append(message)
            if not message.get("tool_calls"):
                return
            for call in message["tool_calls"]:
                number = json.loads(call["function"]["arguments"])["number"]
                text = get_text(number)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})

    return job


async def _whole(client: Any, ask: dict[str, Any]) -> dict[str, Any]:
    response = await client.chat.completions.create(**ask)
    return response.choices[0].message.model_dump(exclude_none=True)


async def _streamed(client: Any, ask: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_content": ""}
    calls: list[dict[str, Any]] = []
    async for chunk in await client.chat.completions.create(**ask, stream=True):
        for choice in chunk.choices:
            delta = choice.delta
            message["content"] += delta.content or ""
            message["reasoning_content"] += getattr(delta, "reasoning_content", None) or ""
            for piece in delta.tool_calls or ():
                if piece.index >= len(calls):
                    function = {"name": "", "arguments": ""}
                    calls.append({"id": piece.id, "type": "function", "function": function})
                calls[piece.index]["function"]["name"] += piece.function.name or ""
                calls[piece.index]["function"]["arguments"] += piece.function.arguments or ""
    return message | ({"tool_calls": calls} if calls else {})


def contender(name: str, url: str, shape: Shape) -> dict[str, float]:
    """Run one contender in this process."""
    with tempfile.TemporaryDirectory() as folder:
        makers: dict[str, Callable[[str, GetText], Job]] = {
            "agentkit": lambda url, get: agentkit_job(url, get, SQLiteStore(folder)),
            "agentkit, memory": lambda url, get: agentkit_job(url, get, MemoryStore()),
            "openai create": sdk_job,
            **PEERS,
        }
        return anyio.run(_measure, makers[name], url, shape)


async def _measure(make: Callable[[str, GetText], Job], url: str, shape: Shape) -> dict[str, float]:
    clock = Clock()
    text = "x" * shape.size

    def get_text(_number: int) -> str:
        clock.tick()
        return text

    job = make(url, get_text)
    stream = shape.deltas > 0
    await job(f"Turns: 2 {shape.deltas} to warm up.", stream)
    clock.marks.clear()
    before, peak = time.process_time(), _resident()
    async with anyio.create_task_group() as tasks:
        for number in range(shape.sessions):
            task = f"Turns: {shape.turns} {shape.deltas} until it is enough. Job {number}."
            tasks.start_soon(job, task, stream)
    spent = time.process_time() - before
    turns = shape.sessions * (shape.turns + 1)
    return clock.report() | {
        "rate": turns / spent,
        "peak_mb": _resident() / 1024,
        "session_kb": (_resident() - peak) / shape.sessions,
    }


def _resident() -> float:
    """The peak of memory so far, in KB."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def measure(shape: Shape, names: list[str]) -> dict[str, dict[str, float]]:
    """All contenders in turn, each in a process of its own, against a provider of its own."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(shape.rounds):
        for name in names:
            if row := _one(shape, name):
                runs[name].append(row)
    rows = {name: sorted(each, key=lambda row: row["mean"]) for name, each in runs.items() if each}
    return {name: each[len(each) // 2] for name, each in rows.items()}


def _one(shape: Shape, name: str) -> dict[str, float] | None:
    command = [sys.executable, "-m", "benchmarks.history"]
    with subprocess.Popen(
        [*command, "--provider"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        done = subprocess.run(
            [*command, "--contender", name, url, shape.name],
            capture_output=True,
            text=True,
            check=False,
        )
        server.terminate()
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1][:120]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(shape: Shape) -> None:
    """Measure and print."""
    rows = measure(shape, ["agentkit", "agentkit, memory", "openai create", *PEERS])
    many = shape.sessions > 1
    print(f"\n{shape.words}; CPU of the contender's process. Target: {shape.target}")
    if many:
        print(f"{'':18}{'turns/CPU s':>12}{'KB/session':>12}{'peak MB':>9}{'ratio':>8}")
    else:
        print(f"{'ms per turn':18}{'mean':>8}{'first 10%':>11}{'last 10%':>10}{'peak MB':>9}"
              f"{'ratio':>8}")  # fmt: skip
    base = rows.get("openai create")
    for name, row in rows.items():
        if many:
            ratio = row["rate"] / base["rate"] if base else 0.0
            print(f"{name:18}{row['rate']:12.0f}{row['session_kb']:12.0f}{row['peak_mb']:9.0f}"
                  f"{ratio:7.1f}x")  # fmt: skip
        else:
            ratio = base["mean"] / row["mean"] if base else 0.0
            print(f"{name:18}{row['mean']:8.2f}{row['first']:11.2f}{row['last']:10.2f}"
                  f"{row['peak_mb']:9.0f}{ratio:7.1f}x")  # fmt: skip


def main() -> None:
    """Print the tables, or play one part of one."""
    match sys.argv[1:]:
        case ["--provider"]:
            provider()
        case ["--contender", name, url, shape]:
            print(json.dumps(contender(name, url, SHAPES[shape])))
        case names:
            for name in names or SHAPES:
                table(SHAPES[name])


if __name__ == "__main__":
    main()
