"""The first and the last words of a run."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agentkit.approvals.policy import Policy
from agentkit.cli import text
from agentkit.cli.settings import Settings
from agentkit.cli.story import Line, Style
from agentkit.skills import Skill

if TYPE_CHECKING:
    from agentkit.agent import Agent
    from agentkit.cli.build import Ground
    from agentkit.cli.changes import Change
    from agentkit.events import ApprovalAsked, SessionFinished

MOST_FILES = 30
_WORDS: dict[str, tuple[str, Style]] = {
    "finished": ("finished", "good"),
    "failed": ("not achieved", "bad"),
    "limit": ("stopped at a limit", "warn"),
    "cancelled": ("interrupted", "warn"),
    "error": ("stopped by an error", "bad"),
    "waiting": ("waiting for approval", "warn"),
}


def header(session_id: str, agent: Agent, settings: Settings, ground: Ground) -> Iterator[Line]:
    """What is about to happen, before anything does."""
    ladder = agent.ladder
    more = len(ladder.rungs) - 1
    rungs = f"first of {more + 1} rungs" if more else "one rung"
    yield Line(f"session    {session_id}")
    yield Line(f"model      {agent.rung.name} (ladder {text.clean(ladder.name)}: {rungs})")
    yield Line(f"sandbox    {text.clean(_sandbox(settings))}")
    if ground.source is not None:
        how = "edited in place" if ground.folder == ground.source else "edited in a copy"
        yield Line(f"workspace  {text.clean(str(ground.source))} ({how})")
    yield Line(f"limits     {agent.limits.describe()}")
    yield Line(f"approval   {text.clean(Policy.of(agent.approval).describe())}")
    for server in agent.mcp:
        yield Line(f"mcp        {server.name}: {text.clip(text.clean(server.where), 200)}")
    if agent.skills:
        names = ", ".join(each.name for each in agent.skills if isinstance(each, Skill))
        yield Line(f"skills     {text.clip(names, 200)}")
    for command in settings.check:
        yield Line(f"check      {text.clip(text.clean(command), 200)}")
    if settings.from_project:
        names = ", ".join(each.replace("_", "-") for each in settings.from_project)
        yield Line(f"project    {text.clean(settings.project_file)}: {names}")
    if settings.sandbox == "local":
        yield Line("without isolation: commands run on this machine as you", "warn")


def _sandbox(settings: Settings) -> str:
    if settings.sandbox == "docker":
        return f"docker, image {settings.image or 'agentkit-base'}, network {settings.network}"
    return settings.sandbox


def closing(
    end: SessionFinished,
    session_id: str,
    changed: Sequence[Change] | None,
    home: str,
    waiting: Sequence[ApprovalAsked] = (),
) -> Iterator[Line]:
    """How it ended; success is claimed only where the status is ``finished``."""
    word, style = _WORDS[end.status]
    yield Line("")
    yield Line(f"{word}: {text.clean(end.output).strip()}" if end.output.strip() else word, style)
    yield Line("")
    if changed is not None:
        yield from diffstat(changed)
    for check in end.checks:
        if check.passed:
            yield Line(f"check      ✓ {text.clip(text.clean(check.command), 200)}", "good")
        else:
            why = "did not run" if check.exit_code is None else f"exit code {check.exit_code}"
            yield Line(f"check      ✗ {text.clip(text.clean(check.command), 200)} ({why})", "bad")
    usage = end.usage
    hits = text.percent(usage.hit_ratio) if usage.prompt_tokens else "nothing"
    yield Line(f"cost       {text.dollars(end.cost_usd, priced=end.priced)}")
    yield Line(
        f"tokens     {text.tokens(usage.prompt_tokens)} in, {hits} of it from the cache;"
        f" {text.tokens(usage.completion_tokens)} out"
    )
    yield Line(f"turns      {end.turns} in {text.seconds(end.duration)}")
    yield Line(f"session    {session_id}")
    for question in waiting:
        yes = command("sessions", "approve", session_id, question.call_id, home=home)
        yield Line(f"approve    {yes}")
        yield Line("decline    the same with --deny --reason WHY", "dim")
    if end.status != "finished":
        yield Line(f"go on      {resume_command(session_id, home)}")


_PASSWORD = re.compile(r"^(postgres(?:ql)?://[^:/@]*):[^@/]*(?=@)")


def resume_command(session_id: str, home: str) -> str:
    """What to type to go on."""
    return command("resume", session_id, home=home)


def command(*words: str, home: str) -> str:
    """What to type, for the same store."""
    known = (os.environ.get("AGENTKIT_HOME"), os.environ.get("AGENTKIT_STORE"))
    # A URL's password is not for the screen: psql's ways to give one (PGPASSWORD, ~/.pgpass) work.
    where = ["--home", _PASSWORD.sub(r"\1", home)] if home and home not in known else []
    return shlex.join(["agentkit", *words, *where])


def diffstat(changed: Sequence[Change]) -> Iterator[Line]:
    """A line per changed file, and their sum."""
    if not changed:
        yield Line("changed    nothing")
        return
    plus = sum(each.plus or 0 for each in changed)
    minus = sum(each.minus or 0 for each in changed)
    yield Line(f"changed    {text.plural(len(changed), 'file')}, +{plus} -{minus}")
    for each in changed[:MOST_FILES]:
        lines = f"+{each.plus} -{each.minus}" if each.plus is not None else "not counted"
        new = "" if each.what == "changed" else f", {each.what}"
        yield Line(f"           {text.clip(text.clean(each.path), 100)} ({lines}{new})")
    if len(changed) > MOST_FILES:
        yield Line(f"           … {text.plural(len(changed) - MOST_FILES, 'more file')}")
