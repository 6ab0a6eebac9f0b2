"""See a run as OpenTelemetry spans; your own spans nest in the tools that make them."""

from __future__ import annotations

import asyncio

from _model import call, model
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentkit import Agent, tool

exporter = InMemorySpanExporter()  # yours would be an OTLP exporter
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("forecast")


@tool(read_only=True)
def temperature(city: str) -> float:
    """Return the temperature in a city in degrees Celsius."""
    with tracer.start_as_current_span("database query"):
        return {"Turku": -3.5, "Oulu": -11.0}.get(city, 4.0)


agent = Agent("forecaster", instructions="You answer briefly.", tools=[temperature])


def show(spans: list[ReadableSpan], parent: int | None = None, depth: int = 0) -> None:
    """Print the spans as a tree, with the cost of each request."""
    below = [each for each in spans if (each.parent.span_id if each.parent else None) == parent]
    for span in sorted(below, key=lambda each: each.start_time or 0):
        usd = (span.attributes or {}).get("agentkit.cost.usd")
        print(f"{'  ' * depth}{span.name}{f'  ${usd:.6f}' if isinstance(usd, float) else ''}")
        context = span.get_span_context()
        if context is not None:
            show(spans, context.span_id, depth + 1)


async def main() -> None:
    """Run once, and show the trace."""
    with tracer.start_as_current_span("request"):
        result = await agent.run("Is it cold in Oulu?")
    print(result.output)
    show(list(exporter.get_finished_spans()))


SCRIPT = [call("temperature", city="Oulu"), "Yes: -11 °C."]

if __name__ == "__main__":
    with model(SCRIPT):
        asyncio.run(main())
