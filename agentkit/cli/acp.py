"""``agentkit acp``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from agentkit.cli.hosting import LogLevel, agent_for, settings_for, until_a_signal
from agentkit.cli.options import Options, takes_options
from agentkit.errors import AuthenticationFailed, UsageError

if TYPE_CHECKING:
    from agentkit.acp import Opening
    from agentkit.agent import Agent
    from agentkit.cli.settings import Settings
    from agentkit.stores import Store


@takes_options
def acp(given: Options, log_level: LogLevel = "") -> None:
    """Speak the Agent Client Protocol over standard input and output, for an editor.

    The editor starts this command, names the folder of each session and answers its questions.
    The log goes to standard error. `docs/acp.md` has the editors' settings.
    """
    if given.workspace is not None:
        raise UsageError("--workspace means nothing here: the editor names the folder")
    if given.workspace_mode not in (None, "mount"):
        raise UsageError("--workspace-mode copy means nothing here: editors edit in place")
    from agentkit.cli.build import KEY_VARIABLE, load_ladder, load_preset, open_store
    from agentkit.cli.pipes import protocol_alone
    from agentkit.cli.settings import settle

    _require_package()
    from agentkit import logs

    settings = settle(replace(given, workspace="/"))  # no project's file: each session has its own
    load_preset(settings.preset)
    ladder = load_ladder(settings)
    store = open_store(settings.home)
    reads, writes = protocol_alone()
    logs.configure(level=log_level, tracebacks=False)
    variable = settings.api_key_env or ladder.rungs[0].api_key_env or KEY_VARIABLE
    import anyio

    try:
        anyio.run(partial(_speak, given, store, reads, writes, variable))
    finally:
        store.close()


def _require_package() -> None:
    from importlib.util import find_spec

    if find_spec("acp") is None:
        raise UsageError(
            "the Agent Client Protocol needs a package that is not installed",
            hint="pip install 'agentkit-deepseek[acp]'",
        )


async def _speak(given: Options, store: Store, reads: int, writes: int, variable: str) -> None:
    """Serve the editor until it goes, or a signal comes; then stop tidily."""
    from agentkit.acp import speak

    async with until_a_signal():
        make = partial(_agent, given, store)
        await speak(make, store=store, stdin=reads, stdout=writes, key_variable=variable)


def _agent(given: Options, store: Store, opening: Opening) -> Agent:
    """A new session's agent by the options and the folder's own file; another's as it began."""
    if opening.started is None:
        folder = None if (given.sandbox or "").startswith("container:") else str(opening.folder)
        given = replace(given, workspace=folder)
    settings = settings_for(given, opening.started)
    _require_key(settings)
    return agent_for(settings, store, opening.session_id, _progress)


def _require_key(settings: Settings) -> None:
    from agentkit.cli.build import load_ladder, require_key

    try:
        require_key(settings, load_ladder(settings))
    except UsageError as error:
        raise AuthenticationFailed(error.what, hint=error.hint) from error


def _progress(words: str) -> None:
    from agentkit import logs

    logs.get("agentkit.acp").info("preparing", what=words)
