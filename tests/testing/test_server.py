"""The fake provider as its users see it: scripts, bills, cache hits, refusals."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from agentkit.errors import UsageError
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.testing.faults import CATALOGUE, schedule

Start = Callable[..., FakeDeepSeek]
Json = dict[str, Any]

TOOL = {
    "type": "function",
    "function": {"name": "bash", "description": "", "parameters": {"type": "object"}},
}


def post(server: FakeDeepSeek, body: Json, path: str = "/chat/completions") -> tuple[int, Json]:
    request = urllib.request.Request(
        server.base_url + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": "Bearer k", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def ask(server: FakeDeepSeek, *messages: Json, **fields: Any) -> Json:
    status, body = post(
        server, {"model": "deepseek-flash", "tools": [TOOL], "messages": list(messages), **fields}
    )
    assert status == 200, body
    return body


def said(text: str) -> Json:
    return {"role": "user", "content": text}


def content(body: Json) -> str:
    return body["choices"][0]["message"]["content"]


def test_it_starts_at_once() -> None:
    with FakeDeepSeek([]):  # imports
        pass
    began = time.perf_counter()
    with FakeDeepSeek([]):
        assert time.perf_counter() - began < 0.05


def test_a_list_is_used_up_in_order_and_then_refuses(fake_deepseek: Start) -> None:
    server = fake_deepseek(["one", {"content": "two"}])
    assert [content(ask(server, said("a"))), content(ask(server, said("b")))] == ["one", "two"]
    status, body = post(server, {"model": "deepseek-flash", "messages": [said("c")]})
    assert status == 400
    assert "the script has 2 steps" in body["error"]["message"]
    assert "the script has 2 steps" in server.violations[-1]


def test_a_script_for_each_conversation(fake_deepseek: Start) -> None:
    server = fake_deepseek({"fix": ["fixed"], "fix the docs": ["documented"], "plan": ["planned"]})
    assert content(ask(server, said("please plan"))) == "planned"
    assert content(ask(server, said("fix the docs now"))) == "documented"
    assert content(ask(server, said("fix it"))) == "fixed"


def test_one_list_played_to_everyone(fake_deepseek: Start) -> None:
    server = fake_deepseek(["one", "two"], per_conversation=True)
    order = [content(ask(server, said(who))) for who in ("a", "b", "a", "b")]
    assert order == ["one", "one", "two", "two"]


def test_a_function_decides(fake_deepseek: Start) -> None:
    def shout(request: Json) -> Reply:
        return Reply(request["messages"][-1]["content"].upper())

    assert content(ask(fake_deepseek(shout), said("hey"))) == "HEY"


def test_a_faulty_request_does_not_use_up_its_step(fake_deepseek: Start) -> None:
    server = fake_deepseek(["one"], faults={1: "503*2"})
    body = {"model": "deepseek-flash", "messages": [said("a")]}
    assert [post(server, body)[0] for _ in range(3)] == [503, 503, 200]
    assert [request.fault for request in server.requests] == ["503", "503", ""]


def test_a_fault_may_be_part_of_the_script(fake_deepseek: Start) -> None:
    server = fake_deepseek([Reply(fault="429"), "then"])
    body = {"model": "deepseek-flash", "messages": [said("a")]}
    assert post(server, body)[0] == 429
    assert content(post(server, body)[1]) == "then"


def test_hits_are_whole_units_of_128_tokens(fake_deepseek: Start) -> None:
    server = fake_deepseek([Reply("a" * 400), "b", "c", "d"])
    first = said("x" * 4000)
    answer = ask(server, first)["choices"][0]["message"]
    follow_up = [first, answer, said("go on")]
    hits = [request["usage"]["prompt_cache_hit_tokens"] for request in (
        ask(server, *follow_up), ask(server, *follow_up, user_id="other"),
        ask(server, *follow_up, model="deepseek-v4-pro"),
    )]  # fmt: skip
    usage = server.requests[0].usage
    whole = usage.prompt_tokens + 100 + len("<assistant><think></think>") // 4
    assert server.requests[0].usage.hit_tokens == 0
    assert hits[0] % 128 == 0
    assert whole - 128 < hits[0] <= whole  # prompt and answer of the first request
    assert hits[1:] == [0, 0]  # caches are apart by user and by model


def test_another_effort_or_tool_is_a_cold_cache(fake_deepseek: Start) -> None:
    server = fake_deepseek(["a", "b", "c", "d"])
    long = said("word " * 3000)
    assert ask(server, long)["usage"]["prompt_cache_hit_tokens"] == 0
    assert ask(server, long)["usage"]["prompt_cache_hit_tokens"] > 1900
    assert ask(server, long, reasoning_effort="max")["usage"]["prompt_cache_hit_tokens"] == 0
    other = {**TOOL, "function": {**TOOL["function"], "name": "other"}}  # type: ignore[dict-item]
    assert ask(server, long, tools=[other])["usage"]["prompt_cache_hit_tokens"] == 0


def test_a_common_beginning_is_noticed_and_hit_the_third_time(fake_deepseek: Start) -> None:
    server = fake_deepseek(["a", "b", "c"])
    system = {"role": "system", "content": "s" * 4000}
    hits = [ask(server, system, said(text))["usage"]["prompt_cache_hit_tokens"] for text in "abc"]
    assert hits[:2] == [0, 0]
    assert hits[2] >= 1024


def test_the_bill_is_the_catalogues(fake_deepseek: Start) -> None:
    peak = datetime(2026, 11, 23, 2, tzinfo=UTC)
    server = fake_deepseek([Reply("y" * 4000)], clock=lambda: peak)
    ask(server, said("x" * 40_000))
    ((when, model, usage, dollars),) = server.bill.entries
    assert (when, model) == (peak, "deepseek-flash")
    expected = (usage.miss_tokens * 0.30 + usage.completion_tokens * 1.20) / 1e6
    assert dollars == pytest.approx(expected)
    assert server.bill.usd == dollars == server.requests[0].cost_usd


def test_money_runs_out(fake_deepseek: Start) -> None:
    server = fake_deepseek(["a", "b"], balance=1e-6)
    body = {"model": "deepseek-flash", "messages": [said("a")]}
    assert post(server, body)[0] == 200
    status, refused = post(server, body)
    assert status == 402
    assert refused["error"]["message"] == "Insufficient Balance"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "deepseek-chat"}, "supported API model names are deepseek-flash"),
        (
            {"tool_choice": "required", "tools": [TOOL]},
            "Thinking mode does not support this tool_choice",
        ),
        ({"messages": []}, "Empty input messages"),
        ({"max_tokens": 0}, "Invalid max_tokens"),
    ],
)
def test_what_the_provider_refuses(fake_deepseek: Start, change: Json, message: str) -> None:
    server = fake_deepseek(["never"])
    status, body = post(server, {"model": "deepseek-flash", "messages": [said("a")], **change})
    assert status == 400
    assert message in body["error"]["message"]
    assert message in server.violations[0]


@pytest.mark.parametrize(
    ("change", "violation"),
    [
        ({"max_completion_tokens": 5}, "unknown field 'max_completion_tokens'"),
        ({"messages": [said("a"), {"role": "system", "content": "b"}]}, "system message"),
        ({"user_id": "a b"}, "user_id"),
    ],
)
def test_what_it_only_ignores_is_a_violation(
    fake_deepseek: Start, change: Json, violation: str
) -> None:
    server = fake_deepseek(["fine"])
    ask(server, said("a"), **change)
    assert violation in server.violations[0]


def test_a_window_that_is_too_small(fake_deepseek: Start) -> None:
    server = fake_deepseek(["never"], exact=False)  # a second's work otherwise
    status, body = post(
        server,
        {"model": "deepseek-flash", "messages": [said("x" * 4_000_000)], "max_tokens": 100_000},
    )
    assert status == 400
    assert "maximum context length is 1048576 tokens" in body["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": "deepseek-flash", "messages": 5}'])
def test_nonsense_is_answered_and_survived(fake_deepseek: Start, body: bytes) -> None:
    server = fake_deepseek(["still here"])
    request = urllib.request.Request(
        server.base_url + "/chat/completions", data=body, headers={"Authorization": "Bearer k"}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()
    assert refused.value.code == (422 if b"messages" in body else 400)
    assert content(ask(server, said("a"))) == "still here"


def test_fill_in_the_middle(fake_deepseek: Start) -> None:
    server = fake_deepseek(["    return a + b"])
    fields = {"model": "deepseek-flash", "prompt": "def add(a, b):\n", "suffix": "\n"}
    status, body = post(server, fields, "/beta/completions")
    assert status == 200
    assert body["choices"][0]["text"] == "    return a + b"


def test_exact_counts_are_the_vendors(fake_deepseek: Start) -> None:
    pytest.importorskip("deepseek_recipe")
    server = fake_deepseek([Reply("ok", "t"), "end"], exact=True)
    first = said("word " * 1000)
    answer = ask(server, first)["choices"][0]["message"]
    usage = ask(server, first, answer, said("go on"))["usage"]
    before = server.requests[0].usage.prompt_tokens
    assert 1000 < before < 1400
    assert usage["prompt_cache_hit_tokens"] % 128 == 0
    assert before - 128 < usage["prompt_cache_hit_tokens"] <= before + 20


def test_faults_as_text_and_their_names() -> None:
    planned = schedule("4=429*2,9=keep-alive:2")
    assert [(number, fault.name) for number, fault in planned.items()] == [
        (4, "429"),
        (5, "429"),
        (9, "keep-alive"),
    ]
    assert planned[9].seconds == 2.0
    for wrong in ("4", "x=429", "4=no-such-fault", "4=stall:soon"):
        with pytest.raises(UsageError):
            schedule(wrong)
    assert len(CATALOGUE) >= 24


@pytest.mark.parametrize("wrong", ["429*three", "429*-2", "429*3:2", "429*0", "429*", "429*²"])
def test_repeats_that_are_no_number_are_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="not a number of at least 1"):
        schedule({1: wrong})


def test_seconds_and_repeats_together() -> None:
    assert [fault.seconds for fault in schedule({1: "stall:2*2"}).values()] == [2.0, 2.0]


@pytest.mark.parametrize("step", [{"contents": "x"}, {"calls": [{"tool": "x"}]}, 5])
def test_a_wrong_step_is_named(step: Any) -> None:
    with pytest.raises(UsageError, match="no reply"):
        FakeDeepSeek([step])


def test_a_port_that_is_taken_is_told(fake_deepseek: Start) -> None:
    port = int(fake_deepseek([]).base_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        FakeDeepSeek([], port=port).start()


def test_calls_have_ids_of_the_providers_form(fake_deepseek: Start) -> None:
    server = fake_deepseek([Reply(calls=[Call("bash", {}), Call("bash", '{"half', id="own")])])
    calls = ask(server, said("a"))["choices"][0]["message"]["tool_calls"]
    assert calls[0]["id"].startswith("call_00_")
    assert len(calls[0]["id"]) == 32
    assert (calls[1]["id"], calls[1]["function"]["arguments"]) == ("own", '{"half')
