"""An invoice and its totals."""

from dataclasses import dataclass

from atelier.discounts import shares
from atelier.lines import Line
from atelier.tax import vat_by_rate


@dataclass(frozen=True)
class Invoice:
    number: str
    lines: tuple[Line, ...]
    discount: int = 0
    """Cents off the whole invoice, without VAT."""

    @property
    def charged(self) -> list[int]:
        """What is charged for each line after its share of the discount."""
        amounts = [line.amount for line in self.lines]
        off = shares(self.discount, amounts)
        return [amount - share for amount, share in zip(amounts, off, strict=True)]

    @property
    def net(self) -> int:
        return sum(self.charged)

    @property
    def vat(self) -> dict[int, int]:
        rates = (line.vat for line in self.lines)
        return vat_by_rate(zip(rates, self.charged, strict=True))

    @property
    def total(self) -> int:
        return self.net + sum(self.vat.values())
