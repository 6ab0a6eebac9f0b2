"""Structured results: instances of the type that was asked for, whatever that type can do."""

from __future__ import annotations

import json
from datetime import date

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field

from agentkit.testing import Call as Asks
from agentkit.testing import FakeDeepSeek
from tests.test_session import add, asks, make, results, says

pytestmark = pytest.mark.anyio


class Weather(BaseModel):
    city: str
    celsius: float


async def test_structured_results_are_validated_instances() -> None:
    wrong = asks(Asks("finish", {"city": "Ulm"}))
    right = asks(Asks("finish", {"city": "Ulm", "celsius": 7.5}))
    with FakeDeepSeek([wrong, right]) as server:
        agent = make(server, add, output_type=Weather)
        result = await agent.run("Weather in Ulm?")
    assert result.data == Weather(city="Ulm", celsius=7.5)
    assert json.loads(result.output) == {"city": "Ulm", "celsius": 7.5}
    assert "missing argument 'celsius'" in results(agent, result)[0].content


async def test_structured_results_from_plain_json_and_of_plain_types() -> None:
    with FakeDeepSeek([says("nonsense"), says("```json\n[1, 2]\n```")]) as server:
        result = await make(server).run("Numbers?", output_type=list[int])
    assert result.data == [1, 2]


class Verdict(BaseModel):
    """What is read otherwise than it is written: an alias, a strict date, a computed field."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: str = Field(alias="class")
    day: date

    @computed_field
    @property
    def year(self) -> int:
        return self.day.year


@pytest.mark.parametrize("by_tool", [True, False])
async def test_a_structured_result_need_not_read_what_it_writes(by_tool: bool) -> None:
    given = {"class": "bug", "day": "2026-11-25"}
    reply = asks(Asks("finish", given)) if by_tool else says(json.dumps(given))
    with FakeDeepSeek([reply]) as server:
        async with make(server, output_type=Verdict).session() as session:
            result = await session.run("Judge it.")
            end = session.state.finished
    assert result.ok
    assert result.data == Verdict.model_validate_json(json.dumps(given))
    assert end is not None
    assert end.data == {"kind": "bug", "day": "2026-11-25", "year": 2026}
