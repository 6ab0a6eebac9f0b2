"""The service's own log: structured lines on standard error, JSON where nobody watches.

Our loggers hand their fields to the standard library's logging, so a host application sees them in
its own format. ``configure``, which only our commands call, sends everything through one pipe:
ours, uvicorn's and the SDKs'. Not imported by the framework: structlog costs 60 ms of CPU.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, Literal, TextIO, cast, get_args

import structlog
from structlog.stdlib import BoundLogger, ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, Processor

from agentkit.errors import UsageError
from agentkit.secrets import Redactor

Level = Literal["debug", "info", "warning", "error"]
VARIABLE = "AGENTKIT_LOG"


def get(name: str) -> BoundLogger:
    """A logger whose fields become the ``extra`` of a standard log record."""
    logger: Any = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.render_to_log_kwargs,
        ],
        wrapper_class=BoundLogger,
    )
    return cast("BoundLogger", logger)


def configure(
    *,
    stream: TextIO | None = None,
    level: str = "",
    secrets: Mapping[str, str] | None = None,
    tracebacks: bool = True,
) -> None:
    """Send all logging of this process to one place.

    Args:
        stream: default: standard error. JSON lines, unless it is a terminal.
        level: the least that is told; "" is ``AGENTKIT_LOG``, else ``info``.
        secrets: values that must not be told, by the names to show for them, beside those that
            the environment's names call secret.
        tracebacks: False tells of an exception in one line, unless ``AGENTKIT_DEBUG=1``.

    Raises:
        UsageError: there is no such level.
    """
    least = _level(level)
    out = stream or sys.stderr
    readable = out.isatty()
    whole = tracebacks or os.environ.get("AGENTKIT_DEBUG") == "1"
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                ExtraAdder(),
                _without_uvicorns_colours,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            ],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info if whole else _exception_in_words,
                _Clean(Redactor(secrets, os.environ)),
                *_renderer(readable),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING if least > logging.DEBUG else least)
    for name in ("agentkit", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(least)
    # Requests have our own lines, without the query.
    logging.getLogger("uvicorn.access").propagate = False
    logging.captureWarnings(True)


def _level(given: str) -> int:
    name = (given or os.environ.get(VARIABLE, "") or "info").lower()
    if name not in get_args(Level):
        known = ", ".join(get_args(Level))
        raise UsageError(f"there is no log level {name!r}", hint=f"Choose one of {known}")
    return logging.getLevelNamesMapping()[name.upper()]


def _renderer(readable: bool) -> list[Processor]:
    if readable:
        colours = not os.environ.get("NO_COLOR")
        return [structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="time")]
    return [structlog.processors.JSONRenderer(ensure_ascii=False, default=str)]


class _Clean:
    """Takes secrets, and what a terminal would obey, out of every text of a line."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, _logger: Any, _method: str, line: EventDict) -> EventDict:
        return {key: self._value(value) for key, value in line.items()}

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redactor.text(value).replace("\x1b", "\ufffd")
        if isinstance(value, dict):
            return {key: self._value(each) for key, each in cast("EventDict", value).items()}
        if isinstance(value, list | tuple):
            return [self._value(each) for each in cast("list[Any]", value)]
        return value


def _exception_in_words(_logger: Any, _method: str, line: EventDict) -> EventDict:
    given = line.pop("exc_info", None)
    error: Any = sys.exc_info()[1] if given is True else given
    if isinstance(error, tuple):
        error = cast("tuple[Any, ...]", error)[1]
    if error is not None:
        line["error"] = f"{type(error).__name__}: {error}"
    return line


def _without_uvicorns_colours(_logger: Any, _method: str, line: EventDict) -> EventDict:
    line.pop("color_message", None)
    return line
