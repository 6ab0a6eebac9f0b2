"""Spans and metrics of real runs, as the SDK's exporters get them."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from agentkit import Agent, Ladder, Rung, ToolContext, tool
from agentkit.errors import BalanceEmpty
from agentkit.escalation import Policy, Thresholds
from agentkit.escalation.policy import Caps
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.subagents import Order
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.testing.script import ScriptLike
from agentkit.tool import ToolResult
from agentkit.tools import coder
from agentkit.tracing import Tracing

SECRET = "sk-the-key-of-these-tests-0123456789"


class Seen:
    """An application's own OpenTelemetry set-up."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])

    def tracing(self, **more: Any) -> Tracing:
        return Tracing(tracer_provider=self.tracers, meter_provider=self.meters, **more)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [each for each in self.spans if each.name == name]

    def one(self, name: str) -> ReadableSpan:
        found = self.named(name)
        assert len(found) == 1, [each.name for each in self.spans]
        return found[0]

    def everything(self) -> str:
        return "\n".join(each.to_json() for each in self.spans)

    def points(self, name: str) -> list[Any]:
        data: Any = self._reader.get_metrics_data()
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def identity(span: ReadableSpan) -> int:
    found = span.get_span_context()
    assert found is not None
    return found.span_id


def trace_of(span: ReadableSpan) -> int:
    found = span.get_span_context()
    assert found is not None
    return found.trace_id


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Generator[Seen]:
    seen = Seen()
    with caplog.at_level(logging.WARNING):
        yield seen
    assert [each.getMessage() for each in caplog.records if "trac" in each.name] == []
    seen.tracers.shutdown()
    seen.meters.shutdown()


@tool(read_only=True)
def look(what: str) -> str:
    """Look at something."""
    return f"{what}: {SECRET}"


@tool
async def fail(why: str) -> str:
    """Fail."""
    raise RuntimeError(f"because of {why}")


@tool(read_only=True)
async def part(context: ToolContext, prompt: str) -> ToolResult:
    """Give a part of the work away."""
    return await context.delegate(Order(prompt))


def agent(server: FakeDeepSeek, seen: Seen, **more: Any) -> Agent:
    return Agent(
        "tester",
        tools=[look, fail, part],
        base_url=server.base_url,
        api_key=SECRET,
        store=more.pop("store", None) or MemoryStore(),
        ladder=more.pop("ladder", Ladder.preset("flash")),
        tracing=more.pop("tracing", None) or seen.tracing(),
        **more,
    )


STEPS: ScriptLike = [
    Reply(reasoning="Hm.", calls=[Call("look", {"what": "first"}), Call("fail", {"why": "words"})]),
    Reply(calls=[Call("no_such_tool", {})]),
    "It is done.",
]


