import pytest
from shop import business_total, club_total, private_total

ORDER = [(1999, 1), (350, 12)]


def test_totals():
    assert private_total(ORDER) == 7126
    assert business_total(ORDER) == 6979
    assert club_total(ORDER, "LOYAL") == 5877


def test_unknown_coupon():
    with pytest.raises(ValueError, match="NOPE"):
        private_total(ORDER, "NOPE")
