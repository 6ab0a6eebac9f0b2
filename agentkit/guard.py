"""The prefix guard: no request leaves that does not extend the lane's last one, unnoticed.

The running hash of head and messages is logged with each request. A live lane cannot break its
own prefix, as it has no method for it; a resumed one can: another version of agentkit may encode
a message in other bytes, a log may have been edited, or the caller may want the agent's present
instructions and tools in place of those that the session began with. Then the provider's cache
is cold, and the whole history is read at the miss price. That is refused, or, where the caller
asks for it (``cold=True``), logged with what it costs.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agentkit.errors import PrefixChanged
from agentkit.events import LaneOpened, PrefixBroken
from agentkit.history import Break

if TYPE_CHECKING:
    from agentkit.run import Run


_REGIONS = {
    "model": ("model", "base_url", "dialect"),
    "effort": ("thinking", "effort", "temperature", "top_p"),
}


def differences(before: LaneOpened, after: LaneOpened) -> list[str]:
    """The regions in which two heads differ, in the order in which a prompt has them."""
    found = [
        region
        for region, names in _REGIONS.items()
        if any(before.rung.get(name) != after.rung.get(name) for name in names)
    ]
    if before.system != after.system:
        found.append("system")
    if before.tools != after.tools:
        found.append("tools")
    if before.user_id != after.user_id:
        found.append("user_id")
    return found


def admit(run: Run) -> None:
    """Let the lane's next request pass, unless it would not extend the last one.

    Raises:
        PrefixChanged: it would not, and nobody asked for that.
    """
    found = run.lane.broken
    if found is None:
        return
    tokens = run.state.prompt_tokens(run.lane_name)
    price = cold_price(run, tokens)
    if not run.cold:
        costs = f", about ${price:.4f}" if price is not None else ""
        raise PrefixChanged(
            f"the next request of lane {run.lane_name!r} would not extend the last one:"
            f" {found.region}: {found.cause}",
            tried=f"about {tokens:,} tokens would be read without the cache{costs}",
            hint="Go on all the same with --cold (cold=True), or with the version that began it",
        )
    log_break(run, found, tokens)


def log_break(run: Run, found: Break, tokens: int) -> None:
    """Log that a prefix is given up, with its price."""
    price = cold_price(run, tokens)
    run.append(
        PrefixBroken(region=found.region, cause=found.cause, tokens=tokens, price_usd=price or 0.0)
    )


def cold_price(run: Run, tokens: int) -> float | None:
    """US dollars that reading so many tokens costs more without the cache; None if unknown."""
    price = run.catalogue.price(run.lane.rung.model, datetime.now(UTC), tokens)
    return None if price is None else round(tokens * (price.miss - price.hit) / 1e6, 8)


def renew(run: Run, present: LaneOpened) -> None:
    """Go on under another head: a new lane with the whole history, logged as a break.

    Does nothing where the head is the same.
    """
    regions = differences(run.state.opened[run.lane_name], present)
    if not regions:
        return
    old, tokens = run.lane, run.state.prompt_tokens(run.lane_name)
    name = f"{run.lane_name.partition('~')[0]}~{len(run.state.lanes) + 1}"
    replayed = replace(
        present, role="main", replays=run.lane_name, upto=old.size - old.head_size, parent=""
    )
    run.lane_name = name
    run.append(replayed)
    cause = "the agent's definition changed, and the caller asked for the present one"
    log_break(run, Break(", ".join(regions), cause), tokens)