async def test_a_run_its_requests_and_its_calls(seen: Seen) -> None:
    with FakeDeepSeek(STEPS) as server:
        result = await agent(server, seen).run("Do the task")
    root = seen.one("invoke_agent tester")
    told = attributes(root)
    assert (root.kind, root.parent, root.status.status_code) == (
        SpanKind.INTERNAL,
        None,
        StatusCode.UNSET,
    )
    assert told["gen_ai.operation.name"] == "invoke_agent"
    assert told["gen_ai.agent.name"] == "tester"
    assert told["gen_ai.conversation.id"] == result.session_id
    assert told["gen_ai.provider.name"] == "deepseek"
    assert told["gen_ai.usage.input_tokens"] == result.usage.prompt_tokens
    assert told["gen_ai.usage.cache_read.input_tokens"] == result.usage.hit_tokens > 0
    assert told["agentkit.cache.miss_tokens"] == result.usage.miss_tokens
    assert told["agentkit.cost.usd"] == pytest.approx(result.cost_usd, rel=1e-3)
    assert (told["agentkit.status"], told["agentkit.turns"]) == ("finished", 3)
    chats = seen.named("chat deepseek-flash")
    assert len(chats) == 3
    first = attributes(chats[0])
    assert {(each.kind, parent(each)) for each in chats} == {(SpanKind.CLIENT, identity(root))}
    assert first["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert first["gen_ai.response.model"]
    assert first["server.address"] == "127.0.0.1"
    assert first["agentkit.rung"] == "deepseek-flash·high"
    assert sum(attributes(each)["agentkit.cost.usd"] for each in chats) == pytest.approx(
        result.cost_usd, rel=1e-3
    )
    looked, failed = seen.one("execute_tool look"), seen.one("execute_tool fail")
    assert {parent(looked), parent(failed)} == {identity(root)}
    assert attributes(looked)["gen_ai.tool.call.id"].startswith("call_")
    assert looked.status.status_code is StatusCode.UNSET
    assert failed.status.status_code is StatusCode.ERROR
    assert attributes(failed)["error.type"] == "failed"
    # A name that the model made up is no name of a span.
    assert attributes(seen.one("execute_tool"))["error.type"] == "invalid"


async def test_users_spans_nest_in_the_call(seen: Seen) -> None:
    tracer = seen.tracers.get_tracer("application")

    @tool(read_only=True)
    def measure(what: str) -> str:
        """Measure something."""
        with tracer.start_as_current_span(f"in the tool: {what}"):
            return what

    calls = [Call("measure", {"what": what}) for what in ("one", "two")]
    with FakeDeepSeek([Reply(calls=calls), "Done."]) as server:
        made = replace(agent(server, seen), tools=[measure])
        with tracer.start_as_current_span("outside"):
            async with made.session() as session:
                async for _ in session.stream("Do the task"):
                    pass
    outside, root = seen.one("outside"), seen.one("invoke_agent tester")
    assert parent(root) == identity(outside)
    called = [identity(each) for each in seen.named("execute_tool measure")]
    inside = [parent(seen.one(f"in the tool: {what}")) for what in ("one", "two")]
    assert sorted(inside) == sorted(called)
    first = attributes(seen.named("chat deepseek-flash")[0])
    assert first["gen_ai.request.stream"] is True
    assert first["gen_ai.response.time_to_first_chunk"] >= 0


async def test_contents_and_secrets_stay_out(seen: Seen) -> None:
    with FakeDeepSeek(STEPS) as server:
        await agent(server, seen).run("Do the task")
    for word in ("Do the task", "first", "because", "words", "Hm.", "It is done", SECRET):
        assert word not in seen.everything(), word


async def test_contents_where_they_are_asked_for_but_no_secret(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    with FakeDeepSeek(STEPS) as server:
        await agent(server, seen).run("Do the task")
    assert SECRET not in seen.everything()
    root, chats = seen.one("invoke_agent tester"), seen.named("chat deepseek-flash")
    assert "helpful assistant" in attributes(root)["gen_ai.system_instructions"]
    tools = json.loads(attributes(root)["gen_ai.tool.definitions"])
    assert [each["name"] for each in tools] == ["fail", "look", "part"]
    asked = [json.loads(attributes(each)["gen_ai.input.messages"]) for each in chats]
    assert asked[0][0]["parts"][0] == {"type": "text", "content": "Do the task"}
    assert [each["role"] for each in asked[1]] == ["tool", "tool"]  # what is new, no more
    answer = json.loads(attributes(chats[0])["gen_ai.output.messages"])[0]
    assert [each["type"] for each in answer["parts"]] == ["reasoning", "tool_call", "tool_call"]
    looked = attributes(seen.one("execute_tool look"))
    assert json.loads(looked["gen_ai.tool.call.arguments"]) == {"what": "first"}
    assert "[redacted" in looked["gen_ai.tool.call.result"]
    # The argument has the last word.
    again = Seen()
    with FakeDeepSeek(STEPS) as server:
        await agent(server, again, tracing=again.tracing(content=False)).run("Do the task")
    assert "Do the task" not in again.everything()


async def test_a_subagent_is_below_the_call_that_asked_for_it(seen: Seen) -> None:
    script = {
        "Main": [Reply(calls=[Call("part", {"prompt": "Look around"})]), "Thanks."],
        "subagent": [Reply(calls=[Call("look", {"what": "round"})]), "Nothing there."],
    }
    with FakeDeepSeek(script) as server:
        await agent(server, seen).run("Main work")
    root, called = seen.one("invoke_agent tester"), seen.one("execute_tool part")
    below = seen.one("invoke_agent tester.task")
    assert parent(called) == identity(root)
    assert parent(below) == identity(called)
    assert attributes(below)["agentkit.lane.role"] == "task"
    assert parent(seen.one("execute_tool look")) == identity(below)
    chats = [parent(each) for each in seen.named("chat deepseek-flash")]
    assert sorted(chats) == sorted([identity(root)] * 2 + [identity(below)] * 2)
    assert root.end_time is not None
    assert below.end_time is not None
    assert below.end_time <= (called.end_time or 0) <= root.end_time


def climbing(request: dict[str, Any]) -> Reply:
    """The cheap model errs until the strong one, which was only asked for advice, takes over."""
    texts = "\n".join(str(each["content"]) for each in request["messages"][-3:])
    answers = sum(each["role"] == "assistant" for each in request["messages"])
    if request["messages"][0]["content"].startswith("You advise"):
        return Reply("The answer is 42.")
    if "pro" in request["model"]:
        return _write(42) if not answers else _finish("It was 42.")
    if "took over, and the work comes back" in texts:
        return _finish("Done at last.")
    return _finish("Done.") if answers % 2 else _write(answers)


def _write(text: int) -> Reply:
    return Reply(calls=[Call("bash", {"command": f"echo {text} > answer"})])


def _finish(words: str) -> Reply:
    return Reply(calls=[Call("finish", {"summary": words})])


async def test_evidence_rungs_and_prices(seen: Seen, tmp_path: Path) -> None:
    policy = Policy(
        forms=frozenset({"consult", "hand-off"}),
        thresholds=Thresholds(consult=2, handoff=3),
        caps=Caps(consult=1),
    )
    strong = Rung("deepseek-v4-pro", forms=("consult", "hand-off"))
    with FakeDeepSeek(climbing) as server:
        actor = Agent(
            "actor",
            tools=coder(),
            sandbox=Local(workspace=tmp_path),
            base_url=server.base_url,
            api_key=SECRET,
            store=MemoryStore(),
            ladder=Ladder("two", (Rung("deepseek-flash"), strong), policy),
            tracing=seen.tracing(),
        )
        result = await actor.run("Write the answer", checks=["grep -qx 42 answer"])
    assert result.output == "Done at last."
    root = seen.one("invoke_agent actor")
    marks = [(each.name, dict(each.attributes or {})) for each in root.events]
    evidence = [told for name, told in marks if name == "agentkit.evidence"]
    assert "check-failed" in [each["agentkit.evidence.kind"] for each in evidence]
    changes = [told for name, told in marks if name == "agentkit.rung.changed"]
    assert [each["agentkit.rung.changed.form"] for each in changes][:2] == ["consult", "hand-off"]
    assert all(json.loads(str(each["agentkit.rung.changed.prices"])) for each in changes[:2])
    checks = [each for span in seen.spans for each in span.events if each.name == "agentkit.check"]
    passed = [dict(each.attributes or {})["agentkit.check.passed"] for each in checks]
    assert True in passed
    assert False in passed
    for role in ("consult", "hand-off"):
        lane = seen.one(f"invoke_agent actor.{role}")
        assert parent(lane) == identity(root)
        assert attributes(lane)["agentkit.escalation.form"] == role
        assert attributes(lane)["agentkit.rung"] == "deepseek-v4-pro·high"
        below = [
            each for each in seen.named("chat deepseek-v4-pro") if parent(each) == identity(lane)
        ]
        assert below
        ends = [each.end_time or 0 for each in below]
        assert (lane.end_time or 0) >= max(ends) - 50_000_000  # when its last event came
    assert {trace_of(each) for each in seen.spans} == {trace_of(root)}
    assert "grep -qx" not in seen.everything()


async def test_faults_are_spans_of_their_own(seen: Seen) -> None:
    with FakeDeepSeek(["Never."], faults="1=503,2=402") as server, pytest.raises(BalanceEmpty):
        await agent(server, seen).run("Do it")
    first, second = seen.named("chat deepseek-flash")
    assert attributes(first)["error.type"] == "Overloaded"
    assert attributes(first)["http.response.status_code"] == 503
    assert (attributes(first)["agentkit.attempt"], attributes(second)["agentkit.attempt"]) == (1, 2)
    assert attributes(second)["error.type"] == "BalanceEmpty"
    root = seen.one("invoke_agent tester")
    assert attributes(root)["error.type"] == "BalanceEmpty"
    assert attributes(root)["agentkit.status"] == "error"


async def test_a_resumed_session_links_to_its_earlier_trace(seen: Seen) -> None:
    store = MemoryStore()
    with FakeDeepSeek(["One.", "Two."]) as server:
        made = agent(server, seen, store=store)
        first = await made.run("First")
        async with made.session(first.session_id, resume=True) as session:
            await session.run("Second")
    before, after = seen.named("invoke_agent tester")
    assert trace_of(before) != trace_of(after)
    assert [each.context.span_id for each in after.links] == [identity(before)]
    assert list(before.links) == []


async def test_a_cancelled_run_leaves_no_span_open(seen: Seen) -> None:
    with FakeDeepSeek(["Never."], faults="1=stall") as server:
        async with agent(server, seen).session() as session:
            async for event in session.stream("Do it"):
                if event.type == "model.requested":
                    # A connection without a request would be nobody's. Another thread serves it.
                    while not server.requests:  # noqa: ASYNC110
                        await anyio.sleep(0.01)
                    session.cancel()
    assert attributes(seen.one("chat deepseek-flash"))["agentkit.cancelled"] is True
    root = seen.one("invoke_agent tester")
    assert attributes(root)["agentkit.status"] == "cancelled"
    assert root.status.status_code is StatusCode.UNSET
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize("asked", [False, True])
async def test_the_provider_gets_the_context_only_if_asked_for(seen: Seen, asked: bool) -> None:
    with FakeDeepSeek(["Done."]) as server:
        tracing = seen.tracing(to_provider=asked)
        await agent(server, seen, tracing=tracing).run("Do it")
    sent = server.requests[0].headers.get("traceparent", "")
    chat = seen.one("chat deepseek-flash")
    assert (f"{identity(chat):016x}" in sent) == asked
    assert bool(sent) == asked


async def test_metrics(seen: Seen) -> None:
    with FakeDeepSeek(STEPS) as server:
        result = await agent(server, seen).run("Do the task")
    used = {
        point.attributes["gen_ai.token.type"]: point.sum
        for point in seen.points("gen_ai.client.token.usage")
    }
    assert used == {
        "input": result.usage.prompt_tokens,
        "output": result.usage.completion_tokens,
    }
    assert sum(each.count for each in seen.points("gen_ai.client.operation.duration")) == 3
    calls = seen.points("gen_ai.execute_tool.duration")
    assert {each.attributes["gen_ai.tool.name"] for each in calls} == {"look", "fail"}
    assert [each.count for each in seen.points("gen_ai.invoke_agent.duration")] == [1]


async def test_turned_off(seen: Seen) -> None:
    with FakeDeepSeek(["Done."]) as server:
        await agent(server, seen, tracing=seen.tracing(enabled=False)).run("Do it")
    assert seen.spans == []


async def test_a_provider_that_breaks_does_not_end_a_run(
    seen: Seen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from agentkit.tracing.spans import RunTrace

    def broken(*_: object) -> None:
        raise RuntimeError("the exporter is on fire")

    monkeypatch.setattr(RunTrace, "_requested", broken)
    with FakeDeepSeek(["Done."]) as server:
        result = await agent(server, seen).run("Do it")
    assert result.output == "Done."
    assert [each.getMessage() for each in caplog.records if "has ended" in each.getMessage()]
    caplog.clear()


class OnFire(SpanProcessor):
    """An application's own processor, with a bug in it."""

    def __init__(self, where: str, name: str) -> None:
        self._fault = (where, name)

    def _at(self, where: str, name: str) -> None:
        if where == self._fault[0] and name.startswith(self._fault[1]):
            raise RuntimeError("the processor is on fire")

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        del parent_context
        self._at("start", span.name)

    def on_end(self, span: ReadableSpan) -> None:
        self._at("end", span.name)


@pytest.mark.parametrize("name", ["invoke_agent", "chat", "execute_tool"])
@pytest.mark.parametrize("where", ["start", "end"])
async def test_a_processor_that_raises_does_not_end_a_run(
    seen: Seen, caplog: pytest.LogCaptureFixture, where: str, name: str
) -> None:
    seen.tracers.add_span_processor(OnFire(where, name))
    with FakeDeepSeek(STEPS) as server:
        result = await agent(server, seen).run("Do it")
    assert (result.status, result.output) == ("finished", "It is done.")
    told = [each.getMessage() for each in caplog.records if "trac" in each.name]
    assert len(told) == 1  # once, however many spans are on fire
    assert f"session {result.session_id} has" in told[0]
    assert trace.get_current_span() is trace.INVALID_SPAN
    caplog.clear()
