"""The conventions' histograms."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from opentelemetry.metrics import Histogram, get_meter

from agentkit.models.types import Usage
from agentkit.tracing.names import SECOND_BUCKETS, TOKEN_BUCKETS, TOKEN_TYPE


class Instruments:
    """One set per meter provider."""

    def __init__(self, version: str, provider: Any) -> None:
        meter = get_meter("agentkit", version, meter_provider=provider)

        def histogram(name: str, unit: str, text: str, buckets: list[Any]) -> Histogram:
            return meter.create_histogram(
                name, unit, text, explicit_bucket_boundaries_advisory=buckets
            )

        self._tokens = histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            TOKEN_BUCKETS,
        )
        self.chat = histogram(
            "gen_ai.client.operation.duration", "s", "GenAI operation duration.", SECOND_BUCKETS
        )
        self.tool = histogram(
            "gen_ai.execute_tool.duration", "s", "Duration of tool calls.", SECOND_BUCKETS
        )
        self.agent = histogram(
            "gen_ai.invoke_agent.duration", "s", "Duration of agent runs.", SECOND_BUCKETS
        )

    def used(self, usage: Usage, attributes: dict[str, Any]) -> None:
        """Count the tokens of one request, where the provider did."""
        if usage.reported:
            self._tokens.record(usage.prompt_tokens, {**attributes, TOKEN_TYPE: "input"})
            self._tokens.record(usage.completion_tokens, {**attributes, TOKEN_TYPE: "output"})


@lru_cache(maxsize=8)
def instruments(version: str, provider: Any) -> Instruments:
    """Made once per provider; None is the global one."""
    return Instruments(version, provider)
