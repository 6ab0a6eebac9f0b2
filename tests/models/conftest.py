"""The fault matrix prints its lines at the end of a run, captured or not, with workers or not."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [
        str(value)
        for report in terminalreporter.getreports("") + terminalreporter.getreports("passed")
        if report.when == "call"
        for name, value in report.user_properties
        if name == "matrix"
    ]
    if lines:
        terminalreporter.section("fault matrix: fault, outcome, requests, waits in seconds")
        for line in sorted(dict.fromkeys(lines)):
            terminalreporter.write_line(line)
