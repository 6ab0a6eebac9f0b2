"""Names and values of the GenAI semantic conventions that we use, and our own beside them.

From open-telemetry/semantic-conventions-genai, docs/gen-ai (in development, read 2026-11): spans,
agent spans, metrics. Written here so that the API alone is needed.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from agentkit.ladder import Rung
from agentkit.models.types import Usage

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
TOOL = "gen_ai.tool.name"
TOKEN_TYPE = "gen_ai.token.type"
ERROR = "error.type"

TOKEN_BUCKETS = [4**power for power in range(14)]
"""1 to 67,108,864, as the convention advises."""
SECOND_BUCKETS = [0.01 * 2**power for power in range(14)]

_PROVIDERS = {"openai-reasoning": "openai", "llama.cpp": "llama_cpp"}


def provider_of(rung: Rung) -> str:
    """Who answers, as far as its dialect tells: ``deepseek``, ``openai``, ``vllm``."""
    dialect = rung.speaks
    return _PROVIDERS.get(dialect, dialect.partition("-")[0])


def server_of(url: str) -> dict[str, Any]:
    """The server's address and port."""
    parts = urlsplit(url)
    if not parts.hostname:
        return {}
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return {"server.address": parts.hostname, "server.port": port}


def usage_of(usage: Usage) -> dict[str, Any]:
    """Tokens as the provider counted them; nothing where it did not."""
    if not usage.reported:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.hit_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "agentkit.cache.hit_tokens": usage.hit_tokens,
        "agentkit.cache.miss_tokens": usage.miss_tokens,
    }
