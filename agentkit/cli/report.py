"""Where the traceback of an unexpected error goes."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path


def save_report(error: Exception) -> str:
    """Save the traceback in a file and say where; the file names no argument and no variable."""
    now = datetime.now(UTC)
    story = "".join(traceback.format_exception(error))
    text = (
        f"agentkit on Python {platform.python_version()}, {platform.platform()}\n"
        f"command: {' '.join(sys.argv[1:2])}\n{now:%Y-%m-%d %H:%M:%S} UTC\n\n{story}"
    )
    name = f"error-{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    for folder in _folders():
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = folder / name
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return f"the details are in {path}; AGENTKIT_DEBUG=1 shows them at once."
    return "the details could not be saved; AGENTKIT_DEBUG=1 shows them."


def _folders() -> list[Path]:
    from agentkit.stores.sqlite import home

    return [home() / "reports", Path(tempfile.gettempdir())]
