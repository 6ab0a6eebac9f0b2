"""The same small job through each framework; run by the framework's own environment.

    python contenders.py NAME URL TURNS    prints one line of JSON

The job: call the tool with the numbers that the model names, until it says that this is enough. It
reports what happened in the world: how often the tool really ran, and what the framework returned.
Nothing of agentkit is imported here except by its own contender.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

MODEL = "deepseek-flash"
KEY = "no-key"
NOT_THINKING = {"thinking": {"type": "disabled"}}
"""For frameworks that do not pass the reasoning back: DeepSeek answers 400 to that (2026-11)."""
runs: list[int] = []
Job = Callable[[str, str], Awaitable[str]]
"""Takes the endpoint and the task, gives the framework's final words."""


def text_of(number: int) -> str:
    """What the tool does: 200 bytes, and a note that it ran."""
    runs.append(number)
    return f"{number} ".ljust(200, ".")


async def agentkit(url: str, task: str) -> str:
    """One session with the durable log on."""
    kit = importlib.import_module("agentkit")
    store = importlib.import_module("agentkit.stores.sqlite").SQLiteStore

    # Not `read_only`: long reading is standing still to the ladder, which would start over.
    @kit.tool
    async def get(number: int) -> str:
        """Get a text."""
        return text_of(number)

    with tempfile.TemporaryDirectory() as folder:
        agent = kit.Agent(
            "bench",
            tools=[get],
            base_url=url,
            api_key=KEY,
            store=store(folder),
            ladder=kit.Ladder.single(MODEL),
            limits=kit.Limits(turns=None, cost_usd=None),
        )
        result = await agent.run(task)
    if not result.ok:
        raise RuntimeError(result.output)
    return str(result.output)


async def sdk(url: str, task: str) -> str:
    """The loop that everybody writes first, on the openai package with its own retries."""
    openai = importlib.import_module("openai")
    client = openai.AsyncOpenAI(base_url=url, api_key=KEY)
    parameters = {"type": "object", "properties": {"number": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "get", "parameters": parameters}}]
    messages: list[Any] = [{"role": "user", "content": task}]
    while True:
        answer = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
        message = answer.choices[0].message
        messages.append(message.model_dump(exclude_none=True) | {"content": message.content or ""})
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            words = text_of(int(json.loads(call.function.arguments)["number"]))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": words})


async def openai_agents(url: str, task: str) -> str:
    """Its chat completions model, on a client of ours, without tracing."""
    agents = importlib.import_module("agents")
    openai = importlib.import_module("openai")
    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=url, api_key=KEY)

    @agents.function_tool
    async def get(number: int) -> str:
        """Get a text."""
        return text_of(number)

    model = agents.OpenAIChatCompletionsModel(model=MODEL, openai_client=client)
    settings = agents.ModelSettings(extra_body=NOT_THINKING)
    agent = agents.Agent(name="bench", model=model, tools=[get], model_settings=settings)
    return str((await agents.Runner.run(agent, task, max_turns=10_000)).final_output)


async def pydantic_ai(url: str, task: str) -> str:
    """Its OpenAI chat model."""
    ai = importlib.import_module("pydantic_ai")
    models = importlib.import_module("pydantic_ai.models.openai")
    providers = importlib.import_module("pydantic_ai.providers.openai")
    usage = importlib.import_module("pydantic_ai.usage")
    provider = providers.OpenAIProvider(base_url=url, api_key=KEY)
    agent = ai.Agent(models.OpenAIChatModel(MODEL, provider=provider))

    @agent.tool_plain
    async def get(number: int) -> str:
        """Get a text."""
        return text_of(number)

    limits = usage.UsageLimits(request_limit=None)
    asked = {"extra_body": NOT_THINKING}
    return str((await agent.run(task, usage_limits=limits, model_settings=asked)).output)


