"""The ``agentkit`` command. ``main`` is its door; everything behind it loads on first use."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO, cast

__all__ = ["main"]

INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Run the command line and exit; no traceback reaches a user, except in debug mode."""
    _open_closed_streams()
    # Output that the terminal's encoding cannot hold is shown as "?" and never an error.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(_guarded())


def _open_closed_streams() -> None:
    """Put the null device where a caller closed a standard stream (``<&-``, ``>&-``).

    Otherwise the next file that is opened, the store's for one, would take its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        descriptor = os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if descriptor == number:
            os.set_inheritable(descriptor, True)
        stream = os.fdopen(descriptor, "r" if number == 0 else "w", encoding="utf-8", closefd=False)
        setattr(sys, name, stream)


def _guarded() -> int:
    from agentkit.errors import AgentkitError

    try:
        from agentkit.cli.app import run_app

        with _out_of_its_groups():
            code = run_app()
        sys.stdout.flush()
        return code
    except AgentkitError as error:
        if os.environ.get("AGENTKIT_DEBUG") == "1":
            raise
        _say(f"agentkit: {_one_line(str(error))}")
        return error.exit_code
    except BrokenPipeError:
        _silence(sys.stdout)
        return 128 + 13  # as the shell reports a program that SIGPIPE ended
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("AGENTKIT_DEBUG") == "1":
            raise
        return _unwritable(error) or _unexpected(error)


@contextmanager
def _out_of_its_groups() -> Generator[None]:
    """Raise an error itself where task groups only wrapped it; several stay a group."""
    try:
        yield
        return
    except BaseExceptionGroup as group:
        error = _only(group)
    raise error  # outside of the handler: the group is not shown as its context


def _only(error: BaseException) -> BaseException:
    inner = cast("tuple[BaseException, ...]", getattr(error, "exceptions", ()))
    return _only(inner[0]) if len(inner) == 1 else error


def _unwritable(error: Exception) -> int:
    """One line where a disk is full, also that behind standard output; 0 for any other error."""
    if not isinstance(error, OSError) or error.errno not in _FULL:
        return 0
    _silence(sys.stdout)
    where = error.filename or "standard output, or a file"
    _say(
        f"agentkit: {_one_line(str(where))} cannot be written: {error.strerror}. Make room, or send"
        " the output elsewhere; `agentkit resume` goes on with a session that was begun."
    )
    return 1


def _unexpected(error: Exception) -> int:
    """One line for the user, the whole story in a file."""
    from agentkit.cli.report import save_report

    name = type(error).__name__
    _say(f"agentkit: an unexpected error: {name}: {_one_line(str(error))[:300]}")
    _say(f"agentkit: {save_report(error)}")
    return 1


def _one_line(text: str) -> str:
    from agentkit.cli.text import clean

    return " ".join(clean(text).split())


def _say(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except (BrokenPipeError, OSError):
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Let the interpreter's own flush at its end have a place to go."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
