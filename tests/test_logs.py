"""The service's log: one pipe, JSON where nobody watches, and no secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator
from typing import Any

import pytest

from agentkit import logs
from agentkit.errors import UsageError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_it_was() -> Generator[None]:
    root, ours = logging.getLogger(), logging.getLogger("agentkit")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], root.level, ours.level = before[0], before[1], before[2]
    logging.captureWarnings(False)


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_where_nobody_watches() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    logs.get("agentkit.test").info("run.ended", session="s1", usd=0.5)
    logging.getLogger("uvicorn.error").info(
        "Started %s", "well", extra={"color_message": "\x1b[1m"}
    )
    logging.getLogger("somebody").info("not told at this level")
    first, second = told(stream)
    assert (first["event"], first["session"], first["usd"]) == ("run.ended", "s1", 0.5)
    assert (first["level"], first["logger"]) == ("info", "agentkit.test")
    assert second["event"] == "Started well"
    assert "color_message" not in second


def test_readable_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    logs.configure(stream=stream)
    logs.get("agentkit.test").warning("run.failed", session="s1", error="\x1b[2Jgone")
    line = stream.getvalue()
    assert "run.failed" in line
    assert "session=s1" in line
    assert "\x1b" not in line


def test_secrets_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "value-of-the-environment-1")
    stream = io.StringIO()
    logs.configure(stream=stream, secrets={"serve token": "value-of-the-token"})
    log = logs.get("agentkit.test")
    log.info("odd", a="value-of-the-token", b=["x value-of-the-environment-1"])
    log.info("odd", c={"d": "sk-0123456789abcdefghijklmnop"})
    try:
        raise RuntimeError("with value-of-the-token")
    except RuntimeError:
        log.exception("broken")
    text = stream.getvalue()
    assert "value-of-the" not in text
    assert "sk-0123" not in text
    assert "[redacted: serve token]" in text
    assert "Traceback" in told(stream)[-1]["exception"]


def test_exceptions_in_one_line_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTKIT_DEBUG", raising=False)
    stream = io.StringIO()
    logs.configure(stream=stream, tracebacks=False)
    try:
        raise RuntimeError("because")
    except RuntimeError:
        logging.getLogger("sdk").exception("it failed")
    assert told(stream)[0]["error"] == "RuntimeError: because"
    assert "Traceback" not in stream.getvalue()


def test_a_host_application_keeps_its_own_format(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="agentkit"):
        logs.get("agentkit.test").info("run.ended", session="s1")
    record = caplog.records[0]
    assert record.getMessage() == "run.ended"
    assert record.__dict__["session"] == "s1"


def test_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setenv("AGENTKIT_LOG", "error")
    logs.configure(stream=stream)
    logs.get("agentkit.test").warning("not told")
    assert stream.getvalue() == ""
    with pytest.raises(UsageError, match="loud"):
        logs.configure(level="loud")
