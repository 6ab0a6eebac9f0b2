from datetime import date

from fees import fee


def test_three_days_late():
    assert fee(date(2026, 3, 3), date(2026, 3, 6)) == 75
