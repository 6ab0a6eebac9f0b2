"""OpenTelemetry: what a run does as spans and metrics, after the GenAI semantic conventions.

Spans are derived from the events of the log, so they say what the log says. Nothing is imported,
and a run does one comparison per event, unless the application has set up a provider of its own or
hands one over. ``docs/tracing.md`` lists spans, attributes and metrics.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agentkit.events import Event
    from agentkit.run import Run
    from agentkit.tracing.spans import RunTrace

FACT = "trace"
"""Facts of this kind hold a run's ``traceparent``: a later run of the session links to it."""


@dataclass(frozen=True, slots=True)
class Tracing:
    """What is told to OpenTelemetry. It needs ``agentkit-deepseek[otel]`` and a set-up provider."""

    enabled: bool = True
    content: bool | None = None
    """Put what is said, and calls with their results, into spans. None: as
    ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` says, else not. Known secrets never."""
    to_provider: bool = False
    """Send ``traceparent`` to the model's provider as a header."""
    tracer_provider: Any = field(default=None, compare=False, repr=False)
    """None is the application's global one; without any there are no spans."""
    meter_provider: Any = field(default=None, compare=False, repr=False)


class Trace(Protocol):
    """What a run's log tells its events to."""

    def saw(self, event: Event) -> None: ...

    def during(
        self, lane: str, call_id: str, address: str
    ) -> AbstractContextManager[Mapping[str, str]]: ...

    @property
    def identity(self) -> Mapping[str, str]: ...


@contextmanager
def traced(run: Run, agent: str, version: str, tracing: Tracing) -> Generator[None]:
    """Around one run: its ``invoke_agent`` span is the active one, where anybody listens."""
    if not _wanted(tracing):
        yield
        return
    trace = _trace(run, agent, version, tracing)
    if trace is None:
        yield
        return
    run.log.trace = trace
    try:
        with trace.active():
            yield
    finally:
        run.log.trace = None
        trace.close()


def _trace(run: Run, agent: str, version: str, tracing: Tracing) -> RunTrace | None:
    """What follows the run; None where its first span cannot be had, which ends no run."""
    from agentkit.tracing.spans import RunTrace

    try:
        return RunTrace(run, agent, version, tracing)
    except Exception:
        words = "tracing of session %s has not begun"
        logging.getLogger(__name__).exception(words, run.log.session_id)
        return None


def _wanted(tracing: Tracing) -> bool:
    """Whether there is anybody to tell. Nobody sets up a provider without importing the API."""
    if not tracing.enabled:
        return False
    if tracing.tracer_provider is not None or tracing.meter_provider is not None:
        return True
    api: Any = sys.modules.get("opentelemetry.trace")
    metrics: Any = sys.modules.get("opentelemetry.metrics")
    try:
        found = [api.get_tracer_provider()] if api is not None else []
        found += [metrics.get_meter_provider()] if metrics is not None else []
    except Exception:  # a provider that is named in the environment and cannot be loaded
        logging.getLogger(__name__).exception("no tracing: the provider cannot be loaded")
        return False
    # What stands there before anybody has set one up hands everything on to nothing.
    return any("Proxy" not in type(each).__name__ for each in found)
