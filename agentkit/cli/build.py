"""From settings to an agent: preset, ladder, sandbox, limits, key and store."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from agentkit.cli.settings import (
    URL_VARIABLE,
    Settings,
    is_loopback,
    policy_of,
    require_url,
    settle,
)
from agentkit.errors import UsageError

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.cli.options import Options
    from agentkit.facts import Surrounding
    from agentkit.hooks import Hooks
    from agentkit.ladder import Dialect, Ladder, Rung
    from agentkit.run import Briefing
    from agentkit.sandbox import Progress, Sandbox, SandboxProvider
    from agentkit.skills import Skill
    from agentkit.stores import Store
    from agentkit.tools import Preset

KEY_VARIABLE = "DEEPSEEK_API_KEY"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the work happens on this machine."""

    source: Path | None
    """The user's folder; None where the work is in somebody else's container."""
    folder: Path | None
    """What the sandbox gets: the same, or a copy."""


def settle_for_sessions(given: Options) -> Settings:
    """The settings of sessions that others will begin; what each would refuse is refused now.

    Raises:
        UsageError: one of them cannot be used.
    """
    from agentkit.cli.servers import load_servers
    from agentkit.sandboxes._workspace import checked_workspace

    settings = settle(given)
    load_preset(settings.preset)
    require_key(settings, load_ladder(settings))
    load_servers(settings)
    if settings.workspace_mode == "copy":
        raise UsageError(
            "--workspace-mode copy means nothing here: its patch is applied on the command line"
        )
    if not settings.sandbox.startswith("container:"):
        checked_workspace(settings.workspace)
    return settings


def open_store(home: str) -> Store:
    """The session store: ``--home``, ``AGENTKIT_STORE``, ``AGENTKIT_HOME`` or ``~/.agentkit``."""
    from agentkit import stores

    return stores.open_store(home)


def session_home(store: Store, session_id: str) -> Path:
    """The folder for what a session has beside its log: the workspace's copy, the patch."""
    return store.folder / "sessions" / session_id


def require_key(settings: Settings, ladder: Ladder) -> str:
    """The key, or "" where the agent finds it itself or none is needed.

    Raises:
        UsageError: there is none; one sentence that names the variable and a way on.
    """
    variable = settings.api_key_env or ladder.rungs[0].api_key_env or KEY_VARIABLE
    key = os.environ.get(variable, "")
    if key.strip():
        return key if settings.api_key_env else ""
    elsewhere = settings.base_url or ladder.rungs[0].base_url or os.environ.get(URL_VARIABLE)
    if elsewhere and not settings.api_key_env:
        return ""
    raise UsageError(
        f"{variable} is not set: set it to your API key, or try `agentkit demo`, which needs none"
    )


def load_ladder(settings: Settings) -> Ladder:
    """The ladder that was named, or one rung for ``--model``, as the preset wants to ask."""
    from agentkit.ladder import Ladder

    if settings.model:
        ladder = Ladder.single(settings.model)
    else:
        ladder = Ladder.load(settings.ladder)
        for rung in ladder.rungs:
            if rung.base_url:
                require_url(rung.base_url, f"the ladder {ladder.name!r}: base_url")
        if "ladder" in settings.from_project:
            _keep_key_here(ladder, settings)
    if not settings.dialect:
        return ladder
    dialect = cast("Dialect", settings.dialect)
    rungs = tuple(replace(rung, dialect=rung.dialect or dialect) for rung in ladder.rungs)
    return replace(ladder, rungs=rungs)


def _keep_key_here(ladder: Ladder, settings: Settings) -> None:
    """A project's own ladder may not send the key anywhere that the user did not name."""
    for url in {rung.base_url for rung in ladder.rungs} - {"", settings.base_url}:
        if not is_loopback(url):
            raise UsageError(
                f"the project's ladder sends requests, and your key, to {url}",
                hint=f"If that is what you want, say it yourself: --ladder {settings.ladder}",
            )


def load_preset(name: str) -> Preset:
    """The preset of that name."""
    from agentkit.tools import preset

    return preset(name)


