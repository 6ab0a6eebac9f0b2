"""The AG-UI protocol over HTTP, judged by its own models and by an independent validator."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any, cast

import anyio
import httpx2
import pytest
from ag_ui.core import Event as AgUiEvent
from ag_ui.core import RunAgentInput, UserMessage
from ag_ui_validate.pytest_plugin import assert_valid_agui
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

import agentkit
from agentkit import events as e
from agentkit.ag_ui import Adapter
from agentkit.models.types import ToolCall, Usage
from agentkit.serve.ag_ui import observe
from agentkit.serve.problems import Problem
from agentkit.testing import Call, FakeDeepSeek, Reply
from tests.serve.conftest import MakeServer, Server, until

ANY: TypeAdapter[Any] = TypeAdapter(AgUiEvent)
Told = list[dict[str, Any]]
STARTS = "TOOL_CALL_START"


def judged(told: Told, before: Told | None = None) -> Told:
    """The stream, if the protocol's models and an independent validator take all of it.

    Args:
        before: earlier runs of the thread. A call that waited for a yes gets its result in the run
            that goes on (the protocol's page on interrupts has it so); the validator knows no
            earlier runs, so that rule is checked here.
    """
    for each in told:
        unknown = ANY.validate_python(each).model_extra
        assert not unknown, each
    made = {each["toolCallId"] for each in [*(before or ()), *told] if each["type"] == STARTS}
    assert made >= {each["toolCallId"] for each in told if each["type"] == "TOOL_CALL_RESULT"}
    ours = {"AGUI207": "off"}
    lines = [json.dumps(each) for each in told]
    assert_valid_agui(lines, max_warnings=0, severity_overrides=ours)
    return told


def parsed(lines: Any) -> Told:
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def ask(
    client: httpx2.Client, thread: str, words: str, run: str = "run-a", **more: Any
) -> httpx2.Response:
    messages: list[Any] = [UserMessage(id="m1", content=words)] if words else []
    body = RunAgentInput(thread_id=thread, run_id=run, messages=messages, **more)
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    return client.post("/ag-ui", content=body.model_dump_json(by_alias=True), headers=headers)


def run(
    client: httpx2.Client,
    thread: str,
    words: str,
    name: str = "run-a",
    before: Told | None = None,
    **more: Any,
) -> Told:
    answer = ask(client, thread, words, name, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return judged(parsed(answer.text.splitlines()), before)


def kinds(told: Told) -> list[str]:
    return [each["type"] for each in told]


def joined(told: Told, kind: str) -> str:
    return "".join(each["delta"] for each in told if each["type"] == kind)


def look(what: str, text: str = "") -> Reply:
    return Reply(calls=[Call("look", {"what": what})], reasoning="Let me see.", content=text)


def test_a_run_is_told_from_start_to_end_and_goes_on_in_its_thread(serve: MakeServer) -> None:
    server = serve([look("moon", "I look."), Reply(reasoning="Hm. " * 9, content="It is there."),
                    Reply(content="As I said.", reasoning="ok")])  # fmt: skip
    client = server.client()
    told = run(client, "thread-1", "Is the moon there?", state={}, tools=[], context=[])
    assert told[0]["type"] == "RUN_STARTED"
    assert (told[0]["threadId"], told[0]["runId"]) == ("thread-1", "run-a")
    assert told[0]["protocolVersion"] == "1.0"
    assert told[1]["type"] == "STATE_SNAPSHOT"
    assert joined(told, "REASONING_MESSAGE_CONTENT") == "Let me see." + "Hm. " * 9
    assert joined(told, "TEXT_MESSAGE_CONTENT") == "I look.It is there."
    call = next(each for each in told if each["type"] == "TOOL_CALL_START")
    assert call["toolCallName"] == "look"
    assert json.loads(joined(told, "TOOL_CALL_ARGS")) == {"what": "moon"}
    result = next(each for each in told if each["type"] == "TOOL_CALL_RESULT")
    assert (result["toolCallId"], result["content"]) == (call["toolCallId"], "moon is there")
    assert told[-1]["type"] == "RUN_FINISHED"
    assert told[-1]["outcome"] == {"type": "success"}
    assert told[-1]["result"]["output"] == "It is there."
    usage = told[-1]["usage"][0]
    assert usage["inputTokens"] > 0
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    again = run(client, "thread-1", "Really?", "run-b")
    assert joined(again, "TEXT_MESSAGE_CONTENT") == "As I said."
    assert again[0]["runId"] == again[-1]["runId"] == "run-b"
    assert again[1]["snapshot"]["turns"] == 2  # state goes on
    ids = {each["messageId"] for each in told if each["type"] == "TEXT_MESSAGE_START"}
    assert not ids & {each["messageId"] for each in again if "messageId" in each}
    view = client.get("/sessions/thread-1").json()
    assert (view["status"], view["title"]) == ("finished", "Is the moon there?")


def test_looking_at_a_session_tells_all_its_runs(serve: MakeServer) -> None:
    server = serve([look("moon"), Reply(content="There."), Reply(content="Still.")])
    client = server.client()
    run(client, "thread-1", "Is it there?")
    run(client, "thread-1", "Still?", "run-b")
    text = client.get("/sessions/thread-1/events?format=ag-ui&until=finished").text
    assert "\nid:" not in text
    told = judged(parsed(text.splitlines()))
    assert kinds(told).count("RUN_STARTED") == kinds(told).count("RUN_FINISHED") == 2
    said = [each["role"] for each in told if each["type"] == "TEXT_MESSAGE_START"]
    assert said == ["user", "assistant", "user", "assistant"]
    refused = client.get("/sessions/thread-1/events?format=xml")
    assert refused.status_code == 422


def test_a_question_ends_the_run_and_its_answer_goes_on(serve: MakeServer) -> None:
    write = [
        Reply(calls=[Call("write", {"text": text})], reasoning="hm") for text in ("one", "two")
    ]
    server = serve([*write, Reply(content="Wrote one line.")], APPROVE="ask")
    client = server.client()
    told = run(client, "thread-1", "Write two lines")
    assert told[-1]["outcome"]["type"] == "interrupt"
    (asked,) = told[-1]["outcome"]["interrupts"]
    call = next(each for each in told if each["type"] == "TOOL_CALL_START")
    assert asked["toolCallId"] == call["toolCallId"]
    assert not (server.gate / "written").exists()
    assert ask(client, "thread-1", "Hurry up").status_code == 409
    wrong = [{"interruptId": "never", "status": "resolved", "payload": True}]
    assert ask(client, "thread-1", "", resume=wrong).status_code == 409
    empty = [{"interruptId": asked["id"], "status": "resolved", "payload": "well"}]
    assert ask(client, "thread-1", "", resume=empty).status_code == 422
    twice = [{"interruptId": asked["id"], "status": "resolved", "payload": True}] * 2
    assert ask(client, "thread-1", "", resume=twice).status_code == 422
    assert not (server.gate / "written").exists()

    yes = [{"interruptId": asked["id"], "status": "resolved", "payload": {"allow": True}}]
    first, told = told, run(client, "thread-1", "", "run-b", told, resume=yes)
    assert (server.gate / "written").read_text() == "one\n"
    assert next(each for each in told if each["type"] == "TOOL_CALL_RESULT")["content"] == "written"
    (asked,) = told[-1]["outcome"]["interrupts"]
    no = [{"interruptId": asked["id"], "status": "cancelled"}]
    told = run(client, "thread-1", "", "run-c", [*first, *told], resume=no)
    result = next(each for each in told if each["type"] == "TOOL_CALL_RESULT")
    assert result["metadata"]["agentkit"]["status"] == "refused"
    assert told[-1]["result"]["output"] == "Wrote one line."
    assert (server.gate / "written").read_text() == "one\n"
    watched = client.get("/sessions/thread-1/events?format=ag-ui&until=finished").text
    assert kinds(judged(parsed(watched.splitlines()))).count("RUN_STARTED") == 3


def test_a_client_that_goes_away_stops_nothing(serve: MakeServer) -> None:
    server = serve([Reply(calls=[Call("wait", {"name": "door"})], reasoning="hm"), "It opened."])
    client = server.client()
    parts: list[Any] = [{"type": "text", "text": "Wait"}, {"type": "image", "source": {}}]
    messages = [{"id": "m", "role": "user", "content": parts}]
    body = {"threadId": "thread-1", "runId": "r", "messages": messages}
    with client.stream("POST", "/ag-ui", json=body) as answer:
        assert next(iter(answer.iter_lines())).startswith("data: ")
        server.waits("door")
    server.open("door")
    until(lambda: client.get("/sessions/thread-1").json()["status"] == "finished")
    title = client.get("/sessions/thread-1").json()["title"]
    assert "[image left out: only text can be read]" in title


def test_what_ends_otherwise_says_so(serve: MakeServer) -> None:
    empty = [Reply(content="", reasoning="hm")] * 10
    wait = Reply(calls=[Call("wait", {"name": "never"})], reasoning="hm")
    server = serve({"Fail": empty, "Wait": [wait]})
    client = server.client()
    told = run(client, "failing", "Fail")
    assert told[-1]["type"] == "RUN_ERROR"
    assert told[-1]["code"] == "UnusableAnswer"
    with client.stream(
        "POST", "/ag-ui", json={"threadId": "t", "runId": "r", "messages": [
            {"id": "m", "role": "user", "content": "Wait"}]},
    ) as answer:  # fmt: skip
        lines = answer.iter_lines()
        first = next(lines)
        server.waits("never")
        assert server.client().post("/sessions/t/cancel", json={}).status_code == 202
        told = judged(parsed([first, *lines]))
    assert told[-1]["outcome"] == {"type": "cancelled"}


def test_context_is_told_once_and_tools_of_the_front_end_are_named(serve: MakeServer) -> None:
    model = FakeDeepSeek(["One.", "Two."]).start()
    client = serve(model).client()
    more: dict[str, Any] = {
        "context": [{"description": "The page", "value": "invoices"}],
        "tools": [{"name": "open_dialog", "description": "Open a dialog."}],
    }
    told = run(client, "t", "Hello", **more)
    ignored = next(each for each in told if each["type"] == "CUSTOM")
    assert (ignored["name"], ignored["value"]) == ("agentkit.ignored", {"tools": ["open_dialog"]})
    run(client, "t", "And now?", "run-b", **more)
    said = [each["content"] for each in json.loads(model.requests[-1].raw)["messages"]]
    assert said[1] == "Hello\n\n[Context]\nThe page: invoices"
    assert "And now?" in said


GOOD = {"threadId": "t", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"threadId": "../etc"}, 422, "threadId"),
        ({"threadId": ""}, 422, "threadId"),
        ({"runId": ""}, 422, "runId"),
        ({"messages": []}, 409, "nothing new of the user"),
        ({"messages": [{"id": "m", "role": "assistant", "content": "x"}]}, 409, "nothing new"),
        ({"messages": [{"id": "m", "role": "user", "content": "  "}]}, 409, "nothing new"),
        ({"messages": [{"id": "m", "role": "user", "content": [{"type": "text", "text": None}]}]},
         409, "nothing new"),
        ({"messages": [{"id": "m", "content": "x"}]}, 422, "messages.0.role"),
        ({"messages": [{"id": "m", "role": "user", "content": "x" * 1_000_001}]}, 413, "more than"),
        ({"messages": "x"}, 422, "messages"),
        ({"resume": [{"interruptId": 3}]}, 422, "resume"),
        ({"resume": [{"interruptId": "a", "status": "resolved"}]}, 409, "nothing waits"),
    ],
)  # fmt: skip
def test_bad_input_is_told(server_: Server, change: Any, status: int, words: str) -> None:
    answer = server_.client().post("/ag-ui", json={**GOOD, **change})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


@pytest.fixture
def server_(serve: MakeServer) -> Server:
    return serve([])


def test_another_tenant_has_no_such_thread(serve: MakeServer) -> None:
    tokens = {"token-of-one-0123456789": "one", "token-of-two-0123456789": "two"}
    server = serve(["Hello."], tokens=tokens)
    run(server.client("token-of-one-0123456789"), "shared", "Hi")
    answer = ask(server.client("token-of-two-0123456789"), "shared", "Let me see")
    assert answer.status_code == 404
    assert ask(server.client("wrong"), "shared", "x").status_code == 401


def test_without_its_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agentkit.ag_ui", None)
    monkeypatch.delattr(agentkit, "ag_ui", raising=False)
    with pytest.raises(Problem) as told:
        anyio.run(anext, observe(cast("Any", None), "s", "", True))
    assert told.value.status_code == 501
    assert "agentkit-deepseek[ag-ui]" in told.value.hint


# The adapter by itself, with streams that are cut and have lost pieces.

USAGE = Usage(10, 4, 6, 5, 2)
CALLS = (ToolCall("c1", "look", '{"what": "x"}'), ToolCall("c2", "look", "{"))


def life() -> list[e.Event]:
    """A session with all that opens something."""
    found: list[e.Event] = [
        e.SessionStarted(session_id="s", agent="a", version="1"),
        e.RunStarted(),
        e.LaneOpened(rung={"model": "flash", "effort": "high"}, system="x"),
        e.Message(text="Go"),
        e.ModelRequested(model="flash", attempt=1, size=1, prefix="p"),
        e.ModelDelta(kind="reasoning", text="Let "),
        e.ModelFailed(error="StreamCut", message="cut", attempt=1, wait=1.0),
        e.ModelRequested(model="flash", attempt=2, size=1, prefix="p"),
        *(e.ModelDelta(kind="reasoning", text=text) for text in ("Let ", "me ", "see.")),
        *(e.ModelDelta(kind="content", text=text) for text in ("I ", "look.")),
        e.ModelDelta(kind="call", text='{"wh'),
        e.ModelResponded(reasoning="Let me see.", content="I look.", calls=CALLS, usage=USAGE),
        e.ToolStarted(call_id="c1", tool="look"),
        e.ToolOutput(call_id="c1", text="…"),
        e.ToolFinished(call_id="c1", tool="look", status="done", content="there"),
        e.ToolFinished(call_id="c2", tool="look", status="invalid", content="ERROR"),
        e.PlanUpdated(steps=({"step": "one", "status": "done"},)),
        e.LaneOpened(lane="task-1", rung={"model": "flash"}, system="y", role="task"),
        e.ModelDelta(lane="task-1", kind="content", text="aside"),
        e.ModelResponded(lane="task-1", content="aside", usage=USAGE),
        e.ApprovalAsked(call_id="c3", tool="write", arguments={"a": 1}, reasons=("it writes",)),
        e.ApprovalAnswered(call_id="c3", allowed=True),
        e.Steered(text="Quick"),
        e.ModelRequested(model="flash", attempt=1, size=1, prefix="p", trailing="Worth it?"),
        e.ModelDelta(kind="content", text="no"),
        e.ModelAdvised(content="no", usage=USAGE),
        e.ModelRequested(model="flash", attempt=1, size=1, prefix="p"),
        *(e.ModelDelta(kind="content", text=text) for text in ("All ", "is ", "done.")),
        e.ModelResponded(content="All is done.", usage=USAGE),
        e.CheckFailed(command="t", exit_code=1, output=""),
        e.CheckPassed(command="t"),
        e.SessionFinished(status="finished", exit_code=0, output="All is done.", turns=3),
        e.RunStarted(resumed=True),
        e.Message(text="More"),
        e.ModelRequested(model="flash", attempt=1, size=1, prefix="p"),
        e.ModelDelta(kind="content", text="Ne"),
        e.RunStarted(resumed=True),  # the process had died
        e.SessionFinished(status="limit", exit_code=3, output="", turns=3),
    ]
    numbered: list[e.Event] = []
    seq = 0
    for event in found:
        seq += event.stored
        numbered.append(replace(event, seq=seq if event.stored else None))
    return numbered


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_nothing_stays_open_wherever_it_is_cut_and_whatever_pieces_are_lost(data: Any) -> None:
    events = life()
    cut = data.draw(st.integers(0, len(events)))
    pieces = [index for index, each in enumerate(events) if not each.stored]
    lost = set(data.draw(st.lists(st.sampled_from(pieces), unique=True)))
    adapter = Adapter("s")
    told: Told = []
    for index, event in enumerate(events[:cut]):
        if index not in lost:
            told += [each.model_dump(mode="json", by_alias=True) for each in adapter.take(event)]
    told += [each.model_dump(mode="json", by_alias=True) for each in adapter.abort("cut", "cut")]
    assert not adapter.is_open
    if told:
        judged(told)


def test_the_whole_answer_is_told_whatever_was_streamed_of_it() -> None:
    events = life()
    told: Told = []
    adapter = Adapter("s")
    for event in events:
        if not isinstance(event, e.ModelDelta):
            told += [each.model_dump(mode="json", by_alias=True) for each in adapter.take(event)]
    words = joined(told, "TEXT_MESSAGE_CONTENT")
    assert words == "GoI look.QuickAll is done.More"
    assert "aside" not in words
    assert joined(told, "REASONING_MESSAGE_CONTENT") == "Let me see."
    ends = [each for each in told if each["type"] in ("RUN_FINISHED", "RUN_ERROR")]
    assert [each.get("outcome", {}).get("type", each.get("code")) for each in ends] == [
        "interrupt",
        "success",
        "interrupted",
        "limit",
    ]
    assert told[-1]["code"] == "limit"
