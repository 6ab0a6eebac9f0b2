import pytest

from atelier.money import divided, percent, shown


@pytest.mark.parametrize(("numerator", "expected"), [(4, 0), (5, 1), (14, 1), (15, 2)])
def test_quotients_are_rounded_half_up(numerator: int, expected: int):
    assert divided(numerator, 10) == expected


def test_percent_of_an_amount():
    assert percent(1999, 20) == 400


def test_amounts_are_shown_with_two_places():
    assert shown(123450) == "1,234.50"
