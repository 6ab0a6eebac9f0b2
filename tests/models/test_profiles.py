"""Servers of one's own: what is sent instead of DeepSeek's switches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentkit.errors import UsageError
from agentkit.ladder import FLASH
from agentkit.models.profiles import PROFILES, profile

OFF = replace(FLASH, thinking=False)


def test_v4_thinks_only_when_told_to() -> None:
    fields = profile("vllm-v4").fields
    assert fields(FLASH)["chat_template_kwargs"] == {"thinking": True, "reasoning_effort": "high"}
    assert fields(OFF)["chat_template_kwargs"] == {"thinking": False}


def test_v41_gets_the_numbers_that_the_api_means() -> None:
    fields = profile("vllm-v4.1").fields
    assert [fields(replace(FLASH, effort=level)) for level in ("low", "high", "max")] == [
        {"reasoning_effort": 50},
        {"reasoning_effort": 75},
        {"reasoning_effort": 100},
    ]
    assert fields(OFF) == {"chat_template_kwargs": {"thinking": False}}


def test_plain_servers_get_nothing_of_the_kind() -> None:
    assert profile("llama.cpp").fields(FLASH) == profile("openai").fields(FLASH) == {}


def test_an_unknown_server_is_named() -> None:
    with pytest.raises(UsageError, match=r"no server profile .*vllm-v4"):
        profile("tgi")
    assert set(PROFILES) == {each.name for each in PROFILES.values()}
