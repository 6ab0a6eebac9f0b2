"""Amounts are whole cents, so that nothing is lost on the way."""

from decimal import Decimal


def divided(numerator: int, denominator: int) -> int:
    """The quotient rounded half up, as the tax office wants it."""
    return (2 * numerator + denominator) // (2 * denominator)


def percent(cents: int, rate: int) -> int:
    return divided(cents * rate, 100)


def shown(cents: int) -> str:
    """For people: ``1,234.50``."""
    return f"{Decimal(cents) / 100:,.2f}"
