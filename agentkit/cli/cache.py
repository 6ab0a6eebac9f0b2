"""The account of the cache, told to a person."""

from __future__ import annotations

from collections.abc import Iterator

from agentkit.cli import text
from agentkit.cli.story import Line
from agentkit.hits import Account, Tally


def told(account: Account) -> Iterator[Line]:
    """Hit ratio beside what was expected, per session and lane; what misses cost, and whose."""
    total = account.total
    if not total.requests:
        return
    yield Line(f"cache      {_ratios(total)}")
    if len(account.lanes) > 1:
        for name, tally in account.lanes.items():
            yield Line(f"           lane {text.clean(name)}: {_ratios(tally)}")
    lost = total.missed or total.breaks
    yield Line(f"           {_lost(total)}", "warn" if lost else "plain")
    error = account.estimate_error
    if error is not None:
        yield Line(
            f"estimates  of prompts were off by {error[0]:.1%} on average, {error[1]:.1%} at most"
        )


def _ratios(tally: Tally) -> str:
    requests = text.plural(tally.requests, "request")
    if not tally.prompt:
        return f"{requests}, of which nothing is known"
    known = (
        f"{requests}, {tally.ratio:.1%} of {text.tokens(tally.prompt)} hit"
        f" (expected {tally.expected_ratio:.1%})"
    )
    return known + (f"; {tally.uncounted} not counted" if tally.uncounted else "")


def _lost(total: Tally) -> str:
    if total.breaks:
        prefixes = "1 prefix was" if total.breaks == 1 else f"{total.breaks} prefixes were"
        ours = (
            f"{prefixes} broken: {text.tokens(total.broken)} read cold,"
            f" {text.dollars(total.broken_usd)}"
        )
    else:
        ours = "no prefix was broken"
    if total.missed:
        theirs = (
            f"the provider missed {text.tokens(total.missed)} that it had stored,"
            f" {text.dollars(total.missed_usd)}"
        )
    else:
        theirs = "the provider missed nothing that it had stored"
    return f"{ours}; {theirs}"
