"""``agentkit doctor``: what works here; each line that fails says how to mend it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from concurrent.futures import Executor

WAIT = 15.0
"""Seconds for all examinations together."""
LITTLE = 1 << 30
"""Bytes of free disk that are called little."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one examination."""

    ok: bool
    fact: str
    mend: str = ""
    needed: bool = True
    """Without it the command line's main job does not work."""


def doctor(
    base_url: Annotated[str, typer.Option("--base-url", metavar="URL", help="The endpoint.")] = "",
    api_key_env: Annotated[
        str, typer.Option("--api-key-env", metavar="NAME", help="The key's variable.")
    ] = "DEEPSEEK_API_KEY",
    home: Annotated[str, typer.Option("--home", metavar="DIR", help="Where sessions live.")] = "",
) -> None:
    """What works here: Python, key, endpoint, engine, image, disk, session store.

    Exits 0 when all that is needed works, else 1.
    """
    url = base_url or os.environ.get("AGENTKIT_BASE_URL", "")
    examinations: dict[str, Callable[[], Finding]] = {
        "python": _python,
        "key": lambda: _key(api_key_env, url),
        "endpoint": lambda: _endpoint(api_key_env, url),
        "balance": lambda: _balance(api_key_env, url),
        "engine": _engine,
        "image": _image,
        "disk": lambda: _disk(home),
        "sessions": lambda: _store(home),
        "git": _git,
    }
    findings = _examine(examinations)
    for name, finding in findings.items():
        _tell(name, finding)
    sys.stdout.flush()
    code = 0 if all(each.ok or not each.needed for each in findings.values()) else 1
    if any("no answer within" in each.fact for each in findings.values()):
        os._exit(code)  # a thread still waits for somebody who does not answer
    raise typer.Exit(code)


def _examine(examinations: dict[str, Callable[[], Finding]]) -> dict[str, Finding]:
    pool: Executor = ThreadPoolExecutor(len(examinations))
    running: dict[str, Future[Finding]] = {
        name: pool.submit(_safely, examination) for name, examination in examinations.items()
    }
    wait(running.values(), timeout=WAIT)
    pool.shutdown(wait=False, cancel_futures=True)
    late = Finding(False, f"no answer within {WAIT:g} s", "Find out why it hangs, or restart it")
    return {name: task.result() if task.done() else late for name, task in running.items()}


def _safely(examination: Callable[[], Finding]) -> Finding:
    from agentkit.errors import AgentkitError

    try:
        return examination()
    except AgentkitError as error:
        tried = f" ({error.tried})" if error.tried else ""
        return Finding(False, error.what + tried, error.hint)
    except Exception as error:
        return Finding(False, f"{type(error).__name__}: {error}")


def _tell(name: str, finding: Finding) -> None:
    from agentkit.cli import text

    mark = "✓" if finding.ok else "✗" if finding.needed else "○"
    fact = " ".join(text.clean(finding.fact).split())
    print(text.for_stream(f"{mark} {name:9} {fact}"))
    if finding.mend and not finding.ok:
        print(text.for_stream(f"            → {text.clean(finding.mend)}"))


def _python() -> Finding:
    return Finding(
        sys.version_info >= (3, 11),
        f"Python {platform.python_version()}",
        "Use Python 3.11 or later",
    )


def _key(variable: str, url: str) -> Finding:
    if os.environ.get(variable, "").strip():
        return Finding(True, f"{variable} is set")
    mend = f"export {variable}=…, from https://platform.deepseek.com/api_keys"
    return Finding(
        False, f"{variable} is not set", f"{mend}; `agentkit demo` needs none", needed=not url
    )


def _endpoint(variable: str, url: str) -> Finding:
    from agentkit.cli.models import ask_served

    key = os.environ.get(variable, "")
    if not url and not key:
        return Finding(False, "not asked, as there is no key", "Set the key first", needed=False)
    names = ask_served(url, key)
    where = url or "api.deepseek.com"
    return Finding(True, f"{where} serves {', '.join(names[:6]) or 'nothing'}")


def _balance(variable: str, url: str) -> Finding:
    from agentkit.cli.models import ask_balance

    key = os.environ.get(variable, "")
    if not url and not key:
        return Finding(False, "not asked, as there is no key", "Set the key first", needed=False)
    told = ask_balance(url, key)
    if told is None:
        return Finding(True, "this endpoint tells none", needed=False)
    return Finding(told[0], told[1], "Top up the account: requests are refused until then")


def _engine() -> Finding:
    import anyio

    return anyio.run(_ask_engine)


async def _ask_engine() -> Finding:
    import anyio

    from agentkit.sandboxes._engine import connect

    engine = await connect()
    try:
        facts = await engine.call(engine.api.version)
        return Finding(True, f"engine {facts.get('Version', '?')} answers at {engine.address}")
    finally:
        with anyio.CancelScope(shield=True):
            await engine.close()


def _image() -> Finding:
    import anyio

    return anyio.run(_ask_image)


async def _ask_image() -> Finding:
    import anyio

    from agentkit.sandboxes._engine import connect
    from agentkit.sandboxes.images import base_image_tag

    engine = await connect()
    try:
        tag = base_image_tag()
        found = await engine.call(lambda: engine.api.images(name=tag))
        if found:
            return Finding(True, f"{tag}, {found[0]['Size'] >> 20} MB")
        mend = "It is built at first use; `agentkit sandbox build` does it now"
        return Finding(False, f"{tag} is not built yet", mend, needed=False)
    finally:
        with anyio.CancelScope(shield=True):
            await engine.close()


def _disk(home: str) -> Finding:
    from agentkit.cli.build import open_store

    folder = open_store(home).folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return Finding(
        free >= LITTLE,
        f"{free / (1 << 30):.1f} GB free at {folder}",
        "Make room, or name another folder with --home",
    )


def _store(home: str) -> Finding:
    from agentkit.cli.build import open_store

    store = open_store(home)
    count = len(store.sessions())
    folder = store.folder
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    mend = "Check its owner and permissions, or name another folder with --home"
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        return Finding(False, f"{existing} cannot be written: {error.strerror}", mend)
    made = count or "://" in store.where or Path(store.where).exists()
    where = store.where if made else f"{folder} (made at first use)"
    return Finding(True, f"{count} in {where}")


def _git() -> Finding:
    found = shutil.which("git")
    mend = "Install git: without it changes are listed without counting lines"
    return Finding(found is not None, found or "git is not installed", mend, needed=False)
