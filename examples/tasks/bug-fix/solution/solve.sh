#!/bin/bash
set -euo pipefail
cat >fees.py <<'PY'
"""Overdue fees of the lending library."""

from datetime import date, timedelta

PER_DAY = 25
MOST = 1000
SUNDAY = 6


def late_days(due: date, returned: date) -> int:
    """How many charged days lie after the due date, up to the day of return."""
    days = range(1, (returned - due).days + 1)
    return sum((due + timedelta(days=day)).weekday() != SUNDAY for day in days)


def fee(due: date, returned: date) -> int:
    """The fee in cents."""
    return min(MOST, late_days(due, returned) * PER_DAY)
PY
