"""How to ask DeepSeek's weights on servers of one's own: the fields in which they differ.

Sources: vllm-project/recipes @ 8959cf64 and SGLang's launch scripts (2026-10), the vendor's
encoding for the effort numbers. None of these servers has been run by us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentkit.errors import UsageError
from agentkit.ladder import Effort, Rung

EFFORT_NUMBERS: Mapping[Effort, int] = {"low": 50, "high": 75, "max": 100}
"""What DeepSeek's API means by its levels on V4.1 (deepseek-recipe 0.2.0). vLLM's own names mean
25, 50 and 100, so the number is sent instead of the name."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of server."""

    name: str
    launch: str
    """What the server must be started with for calls and reasoning to be told apart."""
    fields: Callable[[Rung], dict[str, Any]]
    """What goes into the head instead of ``thinking`` and ``reasoning_effort``."""
    reasoning_field: str
    """The name under which answers carry, and histories return, the reasoning; "" is none."""
    cache_block: int
    """Tokens of one block of its prefix cache; no disk cache, no discount, but no waiting."""


def _v4(rung: Rung) -> dict[str, Any]:
    # V4's template thinks only when told to, and knows no "low"
    effort = "max" if rung.effort == "max" else "high"
    kwargs: dict[str, Any] = {"thinking": rung.thinking}
    return {
        "chat_template_kwargs": kwargs | ({"reasoning_effort": effort} if rung.thinking else {})
    }


def _v41(rung: Rung) -> dict[str, Any]:
    if not rung.thinking:
        return {"chat_template_kwargs": {"thinking": False}}
    return {"reasoning_effort": EFFORT_NUMBERS[rung.effort]}


_VLLM = "--enable-auto-tool-choice --kv-cache-dtype fp8 --block-size 256"
PROFILES: Mapping[str, Profile] = {
    each.name: each
    for each in (
        Profile(
            "vllm-v4",
            f"--tokenizer-mode deepseek_v4 --tool-call-parser deepseek_v4"
            f" --reasoning-parser deepseek_v4 {_VLLM}",
            _v4,
            "reasoning",
            256,
        ),
        Profile(
            "vllm-v4.1",
            f"--tokenizer-mode deepseek_v41 --tool-call-parser deepseek_v41"
            f" --reasoning-parser deepseek_v41 {_VLLM}",
            _v41,
            "reasoning",
            256,
        ),
        Profile(
            "sglang-v4",
            "--tool-call-parser deepseekv4 --reasoning-parser deepseek-v4 --page-size 256"
            " (and no --chat-template)",
            _v4,
            "reasoning_content",
            256,
        ),
        Profile("llama.cpp", "--jinja", lambda _: {}, "reasoning_content", 1),
        Profile("openai", "", lambda _: {}, "", 1),
    )
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in PROFILES:
        raise UsageError(f"no server profile {name!r}", hint=f"Known: {', '.join(PROFILES)}")
    return PROFILES[name]
