"""A validated pydantic object instead of prose."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from _model import call, model
from pydantic import BaseModel, Field

from agentkit import Agent

LETTER = """
Hello, order 20417 arrived on Friday, but two of the six glasses were broken. I would
like the money back (8.90 each), no replacement please. Best, M. Okafor
"""


class Complaint(BaseModel):
    """What our form needs."""

    order: int = Field(gt=10_000)
    broken: int = Field(ge=1, description="pieces that arrived broken")
    refund: Decimal = Field(description="sum to pay back, in euros")
    wish: Literal["refund", "replacement"]


reader = Agent(
    "reader", instructions="You turn letters of customers into forms.", output_type=Complaint
)

SCRIPT = [
    # Refused with pydantic's own finding, which the model reads and mends.
    call("finish", order=20417, broken=2, refund="17.80", wish="money back"),
    call("finish", order=20417, broken=2, refund="17.80", wish="refund"),
]

if __name__ == "__main__":
    with model(SCRIPT):
        result = reader.run_sync(LETTER)
    complaint: Complaint = result.data
    print(repr(complaint))
    print(f"Pay back {complaint.refund} € for order {complaint.order}. [{result.turns} turns]")
