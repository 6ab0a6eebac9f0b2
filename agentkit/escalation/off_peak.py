"""Wait for off-peak prices, where a run was asked to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from agentkit.events import Waited

if TYPE_CHECKING:
    from agentkit.run import Run


async def wait_for_off_peak(run: Run, most: float) -> None:
    """Wait until the first rung costs less, if that is within ``most`` seconds; else do not wait.

    The caller sees to it that the time does not count against the deadline.
    """
    model = run.ladder.rungs[0].model
    now = datetime.now(UTC)
    price = run.catalogue.price(model, now)
    change = run.catalogue.next_change(model, now) if price is not None and price.peak else None
    if change is None or not 0 < (change - now).total_seconds() <= most:
        return
    seconds = (change - now).total_seconds()
    run.append(Waited(reason=f"off-peak prices of {model}", seconds=round(seconds, 3)))
    await run.log.commit()
    await anyio.sleep(seconds)
