"""A job's report as one HTML page with its plots inside; nothing is loaded from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from agentkit.evals.report import Table, compared, contestants, scope, tasks
from agentkit.evals.summary import Row, comparisons, rows

if TYPE_CHECKING:
    from agentkit.evals.job import Job

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; } .wide { overflow-x: auto; }
th, td { border-bottom: 1px solid #8884; padding: .3rem .6rem; text-align: left; }
th { font-weight: 600; } figure { display: inline-block; margin: 0 2rem 1rem 0; }
.bar { fill: #3b7dd8; } text { fill: currentColor; font: 12px system-ui, sans-serif; }
.whisker { stroke: currentColor; } .warning { color: #c2410c; font-weight: 600; }
"""


def html(job: Job) -> str:
    """The page."""
    found = rows(job.records)
    name = escape(job.folder.name)
    warnings = [f"{each.name}: {each.reason}" for each in job.refused]
    if job.out_of_money:
        warnings.append(f"Stopped: the money limit of ${job.plan.max_cost:g} was reached.")
    body = [
        f"<h1>{name}</h1>",
        f"<p>{escape(scope(job))}</p>",
        *(f"<p class=warning>{escape(each)}</p>" for each in warnings),
        _plots(found),
        "<h2>Contestants</h2>",
        _table(contestants(found)),
        "<h2>Comparisons</h2>" + _table(compared(comparisons(job.records)))
        if len(found) > 1
        else "",
        "<h2>Tasks</h2>",
        _table(tasks(job)),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{name}</title><style>{_STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def _plots(found: Sequence[Row]) -> str:
    plots: list[tuple[str, Callable[[Row], float], Callable[[Row], float], str]] = [
        ("solved, % ± standard error", _percent, _percent_error, "{:.0f}%"),
        ("US dollars in all", lambda r: r.cost_usd, _nothing, "${:.4f}"),
        ("cache hits, % of input", lambda r: 100 * r.hit_ratio, _nothing, "{:.1f}%"),
        ("seconds per trial", lambda r: r.seconds, _nothing, "{:.0f}"),
    ]  # fmt: skip
    return "".join(_bars(title, found, value, error, form) for title, value, error, form in plots)


def _percent(row: Row) -> float:
    """The score; 0 where nothing was judged."""
    return 0.0 if math.isnan(row.score.value) else 100 * row.score.value


def _percent_error(row: Row) -> float:
    """Standard error; 0 where it is not known."""
    return 0.0 if math.isnan(row.score.error) else 100 * row.score.error


def _nothing(_row: Row) -> float:
    return 0.0


def _bars(
    title: str,
    found: Sequence[Row],
    value: Callable[[Row], float],
    error: Callable[[Row], float],
    form: str,
) -> str:
    """Horizontal bars, one per contestant, drawn by hand: no library is worth four rectangles."""
    most = max((value(row) + error(row) for row in found), default=0.0)
    scale = 200 / most if most else 0
    parts: list[str] = []
    for index, row in enumerate(found):
        y, width = 24 * index, scale * value(row)
        parts.append(f'<text x="0" y="{y + 15}">{escape(row.label)[:16]}</text>')
        parts.append(f'<rect class="bar" x="110" y="{y + 3}" width="{width:.1f}" height="16"/>')
        spread = scale * error(row)
        if spread > 0:
            x = 110 + width
            parts.append(
                f'<line class="whisker" x1="{x - spread:.1f}" x2="{x + spread:.1f}"'
                f' y1="{y + 11}" y2="{y + 11}"/>'
            )
        parts.append(f'<text x="{116 + width:.1f}" y="{y + 15}">{form.format(value(row))}</text>')
    height = 24 * len(found)
    label = escape(f"{title}: " + ", ".join(f"{r.label} {form.format(value(r))}" for r in found))
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg role="img" aria-label="{label}" width="400" height="{height}">{"".join(parts)}</svg>'
        "</figure>"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table[0])
    lines = (f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table[1:])
    return f"<div class=wide><table><tr>{head}</tr>{''.join(lines)}</table></div>"
