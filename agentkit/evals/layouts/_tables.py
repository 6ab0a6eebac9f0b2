"""Reading tables of configuration with errors that name the file and the field."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from agentkit.errors import UsageError

Table = Mapping[str, Any]
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def toml(path: Path) -> Table:
    """The file as a table.

    Raises:
        UsageError: unreadable, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def text(path: Path) -> str:
    """The file's words.

    Raises:
        UsageError: missing, unreadable, or empty.
    """
    try:
        words = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not words:
        raise UsageError(f"{path} is empty", hint="A task needs an instruction")
    return words


def section(table: Table, name: str) -> Table:
    """A sub-table; empty where it is missing.

    Raises:
        UsageError: something else has its name.
    """
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise UsageError(f"[{name}] must be a table, not {found!r}")
    return cast("Table", found)


def number(table: Table, name: str, default: float | None = None) -> float | None:
    """A number above 0, or the default.

    Raises:
        UsageError: it is something else.
    """
    found = table.get(name, default)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 < found < 1e12:
        raise UsageError(f"{name} must be a number above 0, not {found!r}")
    return float(found)


def words(table: Table, name: str) -> dict[str, str]:
    """A table of strings with ``${VARIABLE}`` and ``${VARIABLE:-default}`` filled in.

    Raises:
        UsageError: a variable without a default is not set on this machine.
    """
    return {str(key): _filled(str(value)) for key, value in section(table, name).items()}


def _filled(value: str) -> str:
    def fill(match: re.Match[str]) -> str:
        name = str(match[1])
        default: str | None = match.group(2)
        if (found := os.environ.get(name, default)) is None:
            raise UsageError(
                f"the task wants the variable {name} of this machine", hint=f"export {name}=…"
            )
        return found

    return _VARIABLE.sub(fill, value)


def megabytes(table: Table, name: str) -> int | None:
    """A size in MB from ``NAME_mb``, or from the older ``NAME = "2G"``.

    Raises:
        UsageError: it cannot be understood.
    """
    if (found := number(table, f"{name}_mb")) is not None:
        return int(found)
    old = table.get(name)
    if old is None:
        return None
    match = re.fullmatch(r"([\d.]+)\s*([KMGT])[Bi]*", str(old).strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"{name} must be a size such as 512M or 2G, not {old!r}")
    return max(
        1, int(float(match[1]) * {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1 << 20}[match[2].upper()])
    )
