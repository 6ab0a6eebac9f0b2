"""Stories of a ladder: scripted models, a real shell, a real workspace; the world is looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentkit import Hooks, Ladder, Limits, Refuse
from agentkit import events as e
from agentkit.log import read
from agentkit.stores.memory import MemoryStore
from agentkit.testing import FakeDeepSeek, Reply, assert_prefix_stable

from .stage import (
    CHECK,
    FLASH,
    PRO,
    TASK,
    TWO,
    agent_on,
    answers,
    bash,
    call,
    cast,
    finish,
    is_advice,
    only,
    play,
    texts,
    weak,
    write,
)

pytestmark = pytest.mark.anyio


async def test_consult_hand_off_step_down_and_finish(tmp_path: Path) -> None:
    told = await play(tmp_path, cast())
    assert (told.result.status, told.result.output) == ("finished", "Done at last.")
    assert told.forms == ["consult", "hand-off", "step-down"]
    assert (tmp_path / "answer.txt").read_text() == "42\n"
    assert_prefix_stable(told.server)
    consult, hand_off, back = told.of(e.RungChanged)
    for change in (consult, hand_off):
        evidence = {each.seq for each in told.of(e.Evidence)}
        assert set(change.evidence) <= evidence, "each reaction names what it rests on"
        assert change.prices, "and what each form would have cost"
        assert change.numbers["lane_tokens"] > 0
    assert (back.from_rung, back.to_rung) == ("deepseek-v4-pro·high", "deepseek-flash·high")
    assert told.result.cost_usd == pytest.approx(told.server.bill.usd), "all lanes are paid for"


async def test_the_cheap_lane_goes_on_warm_and_knows_what_changed(tmp_path: Path) -> None:
    told = await play(tmp_path, cast())
    last = told.server.requests[-1]
    assert last.body["model"] == "deepseek-flash"
    assert last.usage.hit_tokens > 0.5 * last.usage.prompt_tokens
    report = texts(last.body)[-1]
    assert "It was 42." in report
    assert "+42" in report, "the diff of the hand-off"


async def test_the_strong_model_reads_a_packet_not_the_history(tmp_path: Path) -> None:
    told = await play(tmp_path, cast())
    pro = [x.body for x in told.server.requests if "pro" in x.body["model"]]
    advice, first = pro[0], pro[1]
    assert is_advice(advice)
    assert "tools" not in advice
    packet = texts(first)[1]
    for words in (TASK, "check failed", CHECK, "echo 0 > answer.txt", "+4"):
        assert words in packet
    assert first["tools"] == told.server.requests[0].body["tools"], "full tools, the same head"


async def test_advice_is_appended_and_nothing_is_edited(tmp_path: Path) -> None:
    told = await play(tmp_path, cast())
    notes = [x.text for x in told.of(e.Message) if x.source == "agentkit" and x.lane == "main"]
    assert any("The answer is 42." in text for text in notes)


async def test_without_evidence_not_one_extra_request(tmp_path: Path) -> None:
    script = [write(42), finish()]
    told = await play(tmp_path, script, Ladder.preset("flash-pro"))
    assert told.result.ok
    assert len(told.server.requests) == 2
    assert told.of(e.Evidence) == told.of(e.RungChanged) == told.of(e.RungSkipped) == []
    assert {each.lane for each in told.events} == {"main"}


async def test_the_first_reaction_is_a_note_that_costs_no_request(tmp_path: Path) -> None:
    script = [write(1), finish(), write(42), finish()]
    told = await play(tmp_path, script, only("note", "hand-off"))
    assert told.forms == ["note"]
    assert len(told.server.requests) == 4
    assert "speaks against" in texts(told.server.requests[2].body)[-1]


async def test_a_rung_that_is_refused_does_not_end_the_work(tmp_path: Path) -> None:
    """The strong model cannot be reached at all; the cheap one goes on and succeeds."""
    gone = replace(PRO, base_url="http://127.0.0.1:9", forms=("hand-off",))
    told = await play(tmp_path, _third_time_right, replace(TWO, rungs=(FLASH, gone)))
    assert told.result.ok
    assert told.forms == ["hand-off", "step-down"]
    (skipped,) = told.of(e.RungSkipped)
    assert "no answer from" in skipped.reason
    assert_prefix_stable(told.server)


def _third_time_right(request: dict[str, Any]) -> Reply:
    number = answers(request)
    return finish() if number % 2 else write(42 if number >= 6 else number)


def always(reply: Reply) -> Any:
    """The same answer to everything but a request for advice."""

    def answer(request: dict[str, Any]) -> Reply:
        return Reply("?", "hm") if is_advice(request) else reply

    return answer


async def test_both_rungs_fail_and_it_says_so(tmp_path: Path) -> None:
    told = await play(tmp_path, cast(weak, always(finish())))
    assert (told.result.status, told.result.exit_code) == ("failed", 1)
    assert CHECK in told.result.output
    assert "deepseek-v4-pro" in told.models
    assert [each.passed for each in told.result.checks] == [False]


async def test_a_strong_model_that_gives_up_ends_the_run_honestly(tmp_path: Path) -> None:
    given_up = finish("The check contradicts the task.", achieved=False)
    told = await play(tmp_path, cast(weak, always(given_up)))
    assert (told.result.status, told.result.exit_code) == ("failed", 1)
    assert told.result.output == "The check contradicts the task."


async def test_money_that_runs_out_in_mid_hand_off_comes_back_down(tmp_path: Path) -> None:
    limit = 0.06

    def dear(request: dict[str, Any]) -> Reply:
        if answers(request):
            return write(42)
        left = limit - told_server.bill.usd - 0.007 / _off_peak()
        return bash("true", reasoning="x" * int(left / 3.96e-6 * 4 * _off_peak()))

    def cheap(request: dict[str, Any]) -> Reply:
        back = "took over, and the work comes back" in "\n".join(texts(request)[-3:])
        return finish("No more money for help.", achieved=False) if back else weak(request)

    ladder = only("hand-off")
    with FakeDeepSeek(cast(cheap, dear)) as told_server:
        agent = agent_on(tmp_path, told_server, ladder, limits=Limits(cost_usd=limit))
        result = await agent.run(TASK, checks=[CHECK])
        assert agent.store is not None
        events = list(read(agent.store, result.session_id))
    assert result.cost_usd <= limit
    changes = [each for each in events if isinstance(each, e.RungChanged)]
    assert [each.form for each in changes] == ["hand-off", "step-down"]
    assert "money" in changes[1].reason
    assert (result.status, result.output) == ("failed", "No more money for help.")


def _off_peak() -> float:
    """Peak prices are twice the others, and this test runs at any hour."""
    from datetime import UTC, datetime

    from agentkit.models.catalogue import Catalogue

    price = Catalogue.load().price("deepseek-v4-pro", datetime.now(UTC))
    assert price is not None
    return 3.96 / price.output


async def test_a_rung_that_serves_the_same_model_is_skipped_and_reported(tmp_path: Path) -> None:
    twin = replace(PRO, model="twin", dialect="deepseek", forms=())
    price = {"twin": {"hit": 0.01, "miss": 0.1, "output": 1.0, "served": "x"}}
    ladder = replace(only("hand-off"), rungs=(FLASH, twin), models=price)
    with FakeDeepSeek(cast()) as server:
        agent = agent_on(tmp_path, server, ladder)
        async with agent.session() as session:
            session.state.served["twin"] = ("deepseek-flash", "fp")
            session.state.served["deepseek-flash"] = ("deepseek-flash", "fp")
            result = await session.run(TASK, checks=[CHECK])
    assert agent.store is not None
    events = list(read(agent.store, result.session_id))
    skipped = [each for each in events if isinstance(each, e.RungSkipped)]
    assert [each.rung for each in skipped] == ["twin·high"]
    assert "served by the same model" in skipped[0].reason
    assert not [each for each in events if isinstance(each, e.RungChanged)]
    assert result.status == "failed"


async def test_an_attempt_that_made_things_worse_is_rolled_back(tmp_path: Path) -> None:
    """The first try passes one of two checks, the second none: the hand-off starts at the first."""
    (tmp_path / "old").write_text("kept\n")
    checks = ["test -e one", "test -e two"]

    def worse(request: dict[str, Any]) -> Reply:
        if "comes back" in texts(request)[-1]:
            return finish()
        steps = ["touch one", "", "rm one; touch junk", "", "touch junk2", ""]
        command = steps[min(answers(request), len(steps) - 1)]
        return bash(command) if command else finish()

    def mends(request: dict[str, Any]) -> Reply:
        return finish() if answers(request) else bash("test -e one && touch two")

    told = await play(tmp_path, cast(worse, mends), only("hand-off"), checks=checks)
    assert told.result.ok
    (hand_off, _) = told.of(e.RungChanged)
    assert hand_off.back_to
    assert not (tmp_path / "junk").exists()
    assert (tmp_path / "old").read_text() == "kept\n"
    packet = next(x.text for x in told.of(e.Message) if x.lane == "hand-off-1")
    assert "<failed-attempt>" in packet
    assert "junk" in packet


async def test_a_failed_run_leaves_the_workspace_at_its_best_state(tmp_path: Path) -> None:
    def worse(request: dict[str, Any]) -> Reply:
        steps = ["touch one", "", "rm one", ""]
        number = answers(request)
        if number >= len(steps):
            return finish("Cannot be done.", achieved=False)
        return bash(steps[number]) if steps[number] else finish()

    one = Ladder.single("deepseek-flash")
    told = await play(tmp_path, worse, one, checks=["test -e one", "test -e two"])
    assert told.result.status == "failed"
    assert (tmp_path / "one").exists(), "where one of two checks passed"
    assert told.of(e.Restored)


async def test_a_move_replays_the_whole_history_on_the_other_rung(tmp_path: Path) -> None:
    def mover(request: dict[str, Any]) -> Reply:
        return finish() if "echo 42" in str(request["messages"][-2]) else write(42)

    told = await play(tmp_path, cast(weak, mover), only("move"))
    assert told.result.ok
    assert told.forms == ["move"]
    flash = [x.body for x in told.server.requests if x.body["model"] == "deepseek-flash"][-1]
    pro = next(x.body for x in told.server.requests if "pro" in x.body["model"])
    assert pro["messages"][: len(flash["messages"])] == flash["messages"]


@pytest.mark.parametrize("cut", range(5, 95, 9))
async def test_a_climb_can_be_killed_anywhere_and_resumed(tmp_path: Path, cut: int) -> None:
    """The log is cut as a dead process leaves it; a new one brings the work to its end."""
    store = MemoryStore()
    with FakeDeepSeek(cast()) as server:
        agent = agent_on(tmp_path, server, store=store)
        async with agent.session("s") as session:
            await session.run(TASK, checks=[CHECK])
        rows = store.read("s")
        kept = rows[: min(cut, len(rows) - 1)]
        store.append("killed", kept)
        store.share_contents("s", "killed")
        mended = any(x.type == "tool.finished" and x.lane == "hand-off-1" for x in kept)
        (tmp_path / "answer.txt").write_text("42\n" if mended else "0\n")  # as it was then
        async with agent.session("killed", resume=True) as session:
            result = await session.run("" if session.state.lanes else TASK, checks=[CHECK])
        assert server.violations == []
    assert result.status == "finished", result.output
    assert (tmp_path / "answer.txt").read_text() == "42\n"


async def test_parallel_attempts_and_the_checks_pick_the_winner(tmp_path: Path) -> None:
    written = iter((7, 42))

    def racer(request: dict[str, Any]) -> Reply:
        number = answers(request)
        return finish() if number % 2 else write(7 if number else next(written))

    told = await play(tmp_path, cast(weak, racer), only("hand-off"), attempts=2)
    assert told.result.ok
    assert (tmp_path / "answer.txt").read_text() == "42\n"
    back = told.of(e.RungChanged)[-1]
    assert "attempt-2 passes every check" in back.reason
    assert [each.passed for each in told.result.checks] == [True]
    first, second = [
        x
        for x in told.server.requests
        if "one of 2 attempts" in str(x.body["messages"]) and not answers(x.body)
    ]
    assert second.body == first.body
    assert first.usage.hit_tokens == 0
    assert second.usage.miss_tokens < 128, "it waited until the packet was stored"
    assert told.result.cost_usd == pytest.approx(told.server.bill.usd)


async def test_the_model_asks_for_help_itself(tmp_path: Path) -> None:
    def asks(request: dict[str, Any]) -> Reply:
        steps = [call("consult", question="Which answer?"), write(42), finish()]
        return steps[answers(request)]

    told = await play(tmp_path, cast(asks))
    assert told.result.ok
    advised = next(x for x in told.of(e.ToolFinished) if x.tool == "consult")
    assert "The answer is 42." in advised.content
    assert "help-asked" in [each.kind for each in told.of(e.Evidence)]
    assert told.forms == ["consult"]


async def test_a_hook_sees_each_reaction_and_may_refuse(tmp_path: Path) -> None:
    seen: list[str] = []

    async def watch(change: e.RungChanged) -> Refuse | None:
        seen.append(change.form)
        assert change.prices
        return Refuse("too dear for us")

    hooks = Hooks(on_escalate=watch)
    told = await play(tmp_path, _third_time_right, only("hand-off"), hooks=hooks)
    assert told.result.ok
    assert seen == ["hand-off"]
    assert told.forms == []
    assert "too dear for us" in told.of(e.RungSkipped)[0].reason


async def test_nobody_to_ask_is_said_and_not_an_error(tmp_path: Path) -> None:
    steps = [call("consult", question="Which?"), write(42), finish()]
    told = await play(tmp_path, steps, Ladder.single("deepseek-flash"))
    assert told.result.ok
    assert "nobody stronger" in told.of(e.ToolFinished)[0].content
    assert len(told.server.requests) == 3
