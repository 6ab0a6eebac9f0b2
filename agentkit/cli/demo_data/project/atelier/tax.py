"""VAT is computed once per rate, on the sum of the lines that carry it."""

from collections import defaultdict
from collections.abc import Iterable

from atelier.money import percent


def vat_by_rate(charged: Iterable[tuple[int, int]]) -> dict[int, int]:
    """VAT in cents for each rate, from pairs of (rate, net amount)."""
    nets: dict[int, int] = defaultdict(int)
    for rate, net in charged:
        nets[rate] += net
    return {rate: percent(net, rate) for rate, net in sorted(nets.items())}
