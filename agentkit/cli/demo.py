"""``agentkit demo``: the main job from start to end, with a model that needs no key."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from agentkit.cli import INTERRUPTED
from agentkit.cli.build import KEY_VARIABLE
from agentkit.cli.views import View, make_view
from agentkit.errors import EngineUnavailable, ImageError, SandboxError, UsageError

if TYPE_CHECKING:
    from agentkit.sandbox import ExecResult, Sandbox, SandboxProvider

CHECK = "python3 -m pytest -q"
_PACE = 0.005
"""Seconds between two pieces of an answer on a terminal, so that one sees it being written."""


def demo(
    sandbox: Annotated[
        str, typer.Option("--sandbox", metavar="docker|local", help="Where commands run.")
    ] = "docker",
    live: Annotated[
        bool, typer.Option("--live", help=f"Ask the real model; needs {KEY_VARIABLE}.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folder and the session.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON event per line.")] = False,
) -> None:
    """Watch an agent fix a real bug in a real sandbox; no key is needed."""
    _check_options(sandbox, live)
    view = make_view(as_json=as_json, deltas=False)
    view.aside(_opening(sandbox, live))
    try:
        with _folder(keep, view) as folder:
            code = anyio.run(partial(_demo, folder, sandbox, live, view))
        if code and not keep:
            view.aside("Project and session of the demo are removed; --keep would keep them.")
    finally:
        view.close()
    raise typer.Exit(code)


def _check_options(sandbox: str, live: bool) -> None:
    if sandbox not in ("docker", "local"):
        raise UsageError(f"there is no sandbox {sandbox!r} here", hint="Choose docker or local")
    if live and not os.environ.get(KEY_VARIABLE, "").strip():
        raise UsageError(
            f"--live asks the real model, and {KEY_VARIABLE} is not set",
            hint="Set it, or leave --live out: the demo then needs no key",
        )
    if live and sandbox == "local":
        raise UsageError(
            "--live runs commands that nobody knows beforehand, and the local sandbox does not"
            " isolate them",
            hint="Leave one of the two out",
        )


@contextmanager
def _folder(keep: bool, view: View) -> Generator[Path]:
    """A temporary folder with a copy of the project in it."""
    from agentkit.cli.demo_data.recording import DATA

    folder = Path(tempfile.mkdtemp(prefix="agentkit-demo-")).resolve()
    try:
        shutil.copytree(
            DATA / "project",
            folder / "atelier",
            ignore=shutil.ignore_patterns("__pycache__", ".*_cache"),
        )
        yield folder
    finally:
        if keep:
            view.aside(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _demo(folder: Path, sandbox: str, live: bool, view: View) -> int:
    project = folder / "atelier"
    provider = _provider(sandbox, project)
    async with _witness(provider, view) as witness:
        await _before(witness, view)
        code = await _work(project, provider, witness.workdir, live, view)
        return await _after(witness, code, view)


def _opening(sandbox: str, live: bool) -> str:
    """What is real here and what is not, said plainly and first."""
    place = "container, commands" if sandbox == "docker" else "commands"
    truth = f"everything else is real: {place}, edits, tests."
    lines = [
        f"The model's answers are replayed from a prepared recording; {truth}",
        "Tokens and costs follow the provider's published rules; nothing is charged.",
    ]
    if live:
        lines = [f"The model is the real one, and {truth}"]
    if sandbox == "local":
        lines.append("The commands run on this machine, without isolation (--sandbox local).")
    return "\n".join(lines)


def _provider(sandbox: str, project: Path) -> SandboxProvider:
    from agentkit.sandboxes import Docker, Local

    if sandbox == "docker":
        return Docker(workspace=project)
    # So that python3 is the one that runs agentkit: a virtual environment brings its pytest.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    # The project needs no plugin; those of that environment would cost a second at each run.
    return Local(workspace=project, env={"PATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})


@asynccontextmanager
async def _witness(provider: SandboxProvider, view: View) -> AsyncGenerator[Sandbox]:
    """A sandbox beside the agent's, on the same folder: through it we see for ourselves."""
    try:
        sandbox = await provider.open("demo-witness", progress=view.aside)
    except (EngineUnavailable, ImageError) as error:
        error.hint = f"{error.hint.rstrip('.')}. " if error.hint else ""
        error.hint += "Without isolation it works here too: agentkit demo --sandbox local"
        raise
    try:
        yield sandbox
    finally:
        with anyio.CancelScope(shield=True):
            await sandbox.close()


async def _before(witness: Sandbox, view: View) -> None:
    """Give the project its past, and see the tests fail.

    Raises:
        SandboxError: something that the demo needs is missing there.
    """
    from agentkit.cli.demo_data.recording import DATA

    for program, question in (("git", "git --version"), ("pytest", "python3 -m pytest --version")):
        if not (await witness.exec(question, cwd=witness.workdir)).ok:
            raise SandboxError(
                f"the demo needs {program}, and the sandbox has none",
                tried=question,
                hint="Install it, or use the Docker sandbox",
            )
    past = (DATA / "history.sh").read_text(encoding="utf-8")
    committed = await witness.exec(past, cwd=witness.workdir)
    if not committed.ok:
        raise SandboxError("the demo's repository cannot be made", hint=_last_line(committed))
    view.say("\nA small invoicing library, and what its tests say at the moment:")
    tests = await _tests(witness, view)
    if tests.exit_code != 1:
        raise SandboxError(
            "the demo's tests did not fail in the way they should",
            tried=CHECK,
            hint=_last_line(tests),
        )


async def _tests(witness: Sandbox, view: View) -> ExecResult:
    """Run the tests ourselves and show their verdict."""
    done = await witness.exec(CHECK, cwd=witness.workdir)
    view.say(f"$ {CHECK}\n{_last_line(done)}\n")
    return done


def _last_line(done: ExecResult) -> str:
    lines = done.output.data.decode("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "(no output)")


async def _work(
    project: Path, provider: SandboxProvider, workdir: str, live: bool, view: View
) -> int:
    """What ``agentkit run`` does, with the recording in the model's place unless it is live.

    Raises:
        AgentkitError: what ended the run.
    """
    from agentkit.cli.demo_data.job import DemoJob
    from agentkit.cli.demo_data.recording import Recording
    from agentkit.cli.drive import drive
    from agentkit.testing import FakeDeepSeek

    recording = Recording.load(workdir)
    if live:
        return await drive(DemoJob.of(project, provider, view, CHECK), recording.task)
    pace = _PACE if sys.stdout.isatty() else 0.0
    async with FakeDeepSeek(recording, delay=pace, exact=False) as server:
        job = DemoJob.of(project, provider, view, CHECK, recording, server.base_url)
        return await drive(job, recording.task)


async def _after(witness: Sandbox, code: int, view: View) -> int:
    """Look at the world ourselves; only what we see there counts."""
    if code == INTERRUPTED:
        return code
    view.say("\nNow we look ourselves, in a sandbox that the agent never used:")
    tests = await _tests(witness, view)
    changed = await witness.exec("git --no-pager diff --stat", cwd=witness.workdir)
    view.say("$ git diff --stat\n" + changed.output.data.decode("utf-8", "replace").rstrip("\n"))
    if code == 0 and tests.ok:
        view.say("\nThe bug is fixed: every test passes.")
        return 0
    view.aside(f"\nNOT fixed: the run ended with {code}, the tests with {tests.exit_code}.")
    return code or 1