async def langgraph(url: str, task: str) -> str:
    """Its prebuilt agent on langchain's OpenAI model."""
    chat = importlib.import_module("langchain_openai").ChatOpenAI
    tool = importlib.import_module("langchain_core.tools").tool
    make = importlib.import_module("langgraph.prebuilt").create_react_agent

    @tool
    async def get(number: int) -> str:
        """Get a text."""
        return text_of(number)

    model = chat(model=MODEL, base_url=url, api_key=KEY, extra_body=NOT_THINKING)
    agent = make(model, [get])
    messages = {"messages": [("user", task)]}
    found = await agent.ainvoke(messages, {"recursion_limit": 100_000})
    return str(found["messages"][-1].content)


async def mini_swe_agent(url: str, task: str) -> str:
    """Its own agent, model and environment; its only tool is a shell."""
    agents = importlib.import_module("minisweagent.agents.default")
    models = importlib.import_module("minisweagent.models.litellm_model")

    class Environment:
        """Counts in place of a shell: what a command costs is another benchmark."""

        config: Any = None

        def execute(self, action: Any, *_: Any, **__: Any) -> dict[str, Any]:
            command = str(action["command"])
            if "COMPLETE_TASK" in command:
                submitted = importlib.import_module("minisweagent.exceptions").Submitted
                extra = {"exit_status": "Submitted", "submission": "enough"}
                raise submitted({"role": "exit", "content": "enough", "extra": extra})
            return {
                "output": text_of(int(command.rsplit(maxsplit=1)[-1])),
                "returncode": 0,
                "exception_info": "",
            }

        def get_template_vars(self, **_: Any) -> dict[str, Any]:
            return {}

        def serialize(self) -> dict[str, Any]:
            return {}

    model = models.LitellmModel(
        model_name=f"openai/{MODEL}",
        model_kwargs={"api_base": url, "api_key": KEY},
        cost_tracking="ignore_errors",
    )
    agent = agents.DefaultAgent(
        model,
        Environment(),
        system_template="You work in a shell.",
        instance_template="{{task}}",
        step_limit=0,
        cost_limit=0,
    )
    return str((await asyncio.to_thread(agent.run, task)).get("exit_status", ""))


CONTENDERS: dict[str, tuple[str, str, Job]] = {
    "agentkit": ("agentkit-deepseek", "agentkit", agentkit),
    "openai SDK loop": ("openai", "openai", sdk),
    "openai-agents": ("openai-agents", "agents", openai_agents),
    "pydantic-ai": ("pydantic-ai-slim", "pydantic_ai", pydantic_ai),
    "langgraph": ("langgraph", "langgraph.prebuilt", langgraph),
    "mini-swe-agent": ("mini-swe-agent", "minisweagent.agents.default", mini_swe_agent),
}
"""Name: distribution, module whose import is timed, job."""


def main() -> None:
    """Run one contender once to warm up, then measure."""
    name, url, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
    distribution, module, job = CONTENDERS[name]
    begun = time.process_time()
    importlib.import_module(module)
    imported = time.process_time() - begun
    found: dict[str, Any] = {"version": version(distribution), "import_cpu": imported}
    try:
        found |= asyncio.run(_measured(job, url, turns, warm="--warm" in sys.argv))
    except BaseException as error:
        found |= {"ended": "raised", "words": f"{type(error).__name__}: {error}"[:300]}
    found["ran"] = len(runs)
    found["peak_mb"] = _peak()
    print(json.dumps(found))


def _peak() -> float:
    """In MB, of this program alone: ``ru_maxrss`` would begin with that of whoever started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


async def _measured(job: Job, url: str, turns: int, *, warm: bool) -> dict[str, Any]:
    """In one event loop: some frameworks keep their clients for the whole process."""
    if warm:
        await job(url, "warm up: 2 turns")
    runs.clear()
    begun = time.process_time()
    words = await job(url, f"measure: {turns} turns")
    return {"words": words, "cpu": time.process_time() - begun, "ended": "returned"}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