def make_agent(
    settings: Settings,
    ground: Ground,
    store: Store,
    *,
    hooks: Hooks,
    progress: Progress,
) -> Agent:
    """The agent that these settings describe."""
    from agentkit.agent import Agent
    from agentkit.cli.servers import load_servers
    from agentkit.limits import Limits
    from agentkit.models.catalogue import Catalogue

    preset, ladder = load_preset(settings.preset), load_ladder(settings)
    settings, servers = load_servers(settings)
    if not settings.ladder.endswith(".toml") or settings.model:
        ladder = preset.asked(ladder)
    return Agent(
        settings.preset,
        instructions=preset.instructions,
        tools=preset.tools(),
        sandbox=make_sandbox(settings, ground.folder),
        ladder=ladder,
        limits=Limits(
            cost_usd=settings.max_cost,
            turns=settings.max_turns,
            tokens=settings.max_tokens,
            deadline=settings.deadline,
        ),
        checks=settings.check,
        planner=_planner(settings, ladder),
        attempts=settings.attempts,
        off_peak_wait=settings.off_peak_wait,
        hooks=hooks,
        approval=policy_of(settings.approve),
        skills=_skills(settings, ground.folder, progress),
        briefing=_briefing(preset.briefing, ground.folder),
        surroundings=_surroundings(ground.folder),
        base_url=settings.base_url,
        api_key=require_key(settings, ladder),
        store=store,
        catalogue=Catalogue.load({**ladder.models, **settings.models}),
        settings=settings.kept(),
        keep_sandbox=True,
        progress=progress,
        mcp=servers,
    )


def _skills(settings: Settings, folder: Path | None, progress: Progress) -> tuple[Skill, ...]:
    """The skills that the settings ask for; what is wrong with others is shown."""
    from agentkit.skills import discover

    if settings.skills == "none":
        return ()
    found = discover(folder, project=settings.skills == "all")
    for problem in found.problems:
        progress(problem)
    return found.skills


def _surroundings(folder: Path | None) -> list[Surrounding]:
    """What the model is told when it changes: day, limits, instructions, others' edits."""
    from agentkit.cli.instructions import Instructions
    from agentkit.facts import DEFAULT
    from agentkit.tools.meanwhile import Meanwhile

    own = [Instructions(folder)] if folder is not None else []
    return [*DEFAULT, *own, Meanwhile()]


def _planner(settings: Settings, ladder: Ladder) -> Rung | None:
    """The rung that ``--planner`` names by its number."""
    if not settings.planner:
        return None
    number = int(settings.planner)
    if not 1 <= number <= len(ladder.rungs):
        raise UsageError(
            f"--planner {number}: the ladder {ladder.name!r} has {len(ladder.rungs)} rungs",
            hint="Give one of their numbers, from 1",
        )
    return ladder.rungs[number - 1]


def make_sandbox(settings: Settings, folder: Path | None) -> SandboxProvider:
    """The sandbox's description; nothing is started yet."""
    from agentkit.sandboxes import Container, Docker, Local

    if folder is None:
        return Container(name=settings.sandbox.partition(":")[2])
    if settings.sandbox == "local":
        if settings.network != "none":
            raise UsageError(
                "--network means nothing with --sandbox local: commands use this machine's network"
            )
        return Local(workspace=folder)
    return Docker(workspace=folder, image=settings.image or None, network=settings.network)


def _briefing(facts: Callable[[Sandbox], Awaitable[str]] | None, folder: Path | None) -> Briefing:
    async def brief(sandbox: Sandbox) -> str:
        told = await facts(sandbox) if facts is not None else ""
        words = await _instructions(sandbox, folder)
        return "\n\n".join(part for part in (told, words) if part)

    return brief


async def _instructions(sandbox: Sandbox, folder: Path | None) -> str:
    """The project's instructions: from this machine, or out of somebody else's container."""
    from anyio import to_thread

    from agentkit.cli import instructions
    from agentkit.errors import FileError

    if folder is not None:
        return await to_thread.run_sync(instructions.collect, folder)
    try:
        data = await sandbox.read_file(f"{sandbox.workdir}/{instructions.FILE}")
    except FileError:
        return ""
    return instructions.as_text([(instructions.FILE, data)])
