"""Trials in this process, on this machine's engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from agentkit.evals.images import Images
from agentkit.evals.outcome import Outcome
from agentkit.evals.spec import Trial
from agentkit.evals.task import Task
from agentkit.evals.trial import run_trial
from agentkit.sandboxes._engine import Engine, connect
from agentkit.sandboxes._owner import sweep


class LocalRunner:
    """Runs trials side by side in one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images = Images(engine)

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncGenerator[LocalRunner]:
        """Connect to the engine; what dead processes left for good is removed first.

        Raises:
            EngineUnavailable: none answers.
        """
        engine = await connect()
        try:
            await sweep(engine)
            yield cls(engine)
        finally:
            with anyio.CancelScope(shield=True):
                await engine.close()

    async def __call__(
        self, trial: Trial, task: Task, folder: Path, *, max_cost: float, say: Callable[[str], None]
    ) -> Outcome:
        return await run_trial(
            self._engine,
            self._images,
            task,
            trial.contestant,
            folder,
            name=trial.name,
            max_cost=max_cost,
            say=say,
        )
