"""JSON answers of a type, prefix completion, fill-in-the-middle."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import BaseModel

from agentkit.errors import RequestInvalid, UnusableAnswer, UsageError
from agentkit.ladder import FLASH
from agentkit.models import wire
from agentkit.models.endpoint import Endpoint, connect
from agentkit.models.extras import ask_json, complete_prefix, fill_in
from agentkit.testing import FakeDeepSeek, Reply

Start = Callable[..., FakeDeepSeek]
PLAIN = replace(FLASH, thinking=False)


class City(BaseModel):
    name: str
    people: int


@asynccontextmanager
async def at(server: FakeDeepSeek) -> AsyncGenerator[Endpoint, None]:
    endpoint = connect(server.base_url + "/v1", "k")
    yield endpoint
    await endpoint.aclose()


async def test_a_value_of_a_type_in_spite_of_blanks_cuts_and_misfits(fake_deepseek: Start) -> None:
    server = fake_deepseek(
        [
            " ",
            Reply('{"name": "Bon', finish_reason="length"),
            '{"name": "Bonn", "people": "many"}',
            ' {"name": "Bonn", "people": 330000} ',
        ]
    )
    async with at(server) as endpoint:
        value, answers = await ask_json(endpoint, FLASH, "Which city?", City, attempts=4)
    assert value == City(name="Bonn", people=330_000)
    assert len(answers) == 4
    limits = [request.body["max_tokens"] for request in server.requests]
    assert limits == [65_536, 65_536, 131_072, 131_072]
    assert server.requests[-1].body["response_format"] == {"type": "json_object"}
    assert "people" in server.requests[-1].body["messages"][-1]["content"]
    assert server.violations == []


async def test_no_value_is_no_success(fake_deepseek: Start) -> None:
    async with at(fake_deepseek([" ", " ", " "])) as endpoint:
        with pytest.raises(UnusableAnswer, match="it was blank"):
            await ask_json(endpoint, FLASH, "Which city?", City)


async def test_the_model_goes_on_from_given_words(fake_deepseek: Start) -> None:
    server = fake_deepseek(["def add(a, b): ..."])
    async with at(server) as endpoint:
        answer = await complete_prefix(endpoint, PLAIN, "Add!", "```python\n", stop=["```"])
    assert answer.content.startswith("def add")
    sent = server.requests[0].body
    assert sent["messages"][-1] == {
        "role": "assistant",
        "content": "```python\n",
        "prefix": True,
    }
    assert sent["stop"] == ["```"]
    assert server.violations == []


async def test_the_middle_is_filled_in(fake_deepseek: Start) -> None:
    async with at(fake_deepseek(["    return a + b"])) as endpoint:
        answer = await fill_in(endpoint, PLAIN, "def add(a, b):\n", "\n", max_tokens=64)
    assert answer.content == "    return a + b"
    assert answer.usage.completion_tokens > 0


async def test_what_works_without_thinking_only_is_refused_before_sending(
    fake_deepseek: Start,
) -> None:
    server = fake_deepseek([])
    async with at(server) as endpoint:
        with pytest.raises(UsageError, match="without thinking only"):
            await fill_in(endpoint, FLASH, "x")
        with pytest.raises(UsageError, match="without thinking only"):
            await complete_prefix(endpoint, FLASH, "x", "y")
        with pytest.raises(UsageError, match="4096"):
            await fill_in(endpoint, PLAIN, "x", max_tokens=5000)
    assert server.requests == []
    assert server.violations == []


async def test_the_fake_wants_the_word_json_as_the_provider_does(fake_deepseek: Start) -> None:
    tail = wire.tail(
        max_tokens=9,
        stream=False,
        dialect="deepseek",
        extra={"response_format": {"type": "json_object"}},
    )
    sent = wire.body(wire.head(PLAIN, system="", tools=[]), [wire.user("hi")], tail)
    async with at(fake_deepseek(["never"])) as endpoint:
        with pytest.raises(RequestInvalid, match="must contain the word 'json'"):
            await endpoint.ask(sent, stream=False)
