"""The end of a run on a copy: show the difference, save it, and apply it where asked."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from agentkit.cli import copies, text
from agentkit.cli.build import session_home
from agentkit.cli.story import Line

if TYPE_CHECKING:
    from agentkit.cli.drive import Job

MOST_LINES = 400


def bring_home(job: Job) -> None:
    """Called after the summary; it only reads the copy, unless ``--apply`` was said."""
    source, changes = job.ground.source, job.changes
    assert source is not None
    assert changes is not None
    try:
        patch = copies.save_patch(changes, session_home(job.store, job.session_id))
    except (copies.TooLarge, OSError, subprocess.SubprocessError) as error:
        job.view.say(f"no patch could be made ({error or 'the workspace is too large'});")
        job.view.aside(f"the edited copy is {job.ground.folder}")
        return
    if patch is None:
        job.view.aside("the copy is unchanged; there is nothing to apply")
        return
    _show(job, patch.read_bytes().decode("utf-8", "replace"))
    job.view.say(f"patch      {patch}")
    if not job.apply:
        job.view.aside(f"to apply   {copies.apply_command(source, patch)}")
        return
    problem = copies.apply_patch(source, patch)
    if problem:
        job.view.aside(f"the patch does not apply: {text.clean(problem)}")
        job.view.aside(f"to apply   {copies.apply_command(source, patch)}")
    else:
        job.view.aside(f"applied to {source}")


def _show(job: Job, patch: str) -> None:
    lines = text.clean(patch).splitlines()
    job.view.lines(_line(each) for each in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        job.view.say(f"… {len(lines) - MOST_LINES} more lines in the file")


def _line(line: str) -> Line:
    if line.startswith("+") and not line.startswith("+++"):
        return Line(line, "good")
    if line.startswith("-") and not line.startswith("---"):
        return Line(line, "bad")
    return Line(line, "bold" if line.startswith("diff ") else "plain")
