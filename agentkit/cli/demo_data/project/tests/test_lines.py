import pytest

from atelier.lines import Line


def test_amount_counts_the_pieces():
    assert Line("Print, A3", 450, pieces=12).amount == 5400


def test_a_line_cannot_cost_less_than_nothing():
    with pytest.raises(ValueError, match="cannot cost"):
        Line("Mistake", -100)
