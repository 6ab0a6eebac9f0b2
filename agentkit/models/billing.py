"""What a session cost, from its log alone: every answer that was billed, at the price of its hour.

The log holds the cost of each answer as it was reckoned when it came. Reckoned anew from usage and
time, the same catalogue gives the same bill, and a corrected one the corrected bill.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from agentkit.events import Event, LaneOpened, ModelAdvised, ModelFailed, ModelResponded
from agentkit.models.catalogue import Catalogue, shipped
from agentkit.models.types import Usage


@dataclass(frozen=True, slots=True)
class Item:
    """One billed answer."""

    seq: int
    """Of its event."""
    time: datetime
    model: str
    """What was asked for; an alias is billed as its model."""
    usage: Usage
    cost_usd: float
    priced: bool
    """False where the catalogue has no price or the provider reported no usage."""


@dataclass(frozen=True, slots=True)
class Bill:
    """All items of one or more sessions."""

    items: tuple[Item, ...]

    @property
    def usd(self) -> float:
        """US dollars; exact to the last digit whatever the order of the items."""
        return math.fsum(item.cost_usd for item in self.items)

    @property
    def usage(self) -> Usage:
        total = Usage()
        for item in self.items:
            total += item.usage
        return total

    @property
    def priced(self) -> bool:
        """False where some answer has no known price: the sum is then too low."""
        return all(item.priced for item in self.items)


def bill(events: Iterable[Event], catalogue: Catalogue | None = None) -> Bill:
    """The bill of a session's events, as ``agentkit.log.read`` gives them.

    Args:
        catalogue: None is the one that is shipped.
    """
    catalogue = catalogue or shipped()
    models: dict[str, str] = {}
    items: list[Item] = []
    for event in events:
        if isinstance(event, LaneOpened):
            models[event.lane] = str(event.rung.get("model", ""))
        elif isinstance(event, ModelResponded | ModelAdvised | ModelFailed):
            model = getattr(event, "model", "") or models.get(event.lane, "")
            item = _item(event, model, catalogue)
            if not isinstance(event, ModelFailed) or event.usage.prompt_tokens:
                items.append(item)
    return Bill(tuple(items))


def _item(
    event: ModelResponded | ModelAdvised | ModelFailed, model: str, catalogue: Catalogue
) -> Item:
    time = datetime.fromisoformat(event.time)
    return Item(
        seq=event.seq or 0,
        time=time,
        model=model,
        usage=event.usage,
        cost_usd=catalogue.cost(event.usage, model, time),
        priced=catalogue.priced(model) and event.usage.reported,
    )
