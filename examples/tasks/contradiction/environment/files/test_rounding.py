from rounding import to_cents


def test_plain():
    assert to_cents(1.5) == 150
    assert to_cents(19.99) == 1999


def test_half_goes_up_for_invoices():
    assert to_cents(0.125) == 13


def test_half_goes_to_even_for_reports():
    assert to_cents(0.125) == 12
