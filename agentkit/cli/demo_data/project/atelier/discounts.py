"""A discount is agreed for a whole invoice and carried by its lines."""

from atelier.money import divided


def shares(discount: int, amounts: list[int]) -> list[int]:
    """What each amount carries of the discount, in proportion to its size."""
    total = sum(amounts)
    if not 0 <= discount <= total:
        raise ValueError(f"a discount of {discount} cents does not fit a total of {total}")
    if not discount:
        return [0] * len(amounts)
    return [divided(discount * amount, total) for amount in amounts]
