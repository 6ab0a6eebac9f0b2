"""agentkit as an agent of Harbor: ``harbor run -a agentkit.evals.harbor:AgentkitAgent …``.

The external kind: the loop runs on the host, its commands go through Harbor's environment.
Importable only where the package ``harbor`` is installed (Python 3.12 or newer). Options, as
``--ak name=value``: ``preset``, ``ladder``, ``endpoint``, ``max_cost``, ``max_turns``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from agentkit.agent import Agent, __version__
from agentkit.evals.harbor_sandbox import HarborProvider
from agentkit.events import ModelResponded, SessionFinished
from agentkit.exports import export
from agentkit.ladder import Ladder
from agentkit.limits import Limits
from agentkit.log import read
from agentkit.stores.sqlite import SQLiteStore
from agentkit.tools import preset

if TYPE_CHECKING:
    from agentkit.session import Session

    class BaseAgent:
        """What of Harbor's base class is used here."""

        def __init__(self, logs_dir: Path, model_name: str | None, **given: Any) -> None:
            self.logs_dir = logs_dir
            self.model_name = model_name

    AgentCapabilities: Any = object
else:  # Harbor exists for newer Pythons only than the oldest that agentkit supports
    from harbor.agents.base import BaseAgent
    from harbor.agents.capabilities import AgentCapabilities

TRAJECTORY = "trajectory.json"
_OPTIONS = ("preset", "ladder", "endpoint", "max_cost", "max_turns")


class AgentkitAgent(BaseAgent):
    """One trial's agent. ``-m deepseek/deepseek-flash`` asks one model, without it the ladder."""

    capabilities = AgentCapabilities(atif=True)

    def __init__(self, logs_dir: Path, model_name: str | None = None, **given: Any) -> None:
        own = {name: given.pop(name) for name in _OPTIONS if name in given}
        super().__init__(logs_dir=logs_dir, model_name=model_name, **given)
        self._preset = preset(str(own.get("preset", "minimal")))
        self._ladder = str(own.get("ladder", "flash-pro"))
        self._endpoint = str(own.get("endpoint", ""))
        self._limits = Limits(
            cost_usd=float(own.get("max_cost", 5.0)), turns=int(own.get("max_turns", 500))
        )

    @staticmethod
    def name() -> str:
        return "agentkit"

    def version(self) -> str:
        return __version__

    async def setup(self, environment: Any) -> None:
        """Nothing is installed in the environment."""

    async def run(self, instruction: str, environment: Any, context: Any) -> None:
        """Work on the task; context and trajectory are true after each turn.

        Harbor cancels this at the task's time limit: the cancellation goes on, and what is
        written by then stays.
        """
        found = await environment.exec("pwd")
        workdir = (found.stdout or "/").strip() or "/"
        store = SQLiteStore(Path(self.logs_dir))
        try:
            async with self._agent(
                HarborProvider(environment, workdir), store
            ).session() as session:
                async for event in session.stream(instruction):
                    if isinstance(event, ModelResponded | SessionFinished):
                        await self._report(store, session, context)
        finally:
            store.close()

    def _agent(self, sandbox: Any, store: SQLiteStore) -> Agent:
        model = (self.model_name or "").rpartition("/")[2]
        ladder = Ladder.single(model) if model else Ladder.load(self._ladder)
        return Agent(
            "agentkit",
            instructions=self._preset.instructions,
            tools=self._preset.tools(),
            sandbox=sandbox,
            ladder=self._preset.asked(ladder),
            limits=self._limits,
            briefing=self._preset.briefing,
            base_url=self._endpoint,
            api_key=os.environ.get("DEEPSEEK_API_KEY", ""),
            store=store,
        )

    async def _report(self, store: SQLiteStore, session: Session, context: Any) -> None:
        """What has been used so far, and the trajectory so far."""
        state = session.state
        context.n_input_tokens = state.usage.prompt_tokens
        context.n_cache_tokens = state.usage.hit_tokens
        context.n_output_tokens = state.usage.completion_tokens
        context.cost_usd = state.cost_usd
        end = state.finished
        context.metadata = {
            "turns": state.turns,
            "status": end.status if end else "working",
            "session_id": session.id,
        }
        words = export(await anyio.to_thread.run_sync(read, store, session.id), "atif")
        await anyio.Path(self.logs_dir, TRAJECTORY).write_bytes(words)
