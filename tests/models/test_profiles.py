"""How servers other than DeepSeek want to be asked, and how a rung gets there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent
from agentkit.errors import ModelRetired, UsageError
from agentkit.ladder import DIALECTS, FLASH, Dialect, Ladder, Rung
from agentkit.models import wire
from agentkit.models.catalogue import Catalogue
from agentkit.models.profiles import PROFILES
from agentkit.models.types import ToolCall
from agentkit.stores.memory import MemoryStore
from agentkit.testing import FakeDeepSeek

OFF = replace(FLASH, thinking=False)
BROKEN = ToolCall("c1", "bash", '{"command": "ls')


def sent(rung: Rung, dialect: Dialect) -> dict[str, Any]:
    rung = replace(rung, dialect=dialect)
    head = wire.head(rung, system="s", tools=[], user_id="tenant-1")
    said = wire.assistant("", "a thought", [BROKEN], dialect=dialect)
    result = wire.tool_result("c1", "ERROR")
    tail = wire.tail(max_tokens=9, stream=False, dialect=dialect)
    return json.loads(wire.body(head, [wire.user("q"), said, result], tail))


def test_every_dialect_has_its_profile() -> None:
    assert set(PROFILES) == set(DIALECTS)


@pytest.mark.parametrize("dialect", ["vllm-v4", "sglang-v4"])
def test_v4_thinks_only_when_told_to(dialect: Dialect) -> None:
    assert sent(FLASH, dialect)["chat_template_kwargs"] == {
        "thinking": True,
        "reasoning_effort": "high",
    }
    assert sent(OFF, dialect)["chat_template_kwargs"] == {"thinking": False}


def test_v41_gets_the_numbers_that_the_api_means() -> None:
    levels = [replace(FLASH, effort=level) for level in ("low", "high", "max")]
    assert [sent(rung, "vllm-v4.1")["reasoning_effort"] for rung in levels] == [50, 75, 100]
    assert sent(OFF, "vllm-v4.1")["chat_template_kwargs"] == {"thinking": False}


def test_openais_reasoning_models_get_their_own_words() -> None:
    body = sent(replace(FLASH, effort="max"), "openai-reasoning")
    assert (body["reasoning_effort"], body["max_completion_tokens"]) == ("xhigh", 9)
    assert sent(OFF, "openai-reasoning")["reasoning_effort"] == "none"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_deepseek_gets_what_only_deepseek_takes(dialect: Dialect) -> None:
    body = sent(FLASH, dialect)
    own = dialect == "deepseek"
    assert ("thinking" in body, "user_id" in body) == (own, own)
    assert ("max_completion_tokens" in body) == (dialect == "openai-reasoning")
    said = body["messages"][2]
    kept = {"deepseek": "reasoning_content", "vllm-v4": "reasoning", "vllm-v4.1": "reasoning"}
    kept |= {"sglang-v4": "reasoning_content", "llama.cpp": "reasoning_content"}
    found = {key for key in said if "reasoning" in key}
    assert found == ({kept[dialect]} if dialect in kept else set())
    arguments = said["tool_calls"][0]["function"]["arguments"]
    if own:
        assert arguments == BROKEN.arguments
    else:  # their templates parse the history
        assert json.loads(arguments) == {"unparsed": BROKEN.arguments}


def test_a_rung_says_its_dialect_or_the_catalogue_or_its_name_does() -> None:
    rungs = (
        Rung("deepseek-ai/DeepSeek-V4-Pro", dialect="sglang-v4"),
        Rung("gpt-5.5"),
        Rung("mine"),
        Rung("deepseek-ai/DeepSeek-V4-Pro"),
        Rung("qwen3"),
    )
    catalogue = Catalogue.load({"mine": {"dialect": "vllm-v4.1"}})
    agent = Agent("a", ladder=Ladder("l", rungs), catalogue=catalogue)
    assert [rung.dialect for rung in agent.ladder.rungs] == [
        "sglang-v4",
        "openai-reasoning",
        "vllm-v4.1",
        "deepseek",
        "openai",
    ]


async def test_what_was_settled_is_in_the_log_and_survives_a_resume(
    fake_deepseek: Any,
) -> None:
    server: FakeDeepSeek = fake_deepseek(["One.", "Two."])
    store = MemoryStore()
    ladder = Ladder.single("deepseek-flash", dialect="llama.cpp")
    agent = Agent("a", ladder=ladder, base_url=server.base_url, api_key="k", store=store)
    async with agent.session("s") as session:
        await session.run("Hello.")
    other = replace(agent, ladder=Ladder.preset("flash"))
    async with other.session("s", resume=True) as session:
        await session.run("Again.")
    bodies = [request.body for request in server.requests]
    assert all("thinking" not in body for body in bodies)
    assert bodies[1]["messages"][:3] == [*bodies[0]["messages"], bodies[1]["messages"][2]]


def test_a_ladder_file_names_dialects(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        '[[rung]]\nmodel = "v4"\ndialect = "vllm-v4"\nbase_url = "http://gpu:8000/v1"\n'
    )
    (rung,) = Ladder.load(str(file)).rungs
    assert (rung.speaks, rung.base_url) == ("vllm-v4", "http://gpu:8000/v1")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('dialect = "tgi"', r"no dialect 'tgi'.*vllm-v4"),
        ('effort = "huge"', "none of low, high, max"),
        ('thinking = "no"', "thinking cannot be 'no'"),
        ('max_tokens = "many"', "max_tokens cannot be 'many'"),
        ("max_tokens = 0", "1 or more"),
        ("temperature = true", "temperature cannot be True"),
        ('url = "x"', "unknown setting 'url'"),
    ],
)
def test_a_wrong_rung_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(f'[[rung]]\nmodel = "v4"\n{line}\n')
    with pytest.raises(UsageError, match=said):
        Ladder.load(str(file))


def test_a_retired_name_is_refused_before_anything_is_sent_to_deepseek() -> None:
    agent = Agent("a", ladder=Ladder.single("deepseek-chat"), api_key="k", store=MemoryStore())
    with pytest.raises(ModelRetired, match="use deepseek-flash without thinking"):
        agent.run_sync("Hello.")


@pytest.mark.parametrize("user_id", ["a b", "ä", "x" * 513])
def test_a_user_id_that_the_provider_does_not_take_is_refused(user_id: str) -> None:
    with pytest.raises(UsageError, match="user_id"):
        Agent("a", user_id=user_id)
