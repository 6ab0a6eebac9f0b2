"""``agentkit resume``."""

from __future__ import annotations

from typing import Annotated

import typer

from agentkit.cli.options import Options, takes_options
from agentkit.cli.run import ApplyFlag, DeltasFlag, JsonFlag, prepare, start, task_text


@takes_options
def resume(
    given: Options,
    session: Annotated[str, typer.Argument(help="The session's id, or the start of it.")],
    message: Annotated[
        str, typer.Argument(help="What to say; - reads standard input, @FILE a file.")
    ] = "",
    json: JsonFlag = False,
    deltas: DeltasFlag = False,
    apply: ApplyFlag = False,
    cold: Annotated[
        bool,
        typer.Option(
            "--cold",
            help="Take today's instructions, tools and model in place of the session's own; the"
            " whole history is then read without the cache.",
        ),
    ] = False,
) -> None:
    """Go on with a session after a stop, a crash, or with a new message.

    The session's own settings hold; options given here replace them.
    """
    words = task_text(message) if message else ""
    session_id, stored = stored_settings(given.home or "", session)
    job = prepare(
        given, as_json=json, deltas=deltas, apply=apply, session_id=session_id, stored=stored
    )
    job.cold = cold
    raise typer.Exit(start(job, words))


def stored_settings(home: str, prefix: str) -> tuple[str, dict[str, object]]:
    """The session of that id, or start of an id, with the settings that it was started with.

    Raises:
        SessionError: none, or several.
    """
    from agentkit.cli.build import open_store
    from agentkit.events import SessionStarted
    from agentkit.log import read

    store = open_store(home)
    try:
        session_id = store.find(prefix)
        started = read(store, session_id, upto=1)[0]
    finally:
        store.close()
    settings = started.settings if isinstance(started, SessionStarted) else {}
    return session_id, dict(settings)
