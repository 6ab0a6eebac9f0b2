"""Overdue fees of the lending library."""

from datetime import date

PER_DAY = 25
MOST = 1000


def late_days(due: date, returned: date) -> int:
    """How many charged days lie between the two dates."""
    days = (returned.month - due.month) * 30 + returned.day - due.day + 1
    sundays = days // 7
    return max(0, days - sundays)


def fee(due: date, returned: date) -> int:
    """The fee in cents."""
    return min(MOST, late_days(due, returned) * PER_DAY)
