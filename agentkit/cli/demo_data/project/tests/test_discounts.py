import pytest

from atelier.discounts import shares


def test_shares_follow_the_amounts():
    assert shares(1000, [5000, 3000, 2000]) == [500, 300, 200]


def test_a_free_line_carries_nothing():
    assert shares(1000, [4900, 4900, 4900, 0])[-1] == 0


def test_no_discount_no_shares():
    assert shares(0, [4900, 0]) == [0, 0]


def test_a_discount_cannot_exceed_the_invoice():
    with pytest.raises(ValueError, match="does not fit"):
        shares(5001, [5000])
