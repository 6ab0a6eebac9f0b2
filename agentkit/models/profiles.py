"""How different servers want to be asked, as data: one profile per ``Dialect``.

Sources: DeepSeek's api-docs (2026-11); vllm-project/recipes @ 8959cf64 and SGLang's launch scripts
(2026-10); the vendor's encoding for the effort numbers; GPT-5.5's efforts from its model cards
(read 2026-11). llama.cpp's server is run by our tests (``tests/models/local``); vLLM and SGLang
need a graphics card and have not been run by us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentkit.ladder import Dialect, Effort, Rung

EFFORT_NUMBERS: Mapping[Effort, int] = {"low": 50, "high": 75, "max": 100}
"""What DeepSeek's API means by its levels on V4.1 (deepseek-recipe 0.2.0). vLLM's own names mean
25, 50 and 100, so the number is sent instead of the name."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of server."""

    thinking: Callable[[Rung], dict[str, Any]]
    """The fields of the head that say whether and how hard to think."""
    reasoning_field: str = ""
    """The name under which histories return the reasoning; "" returns none. Answers are read
    under both names, whatever the profile."""
    limit_field: str = "max_tokens"
    """What limits an answer. DeepSeek ignores ``max_completion_tokens`` in silence
    (deepseek-recipe 0.2.0, 2026-10); OpenAI's reasoning models refuse ``max_tokens``."""
    takes_broken_arguments: bool = False
    """The history may hold arguments that are no JSON object: DeepSeek shows the model its own
    text, the templates of the others parse them and fail."""
    takes_user_id: bool = False
    launch: str = ""
    """What the server must be started with for calls and reasoning to be told apart."""
    cache_block: int = 1
    """Tokens of one block of its prefix cache; no disk cache, no discount, but no waiting."""


def _deepseek(rung: Rung) -> dict[str, Any]:
    if not rung.thinking:  # an effort beside "disabled" would be ignored
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled"}, "reasoning_effort": rung.effort}


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


def _openai(rung: Rung) -> dict[str, Any]:
    if not rung.thinking:
        return {"reasoning_effort": "none"}
    return {"reasoning_effort": "xhigh" if rung.effort == "max" else rung.effort}


def _llama_cpp(rung: Rung) -> dict[str, Any]:
    # it ignores DeepSeek's "thinking" switch; "none" switches off (run by us, 2026-11)
    return {"reasoning_effort": rung.effort if rung.thinking else "none"}


_VLLM = "--enable-auto-tool-choice --kv-cache-dtype fp8 --block-size 256"
PROFILES: Mapping[Dialect, Profile] = {
    "deepseek": Profile(
        _deepseek,
        "reasoning_content",
        takes_broken_arguments=True,
        takes_user_id=True,
        cache_block=128,
    ),
    "openai": Profile(lambda _: {}),
    "openai-reasoning": Profile(_openai, limit_field="max_completion_tokens"),
    "vllm-v4": Profile(
        _v4,
        "reasoning",
        launch="--tokenizer-mode deepseek_v4 --tool-call-parser deepseek_v4"
        f" --reasoning-parser deepseek_v4 {_VLLM}",
        cache_block=256,
    ),
    "vllm-v4.1": Profile(
        _v41,
        "reasoning",
        launch="--tokenizer-mode deepseek_v41 --tool-call-parser deepseek_v41"
        f" --reasoning-parser deepseek_v41 {_VLLM}",
        cache_block=256,
    ),
    "sglang-v4": Profile(
        _v4,
        "reasoning_content",
        launch="--tool-call-parser deepseekv4 --reasoning-parser deepseek-v4 --page-size 256"
        " (and no --chat-template)",
        cache_block=256,
    ),
    "llama.cpp": Profile(_llama_cpp, "reasoning_content", launch="--jinja"),
}
