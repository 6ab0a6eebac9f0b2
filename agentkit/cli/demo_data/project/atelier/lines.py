"""What an invoice charges for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    text: str
    price: int
    """Cents for one piece, without VAT; 0 for a free sample."""
    pieces: int = 1
    vat: int = 20
    """Percent."""

    def __post_init__(self):
        if self.price < 0 or self.pieces < 1:
            raise ValueError(f"a line cannot cost {self.pieces} x {self.price} cents")

    @property
    def amount(self) -> int:
        return self.price * self.pieces
