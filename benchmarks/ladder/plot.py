"""A plot as SVG, written by hand: two axes with logarithms and some lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 460, 70, 40, 190, 50
COLOURS = (
    "#1b6ca8", "#6aa6d6", "#b03a2e", "#e08e79", "#2e8b57", "#7d3c98", "#c98a00", "#ff7f0e",
    "#555555", "#000000",
)  # fmt: skip


def svg(title: str, across: Sequence[int], lines: Mapping[str, Sequence[float]]) -> str:
    """Dollars per solved task (logarithmic) over the length of the history (logarithmic)."""
    values = [value for line in lines.values() for value in line]
    low, high = log10(min(values) * 0.9), log10(max(values) * 1.1)
    first, last = log10(across[0]), log10(across[-1])

    def x(value: float) -> float:
        return LEFT + (log10(value) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    size = f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    parts += [
        f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">${tick:g}</text>'
        for tick in (0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
        if low <= log10(tick) <= high
    ]
    parts += [
        f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">'
        f"{value // 1000}k</text>"
        for value in across
    ]
    parts.append(
        f'<text x="{LEFT}" y="{HEIGHT - 10}">tokens of history when the task begins</text>'
    )
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(a):.1f},{y(v):.1f}" for a, v in zip(across, line, strict=True))
        at = TOP + 20 * number + 10
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<path d="M{WIDTH - RIGHT + 14} {at}h22" stroke="{colour}" stroke-width="3"/>'
            f'<text x="{WIDTH - RIGHT + 42}" y="{at + 4}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])
