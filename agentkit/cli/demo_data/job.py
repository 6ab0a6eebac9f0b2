"""The demo as a job of the command line: the same way as ``agentkit run``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agentkit.cli.build import Ground, open_store
from agentkit.cli.demo_data.recording import Recording
from agentkit.cli.drive import Job
from agentkit.cli.options import Options
from agentkit.cli.settings import settle
from agentkit.cli.stdin import Lines
from agentkit.session import new_id

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.cli.views import View
    from agentkit.sandbox import SandboxProvider


@dataclass(slots=True, kw_only=True)
class DemoJob(Job):
    """A run on the demo's project; with a recording, that is the model."""

    provider: SandboxProvider
    recording: Recording | None

    @classmethod
    def of(
        cls,
        project: Path,
        provider: SandboxProvider,
        view: View,
        check: str,
        recording: Recording | None = None,
        url: str = "",
    ) -> DemoJob:
        """The job. Its session lives beside the project: a replay cannot be resumed."""
        given = Options(
            workspace=str(project),
            sandbox="docker" if type(provider).__name__ == "Docker" else "local",
            base_url=url or None,
            check=[check],
            max_cost=0.5,
            max_turns=60,
            deadline=900,
            approve="auto",
            home=str(project.parent),
        )
        settings = settle(given)
        return cls(
            settings=settings,
            store=open_store(settings.home),
            session_id=new_id(),
            ground=Ground(project, project),
            view=view,
            lines=Lines(),
            home=settings.home,
            provider=provider,
            recording=recording,
        )

    def agent(self) -> Agent:
        """The agent of ``run``; a replayed one stops where the recording no longer fits."""
        agent = replace(Job.agent(self), sandbox=self.provider)
        if self.recording is None:
            return agent
        hooks = replace(agent.hooks, after_model=self.recording.stop_if_departed)
        return replace(agent, hooks=hooks, api_key="replayed")
