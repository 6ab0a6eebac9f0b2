"""Exports of a real session: they validate, escape everything, and play again."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agentkit import Agent, Limits, ToolContext, tool
from agentkit import events as e
from agentkit.errors import SessionError, UsageError
from agentkit.exports import export
from agentkit.exports.atif import trajectory
from agentkit.exports.atif_rules import problems
from agentkit.log import read
from agentkit.models.retry import RetryPolicy
from agentkit.sandboxes import Local
from agentkit.stores.memory import MemoryStore
from agentkit.testing import Call, FakeDeepSeek, Reply
from agentkit.testing.replay import compare, read_file, rebuild, replay
from agentkit.tools import coder

pytestmark = pytest.mark.anyio

NASTY = "</pre><script>alert(1)</script>&\"'"


@tool
def remember(context: ToolContext, what: str) -> str:
    """Remember it."""
    context.record("kept", {"what": what})
    return f"kept {what} {NASTY}"


async def a_session(workspace: Path, script: Any, *messages: str, **settings: Any) -> list[e.Event]:
    """Events of a session with these answers."""
    store = MemoryStore()
    with FakeDeepSeek(script, faults=settings.pop("faults", None)) as server:
        agent = Agent(
            "tester", tools=[*coder(), remember], sandbox=Local(workspace=workspace), store=store,
            base_url=server.base_url, api_key="k", retry=RetryPolicy(base=0.01, cap=0.02),
            **settings,
        )  # fmt: skip
        async with agent.session("exported") as session:
            for message in messages:
                await session.run(message)
    return read(store, "exported")


PLAN = {"steps": [{"step": NASTY, "status": "in_progress"}]}
SCRIPT = [
    Reply(reasoning=f"think {NASTY}", content=NASTY, calls=[
        Call("bash", {"command": f"echo '{NASTY.replace(chr(39), '')}' >a.txt; cat a.txt"}),
        Call("remember", {"what": "this"}),
    ]),
    Reply(calls=[Call("bash", "{not json"), Call("no_such_tool", {}), Call("plan", PLAN)]),
    Reply(content=""),
    Reply(calls=[Call("finish", {"summary": "done"})]),
    "Second done.",
]  # fmt: skip


@pytest.fixture
async def events(tmp_path: Path) -> list[e.Event]:
    return await a_session(
        tmp_path, SCRIPT, f"do {NASTY}", "and more", checks=["test -f a.txt"], faults="2=429"
    )


async def test_atif_validates_and_holds_all_of_it(events: list[e.Event]) -> None:
    document: dict[str, Any] = json.loads(export(events, "atif"))
    assert problems(document) == []
    steps = document["steps"]
    assert [step["step_id"] for step in steps] == list(range(1, len(steps) + 1))
    answers = [step for step in steps if step["source"] == "agent"]
    assert len(answers) == 5
    first = answers[0]
    assert first["reasoning_content"] == f"think {NASTY}"
    calls = [call["tool_call_id"] for call in first["tool_calls"]]
    assert [each["source_call_id"] for each in first["observation"]["results"]] == calls
    assert answers[1]["tool_calls"][0]["arguments"] == {"_text": "{not json"}
    totals = document["final_metrics"]
    assert totals["total_prompt_tokens"] == sum(x["metrics"]["prompt_tokens"] for x in answers)
    assert document["extra"]["status"] == "finished"


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("colour", "green", "Extra inputs"),
        ("steps.0.step_id", 7, "step 1 has the step_id 7"),
        ("steps.1.metrics", {}, "metrics on a step of the user"),
        ("steps.ANSWER.observation.results.0.source_call_id", "x", "no call of this step"),
        ("steps.ANSWER.metrics.cached_tokens", 10**9, "includes the cached"),
        ("schema_version", "ATIF-v9", "ATIF-v1.8"),
        ("steps.0.timestamp", "yesterday", "isoformat"),
        ("steps", [], "at least 1"),
    ],
)
async def test_the_rules_find_what_is_wrong(
    events: list[e.Event], place: str, value: Any, problem: str
) -> None:
    document = trajectory(events)
    answer = next(i for i, step in enumerate(document["steps"]) if "observation" in step)
    *path, last = place.replace("ANSWER", str(answer)).split(".")
    target: Any = document
    for part in path:
        target = target[int(part) if part.isdigit() else part]
    target[last] = value
    assert any(problem in each for each in problems(document))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_escapes_everything_and_fetches_nothing(events: list[e.Event]) -> None:
    patch = f"--- a\n+++ b\n@@ -1 +1 @@\n-x\n+{NASTY}\n"
    text = export(events, "html", {1: patch}).decode()
    page = _Page()
    page.feed(text)
    assert not {"script", "img", "link", "iframe", "object", "a"} & {tag for tag, _ in page.tags}
    names = {name for _, attributes in page.tags for name in attributes}
    assert not names & {"src", "href"}
    assert not [each for each in names if each.startswith("on")]
    assert "://" not in text
    assert "url(" not in text
    for shown in (f"think {NASTY}", f"kept this {NASTY}", f"do {NASTY}", f"+{NASTY}", "Turn 5"):
        assert shown in page.text
    assert "test -f a.txt" in page.text
    assert "finished" in page.text
    assert "▸" in page.text


async def test_the_events_come_back_from_a_file(events: list[e.Event], tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_bytes(export(events, "jsonl"))
    assert read_file(path) == events


async def test_a_session_plays_again_byte_for_byte(events: list[e.Event]) -> None:
    found = await replay(events)
    assert found.drift is None, found.drift
    assert found.turns == 5
    assert found.compared > 20


async def test_what_later_runs_are_told_of_time_and_money_plays_again(tmp_path: Path) -> None:
    limits = Limits(deadline=3_600, cost_usd=0.5)
    recorded = await a_session(tmp_path, ["One.", "Two.", "Three."], "a", "b", "c", limits=limits)
    told = [each.text for each in recorded if isinstance(each, e.Message)]
    assert len([text for text in told if text.startswith("[There are ")]) == 3
    found = await replay(recorded)
    assert found.drift is None, found.drift


async def test_calls_that_set_the_plan_or_end_by_it_take_turns_and_play_again(
    tmp_path: Path,
) -> None:
    """The first runs a command and the second does not, so side by side the second was first."""
    first = {"steps": [{"step": "one", "status": "done", "check": "true"}]}
    second = {"steps": [{"step": "two", "status": "pending", "check": "test -e b.txt"}]}
    end = Call("finish", {"summary": "done"})
    script = [
        Reply(calls=[Call("plan", first), Call("plan", second), end]),
        Reply(calls=[Call("bash", {"command": "touch b.txt"})]),
        Reply(calls=[end]),
    ]
    recorded = await a_session(tmp_path, script, "go")
    plans = [each.steps[0]["step"] for each in recorded if isinstance(each, e.PlanUpdated)]
    assert plans == ["one", "two"]
    checked = [
        (x.type, x.command) for x in recorded if isinstance(x, e.CheckPassed | e.CheckFailed)
    ]
    assert checked == [
        ("check.passed", "true"),
        ("check.failed", "test -e b.txt"),
        ("check.passed", "test -e b.txt"),
    ]
    found = await replay(recorded)
    assert found.drift is None, found.drift


async def test_steering_limits_and_interruptions_play_again(tmp_path: Path) -> None:
    script = [Reply(calls=[Call("bash", {"command": f"echo {n}"})]) for n in range(4)]
    recorded = await a_session(
        tmp_path, [*script, "One.", "Two."], "go", "on", limits=Limits(turns=5)
    )
    assert any(isinstance(x, e.LimitNear) for x in recorded)
    assert isinstance(recorded[-1], e.SessionFinished)
    assert recorded[-1].status == "limit"
    found = await replay(recorded)
    assert found.drift is None, found.drift


def plan(*steps: tuple[str, str]) -> Call:
    named = enumerate(steps)
    return Call(
        "plan", {"steps": [{"step": f"{n}", "status": s, "check": c} for n, (s, c) in named]}
    )


def shell(command: str) -> Reply:
    return Reply(calls=[Call("bash", {"command": command})])


PLAYED: dict[str, tuple[list[Any], list[str]]] = {
    "a plan's checks": (
        [
            Reply(calls=[plan(("done", "test -f a"), ("pending", "test -f b"))]),
            Reply(calls=[*shell("touch a").calls, plan(("done", "test -f a"))]), "Done.",
            Reply(calls=[plan(("done", "test -f a"), ("done", "test -f b"))]),
            shell("touch b"), Reply(calls=[Call("finish", {"summary": "made"})]),
        ],
        ["test -d ."],
    ),
    "a check that forms": (
        [shell("echo 1 >a"), "Done."], ["grep -q f a || echo f >>a", "test -f a"],
    ),
    "a check that forms and fails": (
        [shell("echo 1 >a"), "Done.", "Again."], ["grep -q f a || { echo f >>a; false; }"],
    ),
    "a check that always changes": (
        [shell("echo 1 >a"), "Done.", "Again.", shell("echo 1 >c"), "Yes."],
        ["date +%N >>a; test -f c", "test -f a"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PLAYED)
async def test_checks_play_again(tmp_path: Path, case: str) -> None:
    script, checks = PLAYED[case]
    recorded = await a_session(tmp_path, script, "go", checks=checks)
    assert isinstance(recorded[-1], e.SessionFinished)
    assert recorded[-1].status == "finished"
    found = await replay(recorded)
    assert found.drift is None, found.drift
    assert found.until == ""


async def test_live_tools_run_again(events: list[e.Event], tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    agent = Agent(
        "tester", tools=[*coder(), remember], sandbox=Local(workspace=fresh),
        checks=["test -f a.txt"], api_key="k",
    )  # fmt: skip
    found = await replay(events, agent, tools="live")
    assert found.drift is None, found.drift
    assert (fresh / "a.txt").is_file()


async def test_a_drift_is_named_by_event_and_field(events: list[e.Event]) -> None:
    index = next(i for i, each in enumerate(events) if isinstance(each, e.ToolFinished))
    changed: Any = replace(events[index], content="something else")  # pyright: ignore[reportCallIssue]
    _, drift = compare([*events[:index], changed, *events[index + 1 :]], events)
    assert drift is not None
    assert (drift.seq, drift.type, drift.field) == (index + 1, "tool.finished", "content")
    assert "recorded 'something else'" in str(drift)
    _, drift = compare(events, events[:index])
    assert drift is not None
    assert (drift.seq, drift.replayed) == (index + 1, "nothing more")


async def test_a_changed_prompt_is_found_as_a_drift(events: list[e.Event]) -> None:
    changed = [
        replace(x, prefix="0" * 16) if isinstance(x, e.ModelRequested) else x for x in events
    ]
    found = await replay(changed)
    assert found.drift is not None
    assert (found.drift.type, found.drift.field) == ("model.requested", "prefix")


async def test_bad_input(events: list[e.Event], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no export format 'pdf'"):
        export(events, "pdf")
    with pytest.raises(SessionError, match="no events"):
        export([], "html")
    with pytest.raises(SessionError, match="no request"):
        await replay(events[:1])
    path = tmp_path / "x.jsonl"
    with pytest.raises(SessionError, match="cannot be read"):
        read_file(path)
    path.write_text('{"type": "message"}\nnot json\n')
    with pytest.raises(SessionError, match=r"line 1 .* is no event"):
        read_file(path)
    path.write_bytes(b"".join(export(events, "jsonl").splitlines(keepends=True)[3:]))
    with pytest.raises(SessionError, match="no whole session"):
        read_file(path)


async def test_every_request_is_rebuilt_and_a_changed_byte_is_named(tmp_path: Path) -> None:
    events = await a_session(tmp_path, ["First.", "Second."], "one", "two")
    assert rebuild(events) == (2, None)
    index = next(i for i, x in enumerate(events) if isinstance(x, e.Message) and x.text == "two")
    changed = [*events[:index], replace(events[index], text="2"), *events[index + 1 :]]
    count, drift = rebuild(changed)
    assert count == 1
    assert drift is not None
    assert (drift.type, drift.field) == ("model.requested", "prefix")


async def test_a_session_with_a_planner_plays_up_to_its_lane(tmp_path: Path) -> None:
    """What cannot be played is named; its requests are compared all the same."""
    events = await a_session(tmp_path, ["First.", "Second."], "one")
    opened = next(x for x in events if isinstance(x, e.LaneOpened))
    seq = len(events)
    other = replace(opened, lane="plan", role="plan", parent="main", head="", seq=seq + 1)
    found = await replay([*events, other])
    assert found.drift is None
    assert found.until == f"event {seq + 1} (lane.opened, lane plan)"
    assert found.rebuilt == 1
