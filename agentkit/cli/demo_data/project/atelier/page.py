"""The invoice as a printed page."""

from atelier.invoice import Invoice
from atelier.money import shown

WIDTH = 48


def page(invoice: Invoice) -> str:
    rows = [f"Invoice {invoice.number}", "-" * WIDTH]
    for line, charged in zip(invoice.lines, invoice.charged, strict=True):
        text = line.text if line.pieces == 1 else f"{line.pieces} x {line.text}"
        rows.append(row(text, charged))
    rows += ["-" * WIDTH, row("Net", invoice.net)]
    rows += [row(f"VAT {rate} %", vat) for rate, vat in invoice.vat.items()]
    return "\n".join([*rows, row("Total", invoice.total)])


def row(text: str, cents: int) -> str:
    return f"{text[:34]:<34}{shown(cents):>14}"
