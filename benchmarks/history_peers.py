"""The job of ``benchmarks.history`` through other frameworks, those that are installed."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any

from anyio import to_thread

GetText = Callable[[int], str]
"""What the job's tool does."""
Job = Callable[[str, bool], Coroutine[Any, Any, None]]
"""Runs one session: its task, and whether it is streamed."""
MODEL = "deepseek-flash"


def openai_agents(url: str, get_text: GetText) -> Job:
    """openai-agents, without tracing, on a shared client."""
    agents: Any = importlib.import_module("agents")
    openai: Any = importlib.import_module("openai")
    agents.set_tracing_disabled(True)
    client = openai.AsyncOpenAI(base_url=url, api_key="none")
    model = agents.OpenAIChatCompletionsModel(model=MODEL, openai_client=client)

    @agents.function_tool
    async def get(number: int) -> str:
        """Get a text."""
        return get_text(number)

    agent = agents.Agent(name="bench", model=model, tools=[get])

    async def job(task: str, stream: bool) -> None:
        if stream:
            result = agents.Runner.run_streamed(agent, task, max_turns=10_000)
            async for _ in result.stream_events():
                pass
        else:
            await agents.Runner.run(agent, task, max_turns=10_000)

    return job


def pydantic_ai(url: str, get_text: GetText) -> Job:
    """pydantic-ai on its OpenAI model."""
    ai: Any = importlib.import_module("pydantic_ai")
    models: Any = importlib.import_module("pydantic_ai.models.openai")
    providers: Any = importlib.import_module("pydantic_ai.providers.openai")
    usage: Any = importlib.import_module("pydantic_ai.usage")
    model = models.OpenAIChatModel(
        MODEL, provider=providers.OpenAIProvider(base_url=url, api_key="none")
    )
    limits = usage.UsageLimits(request_limit=None)

    async def get(number: int) -> str:
        """Get a text."""
        return get_text(number)

    agent = ai.Agent(model, tools=[get])

    async def job(task: str, stream: bool) -> None:
        if stream:
            async with agent.iter(task, usage_limits=limits) as run:
                async for node in run:
                    if ai.Agent.is_model_request_node(node):
                        async with node.stream(run.ctx) as events:
                            async for _ in events:
                                pass
        else:
            await agent.run(task, usage_limits=limits)

    return job


def mini_swe_agent(url: str, get_text: GetText) -> Job:
    """mini-swe-agent on litellm's DeepSeek path; its one tool is ``bash``, and it blocks."""
    os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
    os.environ.setdefault("MSWEA_GLOBAL_CONFIG_DIR", tempfile.mkdtemp())  # nothing of the user's
    agents: Any = importlib.import_module("minisweagent.agents.default")
    models: Any = importlib.import_module("minisweagent.models.litellm_model")
    exceptions: Any = importlib.import_module("minisweagent.exceptions")
    model = models.LitellmModel(
        model_name=f"deepseek/{MODEL}",
        model_kwargs={"api_base": url, "api_key": "none"},
        cost_tracking="ignore_errors",
    )

    class Environment:
        """Gives the texts, and ends the run at the last one, as a submission does."""

        def __init__(self, turns: int) -> None:
            self.left = turns

        def execute(self, _action: Any) -> dict[str, Any]:
            self.left -= 1
            if not self.left:
                raise exceptions.Submitted({"role": "exit", "content": "enough"})
            return {"output": get_text(0), "returncode": 0, "exception_info": ""}

        def get_template_vars(self) -> dict[str, Any]:
            return {}

        serialize = get_template_vars

    async def job(task: str, stream: bool) -> None:
        if stream:
            raise NotImplementedError("mini-swe-agent does not stream")
        agent = agents.DefaultAgent(
            model,
            Environment(int(task.split()[1])),
            system_template="You are a helpful agent.",
            instance_template="{{task}}",
            cost_limit=0.0,
        )
        await to_thread.run_sync(agent.run, task)

    return job


_ALL: dict[str, tuple[str, Callable[[str, GetText], Job]]] = {
    "openai-agents": ("agents", openai_agents),
    "pydantic-ai": ("pydantic_ai", pydantic_ai),
    "mini-swe-agent": ("minisweagent", mini_swe_agent),
}
PEERS = {name: make for name, (module, make) in _ALL.items() if importlib.util.find_spec(module)}
