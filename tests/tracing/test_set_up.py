"""What an application has to do for traces, and what costs nothing without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN = """
import anyio, sys
from agentkit import Agent, Ladder
from agentkit.log import read
from agentkit.stores.memory import MemoryStore
from agentkit.testing import FakeDeepSeek

async def main():
    with FakeDeepSeek(["Hello."]) as server:
        agent = Agent("greeter", base_url=server.base_url, api_key="key-of-the-tests",
                      store=MemoryStore(), ladder=Ladder.preset("flash"))
        result = await agent.run("Say hello")
    events = read(agent.store, result.session_id)
    return [event.kind for event in events if event.type == "fact"]
"""

GLOBAL = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""


def run(before: str, after: str) -> str:
    code = f"{before}\n{RUN}\nkinds = anyio.run(main)\n{after}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_a_set_up_nothing_is_imported_or_logged() -> None:
    told = run("", "print('opentelemetry' in sys.modules, 'trace' in kinds)")
    assert told == "False False"


def test_the_api_alone_traces_nothing() -> None:
    told = run(
        "import opentelemetry.trace, opentelemetry.metrics",
        "print('agentkit.tracing.spans' in sys.modules, 'trace' in kinds)",
    )
    assert told == "False False"


def test_the_application_s_global_provider_is_used() -> None:
    after = "print([each.name for each in exporter.get_finished_spans()], 'trace' in kinds)"
    assert run(GLOBAL, after) == "['chat deepseek-flash', 'invoke_agent greeter'] True"


def test_a_provider_that_cannot_be_loaded_ends_no_run() -> None:
    before = """
import os
os.environ["OTEL_PYTHON_TRACER_PROVIDER"] = "no-such-provider"
import opentelemetry.trace
"""
    assert run(before, "print('trace' in kinds)") == "False"


MCP = """
import anyio, sys
from agentkit import Agent, Ladder
from agentkit.log import read
from agentkit.mcp import MCPServer
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply

async def main():
    steps = [Reply(calls=[Call("traced__whose", {})]), "Done."]
    with FakeDeepSeek(steps) as model:
        agent = Agent("asker", base_url=model.base_url, api_key="key-of-the-tests",
                      store=MemoryStore(), ladder=Ladder.preset("flash"),
                      mcp=[MCPServer("traced", command=sys.executable, args=[SERVER])])
        result = await agent.run("Ask")
    events = read(agent.store, result.session_id)
    return next(each.content for each in events if each.type == "tool.finished")

told = anyio.run(main)
called = next(each for each in exporter.get_finished_spans()
              if each.name == "execute_tool traced__whose")
below = [each for each in exporter.get_finished_spans()
         if each.parent and each.parent.span_id == called.context.span_id]
mine = [f"00-{each.context.trace_id:032x}-{each.context.span_id:016x}-" for each in below]
print(told.startswith(tuple(mine)), told, mine)
"""


def test_a_call_of_an_mcp_server_carries_its_trace() -> None:
    server = str(Path(__file__).parent / "mcp_server.py")
    done = subprocess.run(
        [sys.executable, "-c", f"SERVER = {server!r}\n{GLOBAL}\n{MCP}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True"), done.stdout
