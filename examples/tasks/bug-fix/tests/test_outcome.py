import sys
from datetime import date, timedelta

sys.path.insert(0, "/work")
from fees import fee


def expected(due, returned):
    days = [due + timedelta(days=n) for n in range(1, (returned - due).days + 1)]
    return min(1000, 25 * sum(day.weekday() != 6 for day in days))


def test_every_pair_of_a_leap_year():
    start = date(2028, 1, 1)
    for first in range(0, 366, 5):
        for late in range(-3, 70):
            due = start + timedelta(days=first)
            returned = due + timedelta(days=late)
            assert fee(due, returned) == expected(due, returned), (due, returned)


def test_over_new_year():
    assert fee(date(2026, 12, 30), date(2027, 1, 2)) == 75


def test_result_is_whole_cents():
    assert type(fee(date(2026, 3, 3), date(2026, 3, 6))) is int
