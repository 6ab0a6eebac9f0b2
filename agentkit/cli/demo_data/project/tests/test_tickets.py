from atelier.discounts import shares
from atelier.invoice import Invoice
from atelier.lines import Line


def test_ticket_31_the_customer_pays_what_was_agreed():
    posters = tuple(Line(f"Poster {colour}", 4900) for colour in ("red", "green", "blue"))
    assert Invoice("2026-31", posters, discount=1000).net == 13700


def test_ticket_31_shares_add_up_to_the_discount():
    assert sum(shares(1000, [4900, 4900, 4900])) == 1000
