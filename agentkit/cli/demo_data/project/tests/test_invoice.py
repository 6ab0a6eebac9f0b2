from atelier.invoice import Invoice
from atelier.lines import Line
from atelier.page import page

LOGO = Line("Logo, first draft", 49000)
PRINTS = Line("Print, A3", 450, pieces=12)
BOOK = Line("Handbook", 3000, vat=10)


def test_total_without_discount():
    assert Invoice("2026-07", (LOGO, PRINTS)).total == 65280


def test_vat_is_kept_apart_by_rate():
    assert Invoice("2026-08", (PRINTS, BOOK)).vat == {10: 300, 20: 1080}


def test_discount_lowers_vat_of_every_rate():
    invoice = Invoice("2026-09", (PRINTS, BOOK), discount=840)
    assert invoice.vat == {10: 270, 20: 972}


def test_page_shows_free_samples_at_nothing():
    sample = Line("Paper sample", 0)
    rows = page(Invoice("2026-12", (LOGO, sample), discount=900)).splitlines()
    assert rows[3].split() == ["Paper", "sample", "0.00"]
