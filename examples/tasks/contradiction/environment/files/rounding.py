"""Rounding of prices to whole cents."""


def to_cents(euros: float) -> int:
    return int(euros * 100)
